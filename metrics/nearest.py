"""Mutual information of a continuous code with a factor, from distances to nearest neighbours.

Ross, "Mutual Information between Discrete and Continuous Data Sets", PLoS ONE 9, 2014. The estimate is that of
scikit-learn's ``mutual_info_classif``; codes are scalars, so that sorting takes the place of trees.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma
from sklearn.preprocessing import StandardScaler, scale

from disentangle.metrics.common import Floats, Integers, rescaled

Matrix = NDArray[np.float64]


def nearest_information(codes: Floats, factors: Integers, neighbours: int = 10, seed: int = 0) -> Matrix:
    """Mutual information ``(d, k)`` in nats, none negative, of continuous codes with discrete factors.

    For each sample, the distance to its ``neighbours``-th neighbour among those of the same value, and how many
    samples of any value are nearer. A value that a single sample has is left out; one that fewer samples than
    ``neighbours + 1`` have takes as many neighbours as there are. A constant code knows nothing.

    Args:
        codes: ``(N, d)``. They are scaled to unit variance, and noise of 1e-10 of that parts those that are equal.
        factors: ``(N, k)`` indices ``0 … n - 1``.
        neighbours: at least 1.
        seed: of the noise.
    """
    table = np.zeros((codes.shape[1], factors.shape[1]))
    for i, code in enumerate(codes.T):
        if (code != code[0]).any():
            x = _parted(code, seed)
            table[i] = [_information(x, factor, neighbours) for factor in factors.T]
    return table


def _parted(code: Floats, seed: int) -> Matrix:
    """The code, centred, at unit variance, with noise that leaves no two samples equal; as scikit-learn draws it."""
    column = rescaled(code).astype(code.dtype)[:, None]
    x = scale(StandardScaler().fit_transform(column).astype(np.float64), with_mean=False)[:, 0]
    noise = np.random.RandomState(seed).standard_normal(len(x))
    return np.asarray(x + 1e-10 * max(1, float(np.abs(x).mean())) * noise)


def _information(x: Matrix, factor: Integers, neighbours: int) -> float:
    counts = np.bincount(factor)
    kept = counts[factor] > 1
    if not kept.any():
        return 0.0
    x, factor = x[kept], factor[kept]
    order = np.lexsort((x, factor))
    x, count = x[order], counts[factor[order]]
    k = np.minimum(neighbours, count - 1)
    start = np.searchsorted(factor[order], factor[order])
    radius = _radius(x, start, count, k)
    nearer = _nearer(np.sort(x), x, radius)
    terms = digamma(len(x)) + digamma(k) - digamma(count) - digamma(nearer)
    return max(0.0, float(terms.mean()))


def _radius(x: Matrix, start: Integers, count: Integers, k: Integers) -> Matrix:
    """Distance of each ``x`` to its ``k``-th neighbour in its run of ``count`` sorted numbers from ``start``."""
    here = np.arange(len(x))
    radius = np.full(len(x), np.inf)
    for below in range(int(k.max()) + 1):  # the neighbours are `below` numbers below x and `k - below` above it
        low, high = here - below, here - below + k
        inside = (low >= start) & (high < start + count) & (below <= k)
        spread = np.maximum(x - x[np.where(inside, low, here)], x[np.where(inside, high, here)] - x)
        radius = np.where(inside, np.minimum(radius, spread), radius)
    # In short runs scikit-learn takes distances from squares, and their rounding decides whether the neighbour itself
    # is nearer than the radius: one more sample of a few. Its numbers are the published ones.
    short = k >= count // 2
    if short.any():
        radius[short] = _rounded(x, here[short], start[short], count[short], k[short])
    return radius


def _rounded(x: Matrix, here: Integers, start: Integers, count: Integers, k: Integers) -> Matrix:
    """The same of the numbers at ``here``, as ``√(x² - 2xy + y²)``, with the rounding of that."""
    place = np.arange(count.max())
    others = np.minimum(start[:, None] + place, len(x) - 1)
    mine, y = x[here, None], x[others]
    squares = np.maximum((mine * mine + -2 * mine * y) + y * y, 0)
    squares[(place >= count[:, None]) | (others == here[:, None])] = np.inf
    squares.sort(axis=1)
    return np.sqrt(squares[np.arange(len(here)), k - 1])


def _nearer(sorted_x: Matrix, x: Matrix, radius: Matrix) -> Integers:
    """How many of ``sorted_x``, itself one of them, are nearer to each ``x`` than ``radius``."""
    last = len(sorted_x) - 1
    radius = np.maximum(radius, np.finfo(np.float64).smallest_subnormal)  # rounded to 0: itself alone
    low = np.searchsorted(sorted_x, x - radius)
    high = np.searchsorted(sorted_x, x + radius, side="right") - 1
    # x ± radius is rounded, so that numbers at the very distance may be on either side of it.
    while (out := x - sorted_x[low] >= radius).any():
        low += out
    while (more := (low > 0) & (x - sorted_x[np.maximum(low - 1, 0)] < radius)).any():
        low -= more
    while (out := sorted_x[high] - x >= radius).any():
        high -= out
    while (more := (high < last) & (sorted_x[np.minimum(high + 1, last)] - x < radius)).any():
        high += more
    return np.asarray(high - low + 1)
