"""Codes and factors that golden values were computed on, and a grid whose pictures are its factors."""

import numpy as np
import torch


def arrays(dtype=np.float64):
    """Codes (900, 5), one of them with a large offset, one faint; factors of 2, 4 and 12 values."""
    rng = np.random.default_rng(7)
    factors = np.stack([rng.integers(0, size, 900) for size in (2, 4, 12)], axis=1)
    codes = factors @ rng.standard_normal((3, 5)) + rng.standard_normal((900, 5))
    codes[:, 1] = 10 + 0.3 * factors[:, 2]
    codes[:, 4] *= 0.1
    return codes.astype(dtype), factors


def split(codes, factors, n=600):
    """Training and test samples, as scores take them."""
    return codes[:n], factors[:n], codes[n:], factors[n:]


class FactorGrid:
    """Every combination of factors, in an order of its own; the picture of a combination is its factors, as floats.

    Attributes:
        factor_sizes: how many values each factor has.
        shown: the indices of all pictures that were asked for.
    """

    def __init__(self, *sizes):
        self.factor_sizes = sizes
        self.cells = np.random.default_rng(0).permutation(np.prod(sizes))
        self.place = np.argsort(self.cells)
        self.shown = []

    def index(self, factors):
        return torch.from_numpy(self.place[np.ravel_multi_index(factors.numpy().T, self.factor_sizes)])

    def factors(self, indices):
        return np.stack(np.unravel_index(self.cells[indices.numpy()], self.factor_sizes), axis=1)

    def images(self, indices):
        self.shown += indices.tolist()
        return torch.from_numpy(self.factors(indices)).float()


def curved(pictures):
    """Codes of pictures of three factors: four mixtures, one pure code, and one that hardly varies."""
    factors = pictures.double().numpy()
    weights = np.random.default_rng(5).standard_normal((3, 4))
    return np.column_stack([np.tanh((factors / 4 - 0.5) @ weights), factors[:, 1], 0.01 * factors[:, 0]])
