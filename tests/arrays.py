"""Codes and factors that tests of metrics share."""

import numpy as np


def sample(n=500, d=4, sizes=(3, 6, 15), dtype=np.float64, seed=0):
    """Codes ``(n, d)``, the first few of which mix the factors ``(n, k)`` and noise, the others noise alone."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, size, n) for size in sizes], axis=1)
    codes = rng.standard_normal((n, d))
    codes[:, : len(sizes)] += factors @ rng.standard_normal((len(sizes), len(sizes)))
    return codes.astype(dtype), factors


def grid(*sizes):
    """Factors ``(Π sizes, k)``: every combination once."""
    return np.stack(np.meshgrid(*map(range, sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes))


def models(n=1000, seed=0):
    """Codes of four models for the same pictures, and their divergences: three share their axes, the last is turned.

    The first has as many codes as it needs; of the others, two say nothing, one of them with a divergence above 0.01.
    """
    rng = np.random.default_rng(seed)
    meaning = rng.standard_normal((n, 5))
    representations = []
    for model in range(4):
        turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
        turn = turn if model == 3 else np.eye(5)[rng.permutation(5)] * rng.choice([-1, 1], 5)
        said = meaning @ turn + 0.1 * model * rng.standard_normal((n, 5))
        representations.append(np.hstack([said, 0.01 * rng.standard_normal((n, 2))]))
    return representations, [np.r_[np.full(5, 2.0 + model), 0.001, 0.02] for model in range(4)]
