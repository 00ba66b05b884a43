"""Reference points: what a metric says of codes whose worth is known, and how far chance moves it.

A score means little alone: MIG of perfect codes can be far below 1, and mutual information of noise far above 0.
"""

import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from torch import Tensor

from disentangle.errors import DisentangleWarning
from disentangle.metrics.common import Floats, Result, as_codes, as_targets, rescaled

Matrix = NDArray[np.float64]


def rotated(codes: ArrayLike | Tensor, seed: int = 0) -> Matrix:
    """The same codes, each scaled to unit variance, in a random orthogonal basis: all information, no axes.

    The rotation is uniform over the orthogonal group (Mezzadri, "How to Generate Random Matrices from the Classical
    Compact Groups", Notices of the AMS 54, 2007). A constant code becomes 0 before the rotation.

    Args:
        codes: ``(N, d)``.
        seed: of the rotation.
    """
    array = rescaled(as_codes(codes), axis=0)
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
        factors: ``(N, k)``, indices of values or real numbers.
        codes: how many codes, ``k`` if ``None``. Further codes are constant, as the unused codes of a good model are;
            where there are fewer than factors, some factors have none.
        seed: of the order.
    """
    array = np.asarray(factors.cpu() if isinstance(factors, Tensor) else factors)
    array = as_targets(array, len(array))
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
    names: Sequence[str] = ("rotated", "perfect", "noise"),
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
        names: which of them.

    Returns:
        Name -> result. Warnings are left to the score itself, which has them already.

    Raises:
        ValueError: where only one of ``test_codes`` and ``test_factors`` is given, or shapes do not fit.
    """
    parts = _parts(codes, factors, test_codes, test_factors)
    all_codes = np.vstack([rows for rows, _ in parts])
    all_factors = np.vstack([labels for _, labels in parts])
    n, d = all_codes.shape
    make: dict[str, Callable[[], Matrix]] = {
        "rotated": lambda: rotated(all_codes, seed),
        "perfect": lambda: perfect(all_factors, d, seed),
        "noise": lambda: noise(n, d, seed),
    }
    train = len(parts[0][0])

    def evaluate(baseline: Matrix) -> Result:
        if len(parts) == 1:
            return metric(baseline, all_factors)
        return metric(baseline[:train], all_factors[:train], baseline[train:], all_factors[train:])

    with _silent():
        return {name: evaluate(make[name]()) for name in names}


def halves(
    metric: Callable[..., Result],
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    test_codes: ArrayLike | Tensor | None = None,
    test_factors: ArrayLike | Tensor | None = None,
    *,
    repeats: int = 50,
    seed: int = 0,
) -> list[Result]:
    """The metric's results on random halves of the samples, drawn without replacement.

    Their standard deviation is the standard error of the score on all samples (the delete-half jackknife: Shao, Wu, "A
    General Theory for Jackknife Variance Estimation", Annals of Statistics 17, 1989). A bootstrap draws samples twice,
    which counts as mutual information. The same numbers of samples, repeats and seed give the same halves, so that two
    models can be compared on them pair by pair.

    Args:
        metric: called as ``metric(codes, factors)``, or with the test samples where they are given.
        codes: ``(N, d)``, ``N ≥ 4``.
        factors: ``(N, k)``.
        test_codes: ``(M, d)``, ``M ≥ 4``, for a metric that takes them; halved likewise.
        test_factors: ``(M, k)``.
        repeats: number of halves, at least 2.
        seed: of the halves.

    Raises:
        ValueError: for fewer samples or repeats, or shapes that do not fit.
    """
    parts = _parts(codes, factors, test_codes, test_factors)
    fewest = min(len(rows) for rows, _ in parts)
    if fewest < 4 or repeats < 2:
        raise ValueError(f"halves need at least 4 samples and 2 repeats, got {fewest} and {repeats}")
    rng = np.random.default_rng(seed)

    def half() -> Result:
        arrays = []
        for rows, labels in parts:
            chosen = rng.permutation(len(rows))[: len(rows) // 2]
            arrays += [rows[chosen], labels[chosen]]
        return metric(*arrays)

    with _silent():
        return [half() for _ in range(repeats)]


def interval(score: float, resamples: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Student's confidence interval around a score.

    Args:
        score: the centre.
        resamples: scores whose standard deviation is the standard error, such as those of :func:`halves`; at least 2.
        level: probability that the interval is to have, in (0, 1).
    """
    if len(resamples) < 2 or not 0 < level < 1:
        raise ValueError(f"an interval needs 2 resamples and a level between 0 and 1, got {len(resamples)} and {level}")
    reach = float(student.ppf((1 + level) / 2, len(resamples) - 1)) * statistics.stdev(resamples)
    return score - reach, score + reach


def _parts(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    test_codes: ArrayLike | Tensor | None,
    test_factors: ArrayLike | Tensor | None,
) -> list[tuple[Floats, NDArray[Any]]]:
    """Checked pairs of codes and factors: one, or that to learn from and that to test."""
    if (test_codes is None) != (test_factors is None):
        raise ValueError("test_codes and test_factors go together, got one of them")
    train = as_codes(codes)
    pairs = [(train, as_targets(factors, len(train)))]
    if test_codes is not None and test_factors is not None:
        test = as_codes(test_codes, "test_codes")
        pairs.append((test, as_targets(test_factors, len(test), "test_factors")))
    return pairs


@contextmanager
def _silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisentangleWarning)
        yield
