"""The separated attribute predictability score.

Kumar, Sattigeri, Balakrishnan, "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations",
ICLR 2018, arXiv 1711.00848; computed as Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning
of Disentangled Representations", ICML 2019, arXiv 1811.12359, published it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.metrics.common import Floats, Integers, as_codes, as_split, as_targets
from disentangle.metrics.svm import linear_svm
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import FAINT, constant_factors, dead_codes, few_to_learn, numbered, varies, warn

Matrix = NDArray[np.float64]

COST = 0.01
"""Of the classifier's mistakes, beside the squares of its weights; the published number."""

FAR = 10.0
"""Deviations of a code from 0 beyond which the published classifier, which penalises its intercept, does worse."""

LEAST_VARIANCE = 1e-12
"""A code of no more variance than this, the published number, is taken to correlate with nothing."""


@dataclass(frozen=True, eq=False)
class SAP(CodeScore):
    """A separated attribute predictability and its parts.

    Attributes:
        gaps: ``(k,)``, each factor's gap in [0, 1] between its two best codes.
        predictability: ``(d, k)`` in [0, 1], how well each code alone predicts each factor: the accuracy on the test
            codes, or the squared correlation.
        varying: ``(k,)``, which factors count; a constant one has gap and predictability 0.
    """

    gaps: Matrix
    predictability: Matrix
    varying: NDArray[np.bool_]

    @property
    def score(self) -> float:
        """The mean gap over the factors that vary, in [0, 1]; 0 where none does."""
        return float(self.gaps[self.varying].mean()) if self.varying.any() else 0.0


def sap(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    test_codes: ArrayLike | Tensor | None = None,
    test_factors: ArrayLike | Tensor | None = None,
    continuous: bool = False,
) -> SAP:
    """How much better the best code alone predicts each factor than the second best does.

    Discrete factors are predicted by a linear support vector machine (C = 0.01, balanced classes), one class against
    the rest; its score is the accuracy on other samples. It is solved exactly, where the published code stops within
    liblinear's tolerance: accuracies differed by at most 0.002, scores by less than 0.0001, on 30 sets of codes. A line
    tells few values apart, so that perfect codes of a factor of many values score far below 1: see
    ``reference_points``. Continuous factors are scored by the squared correlation on the samples given first.

    What the published code leaves open: a constant factor is left out of the mean, and where every factor is constant
    the score is 0; beside a single code stands one that is constant; a value that occurs only among the test samples
    counts as mispredicted.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch, to learn from.
        factors: ``(N, k)`` integers, the index of each factor's value; real numbers where ``continuous``.
        test_codes: ``(M, d)``, other samples; not used where ``continuous``.
        test_factors: ``(M, k)``.
        continuous: the variant for factors that are quantities.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, discrete factors that are not integers, or
            discrete factors without test samples.

    Warns:
        DisentangleWarning: where a factor or a code is constant, or a code next to it, samples are few to learn from,
            or codes are so small, or so far from 0, that the score, which depends on scale and origin, is another for
            that.
    """
    if continuous:
        return _continuous(codes, factors)
    if test_codes is None or test_factors is None:
        raise ValueError("discrete factors are predicted on other samples: give test_codes and test_factors")
    train, targets, test, test_targets = as_split(codes, factors, test_codes, test_factors)
    warnings = warn(constant_factors(targets) + dead_codes(train) + _small(train) + few_to_learn(targets))
    varying = varies(targets)
    accuracy = np.zeros((train.shape[1], targets.shape[1]))
    chance = np.zeros((1, targets.shape[1]))
    for j in np.flatnonzero(varying):
        for i in range(train.shape[1]):
            accuracy[i, j] = _accuracy(train[:, i], targets[:, j], test[:, i], test_targets[:, j])
        nothing = np.zeros(len(train)), np.zeros(len(test))
        chance[0, j] = _accuracy(nothing[0], targets[:, j], nothing[1], test_targets[:, j])
    return SAP(
        "accuracy of a linear classifier",
        _gaps(accuracy, chance),
        accuracy,
        varying,
        samples=(len(train), len(test)),
        learner="linear SVM, C = 0.01, balanced classes",
        warnings=warnings,
        source=Source(partial(sap, continuous=False), train, targets, test, test_targets),
    )


