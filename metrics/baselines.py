"""Reference points: what a metric says of codes whose worth is known, and how far chance moves it.

A score means little alone: MIG of perfect codes can be far below 1, and mutual information of noise far above 0.
"""

import statistics
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from torch import Tensor

from disentangle.errors import DisentangleWarning
from disentangle.metrics.common import Result, as_codes, as_factors

Matrix = NDArray[np.float64]


def rotated(codes: ArrayLike | Tensor, seed: int = 0) -> Matrix:
    """The same codes, each scaled to unit variance, in a random orthogonal basis: all information, no axes.

    The rotation is uniform over the orthogonal group (Mezzadri, "How to Generate Random Matrices from the Classical
    Compact Groups", Notices of the AMS 54, 2007). A constant code becomes 0 before the rotation.

    Args:
        codes: ``(N, d)``.
        seed: of the rotation.
    """
    array = as_codes(codes).astype(np.float64)
    centred = array - array.mean(axis=0)
    deviation = centred.std(axis=0)
    # Of a constant column the mean is subtracted up to rounding only, which must not be blown up to unit variance.
    varying = (array != array[0]).any(axis=0) & (deviation > 0)
    standard = np.divide(centred, deviation, out=np.zeros_like(centred), where=varying)
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((array.shape[1], array.shape[1])))
    return np.asarray(standard @ (q * np.sign(np.diagonal(r))))


def perfect(factors: ArrayLike | Tensor, codes: int | None = None, seed: int = 0) -> Matrix:
    """The factors as codes, in random order: each code knows one factor, and knows it wholly.

    Args:
        factors: ``(N, k)`` integers.
        codes: how many codes, ``k`` if ``None``. Further codes are constant, as the unused codes of a good model are;
            where there are fewer than factors, some factors have none.
        seed: of the order.
    """
    array = np.asarray(factors.cpu() if isinstance(factors, Tensor) else factors)
    array = as_factors(array, len(array))
    width = array.shape[1] if codes is None else codes
    columns = np.zeros((len(array), max(width, array.shape[1])))
    columns[:, : array.shape[1]] = array
    rng = np.random.default_rng(seed)
    kept = rng.permutation(array.shape[1])[:width]
    unused = np.arange(array.shape[1], columns.shape[1])
    return columns[:, rng.permutation(np.concatenate([kept, unused]))]


def noise(samples: int, codes: int, seed: int = 0) -> Matrix:
    """Independent standard normal codes ``(samples, codes)``, which know nothing."""
    return np.random.default_rng(seed).standard_normal((samples, codes))


def reference_points(
    metric: Callable[..., Result],
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    test_codes: ArrayLike | Tensor | None = None,
    test_factors: ArrayLike | Tensor | None = None,
    seed: int = 0,
) -> dict[str, Result]:
    """The metric's results for rotated, perfect and noise codes of the same shape and on the same factors.

    Args:
        metric: called as ``metric(codes, factors)``, or with the test samples where they are given; bind its settings
            with ``functools.partial``.
        codes: ``(N, d)``.
        factors: ``(N, k)``.
        test_codes: ``(M, d)``, for a metric that takes them; they go through the same rotation and order.
        test_factors: ``(M, k)``.
        seed: of the rotation, the order and the noise.

    Returns:
        ``{"rotated": …, "perfect": …, "noise": …}``. Warnings are left to the score itself, which has them already.

    Raises:
        ValueError: where only one of ``test_codes`` and ``test_factors`` is given, or shapes do not fit.
    """
    if (test_codes is None) != (test_factors is None):
        raise ValueError("test_codes and test_factors go together, got one of them")
    all_codes = as_codes(codes)
    all_factors = as_factors(factors, len(all_codes))
    train = len(all_codes)
    if test_codes is not None and test_factors is not None:
        held_out = as_codes(test_codes, "test_codes")
        all_factors = np.vstack([all_factors, as_factors(test_factors, len(held_out), "test_factors")])
        all_codes = np.vstack([all_codes, held_out])

    def evaluate(baseline: Matrix) -> Result:
        if test_codes is None:
            return metric(baseline, all_factors)
        return metric(baseline[:train], all_factors[:train], baseline[train:], all_factors[train:])

    n, d = all_codes.shape
    baselines = {
        "rotated": rotated(all_codes, seed),
        "perfect": perfect(all_factors, d, seed),
        "noise": noise(n, d, seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisentangleWarning)
        return {name: evaluate(baseline) for name, baseline in baselines.items()}


def interval(
    metric: Callable[..., Result],
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    test_codes: ArrayLike | Tensor | None = None,
    test_factors: ArrayLike | Tensor | None = None,
    *,
    repeats: int = 50,
    level: float = 0.95,
    seed: int = 0,
    score: float | None = None,
) -> tuple[float, float]:
    """How far the choice of samples moves a score: Student's confidence interval around it.

    The spread is that over random halves of the samples, drawn without replacement, which equals the standard error
    of the score on all of them (the delete-half jackknife: Shao, Wu, "A General Theory for Jackknife Variance
    Estimation", Annals of Statistics 17, 1989). A bootstrap draws samples twice, which counts as mutual information.

    Args:
        metric: called as ``metric(codes, factors)``, or with the test samples where they are given.
        codes: ``(N, d)``, ``N ≥ 4``.
        factors: ``(N, k)``.
        test_codes: ``(M, d)``, ``M ≥ 4``, for a metric that takes them; halved likewise.
        test_factors: ``(M, k)``.
        repeats: number of halves, at least 2.
        level: probability that the interval is to have, in (0, 1).
        seed: of the halves.
        score: what the metric says of all samples, where that is known already.
    """
    pairs = [(as_codes(codes), factors)]
    if (test_codes is None) != (test_factors is None):
        raise ValueError("test_codes and test_factors go together, got one of them")
    if test_codes is not None and test_factors is not None:
        pairs.append((as_codes(test_codes, "test_codes"), test_factors))
    parts = [(rows, as_factors(labels, len(rows))) for rows, labels in pairs]
    fewest = min(len(rows) for rows, _ in parts)
    if fewest < 4 or repeats < 2 or not 0 < level < 1:
        raise ValueError(
            "an interval needs at least 4 samples, 2 repeats and a level between 0 and 1, "
            f"got {fewest}, {repeats} and {level}"
        )
    rng = np.random.default_rng(seed)

    def half() -> float:
        arrays = []
        for rows, labels in parts:
            chosen = rng.permutation(len(rows))[: len(rows) // 2]
            arrays += [rows[chosen], labels[chosen]]
        return metric(*arrays).score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisentangleWarning)
        if score is None:
            score = metric(*(array for part in parts for array in part)).score
        spread = statistics.stdev(half() for _ in range(repeats))
    reach = float(student.ppf((1 + level) / 2, repeats - 1)) * spread
    return score - reach, score + reach