def _continuous(codes: ArrayLike | Tensor, factors: ArrayLike | Tensor) -> SAP:
    array = as_codes(codes)
    targets = as_targets(factors, len(array))
    warnings = warn(constant_factors(targets) + dead_codes(array) + _faint(array), stacklevel=4)
    varying = varies(targets)
    correlation = np.where(varying, _squared_correlation(array, targets), 0)
    return SAP(
        "squared correlation",
        _gaps(correlation, np.zeros((1, targets.shape[1]))),
        correlation,
        varying,
        samples=(len(array),),
        warnings=warnings,
        source=Source(partial(sap, continuous=True), array, targets),
    )


def _accuracy(code: Floats, factor: Integers, test_code: Floats, test_factor: Integers) -> float:
    return float(np.mean(linear_svm(code, factor, COST).predict(test_code) == test_factor))


def _squared_correlation(codes: Floats, factors: NDArray[np.generic]) -> Matrix:
    """``(d, k)``; 0 for a code of next to no variance."""
    x, y = _centred(codes)[0], _centred(factors)[0]
    x_squares, y_squares = np.sum(x**2, axis=0), np.sum(y**2, axis=0)
    alive = _alive(codes)
    products = np.outer(x_squares, y_squares)
    squared = np.divide((x.T @ y) ** 2, products, out=np.zeros_like(products), where=alive[:, None] & (products > 0))
    return np.asarray(squared.clip(0, 1))


def _alive(codes: Floats) -> NDArray[np.bool_]:
    """Which codes vary by more than the least variance."""
    x, unit = _centred(codes)
    with np.errstate(over="ignore"):  # an infinite variance is above the least one, too
        return np.asarray(np.sum(x**2, axis=0) / max(len(x) - 1, 1) * unit**2 > LEAST_VARIANCE)


def _faint(codes: Floats) -> list[str]:
    """Of codes that vary, and yet are taken to correlate with nothing."""
    which = varies(codes) & ~_alive(codes)
    return [
        f"{numbered(which)} of a variance below {LEAST_VARIANCE:g}, which as published correlates with nothing: bring "
        "codes to unit variance to see what they know"
    ] * bool(which.any())


def _small(codes: Floats) -> list[str]:
    """Of codes so small, or so far from 0, that the classifier's penalty on its weights and its intercept weighs as
    much as its mistakes."""
    x, unit = _centred(codes)
    deviation = x.std(axis=0) * unit
    least = 1 / np.sqrt(COST * len(codes))
    seen = varies(codes) & (deviation >= FAINT * deviation.max())  # fainter ones are told of
    small = seen & (deviation < least)
    far = seen & (np.abs(codes.astype(np.float64).mean(axis=0)) > FAR * deviation)
    return [
        f"{numbered(small)} of a deviation below {least:.2g}, where the penalty on the classifier's weights has "
        "a say: SAP depends on the codes' scale, so compare it at unit variance"
    ] * bool(small.any()) + [
        f"{numbered(far)} more than {FAR:g} deviations from 0, and the classifier's penalty is also on how far it goes "
        "from there: SAP depends on the codes' origin, so compare it of centred codes"
    ] * bool(far.any())


def _centred(columns: NDArray[np.generic]) -> tuple[Matrix, Matrix]:
    """Columns of mean 0 (a constant one is 0 throughout), in units of about their range, and these units."""
    array = columns.astype(np.float64) / 4  # the range of the greatest floats overflows
    array = array - array[0]  # before they are divided, so that small differences of large values are kept
    unit = np.abs(array).max(axis=0)
    unit[unit == 0] = 1
    array = array / unit
    with np.errstate(over="ignore"):
        return array - array.mean(axis=0), 4 * unit


def _gaps(predictability: Matrix, chance: Matrix) -> Matrix:
    """Best less second best of every column; beside a single code stands ``chance (1, k)``."""
    rows = np.vstack([predictability, chance]) if len(predictability) == 1 else predictability
    ranked = np.sort(rows, axis=0)
    return np.asarray(ranked[-1] - ranked[-2])
