"""Scores of a classifier from its logits and the true labels: accuracy, confusion, likelihood and calibration.

Everywhere ``logits`` are finite numbers ``(n, k)`` whose softmax over the ``k`` classes is what the classifier
believes; the logarithms of probabilities are such. They are computed with in float64. Of classes with equal logits the
one of the lower index is the answer. No sample is an error; a single class is answered correctly, surely and without
loss.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from torch import Tensor

from disentangle.metrics.common import Integers, Result, as_array

Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: what a two-sided 95 % interval rests on."""

BINS = 15
"""The published number of bins of confidence."""


@dataclass(frozen=True, eq=False)
class Accuracy(Result):
    """How often the label is among the best answers.

    Attributes:
        correct: for how many samples it is.
        samples: ``n``.
        low: lower end of the 95 % interval of :func:`wilson_interval`.
        high: its upper end.
    """

    correct: int
    samples: int
    low: float
    high: float

    @property
    def score(self) -> float:
        """The share of the samples, in [0, 1]."""
        return self.correct / self.samples


@dataclass(frozen=True, eq=False)
class Confusion(Result):
    """Which class is taken for which.

    Attributes:
        matrix: ``(k, k)`` counts, a row a true class, a column an answer.
        recall: ``(k,)``, of each true class the share that is recognised; 0 for a class that does not occur.
        precision: ``(k,)``, of each answer the share that is right; 0 for an answer that is never given.
    """

    matrix: Integers
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]

    @property
    def score(self) -> float:
        """The mean recall over the classes that occur, in [0, 1]: the accuracy if all were equally frequent."""
        return float(self.recall[self.matrix.sum(axis=1) > 0].mean())


@dataclass(frozen=True, eq=False)
class Likelihood(Result):
    """How much probability the true labels are given.

    Attributes:
        mean: of the negative logarithm of a label's probability, in nats.
        error: standard error of this mean; 0 for a single sample.
        samples: ``n``.
    """

    mean: float
    error: float
    samples: int

    @property
    def score(self) -> float:
        """The mean negative log-likelihood in nats, at least 0."""
        return self.mean


@dataclass(frozen=True, eq=False)
class Calibration(Result):
    """How sure a classifier is, and how often it is right when it is so sure: the table behind a reliability diagram.

    Attributes:
        edges: ``(bins + 1,)``, of the bins of confidence, from 0 to 1.
        counts: ``(bins,)``, samples in each bin.
        confidence: ``(bins,)``, their mean confidence; 0 in an empty bin.
        accuracy: ``(bins,)``, the share of them that is right; 0 in an empty bin.
        gap: mean confidence less accuracy, over all samples; above 0 the classifier is too sure of itself.
    """

    edges: NDArray[np.float64]
    counts: Integers
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    gap: float

    @property
    def score(self) -> float:
        """The expected calibration error: what confidence and accuracy of a bin differ by, averaged over samples."""
        return float(self.counts @ np.abs(self.confidence - self.accuracy) / self.counts.sum())


def accuracy(logits: ArrayLike | Tensor, labels: ArrayLike | Tensor, top: int = 1) -> Accuracy:
    """The share of the samples whose label is among the ``top`` best answers, with its 95 % interval.

    Args:
        logits: ``(n, k)``; see the module.
        labels: ``(n,)`` integers in ``0 … k - 1``.
        top: how many answers are given; all ``k`` and more are always right.

    Raises:
        ValueError: for no samples, logits that are not finite, labels that do not fit, or ``top`` below 1.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    scores, truth = _checked(logits, labels)
    own = scores[np.arange(len(truth)), truth][:, None]
    before = np.arange(scores.shape[1]) < truth[:, None]
    rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    correct = int((rank < top).sum())
    return Accuracy(f"top-{top}", correct, len(truth), *wilson_interval(correct, len(truth)))


def wilson_interval(correct: int, samples: int, z: float = Z) -> tuple[float, float]:
    r"""The interval of a share by Wilson's score method, which stays in [0, 1] and is right for few samples, too.

    .. math:: \frac{p + z^2/2n \pm z \sqrt{p (1 - p) / n + z^2 / 4 n^2}}{1 + z^2 / n}

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.

    Args:
        correct: how many of the samples count.
        samples: at least 1.
        z: quantile of the normal distribution; by default for a 95 % interval.

    Raises:
        ValueError: where ``correct`` does not lie in ``0 … samples``, or there is no sample.
    """
    if not 0 <= correct <= samples or samples < 1:
        raise ValueError(f"expected 0 <= correct <= samples and a sample, got {correct} of {samples}")
    share, spread = correct / samples, z * z / samples
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == samples else centre + half)


def confusion_matrix(logits: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> Confusion:
    """How often each true class is taken for each.

    Args:
        logits: ``(n, k)``; see the module.
        labels: ``(n,)`` integers in ``0 … k - 1``.

    Raises:
        ValueError: for no samples, logits that are not finite, or labels that do not fit.
    """
    scores, truth = _checked(logits, labels)
    k = scores.shape[1]
    matrix = np.bincount(truth * k + scores.argmax(axis=1), minlength=k * k).reshape(k, k)
    right = np.diag(matrix).astype(float)
    recall, precision = (
        np.divide(right, total, out=np.zeros(k), where=total > 0) for total in (matrix.sum(axis=1), matrix.sum(axis=0))
    )
    return Confusion("counts, true class by answer", matrix, recall, precision)


def negative_log_likelihood(logits: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> Likelihood:
    """The mean negative logarithm of the probability that the true label is given, in nats: the cross-entropy.

    Args:
        logits: ``(n, k)``; see the module.
        labels: ``(n,)`` integers in ``0 … k - 1``.

    Raises:
        ValueError: for no samples, logits that are not finite, or labels that do not fit.
    """
    scores, truth = _checked(logits, labels)
    losses = -log_softmax(scores, axis=1)[np.arange(len(truth)), truth]
    error = float(losses.std(ddof=1) / math.sqrt(len(losses))) if len(losses) > 1 else 0.0
    return Likelihood("mean over samples, in nats", abs(float(losses.mean())), error, len(losses))


def confidences(logits: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> tuple[NDArray[np.float64], Integers]:
    """The probability ``(n,)`` of each sample's best answer, and these answers ``(n,)``.

    Raises:
        ValueError: for no samples, logits that are not finite, or labels that do not fit.
    """
    scores, _ = _checked(logits, labels)
    answers: Integers = scores.argmax(axis=1)
    return np.exp(log_softmax(scores, axis=1).max(axis=1)), answers


def calibration_error(logits: ArrayLike | Tensor, labels: ArrayLike | Tensor, bins: int = BINS) -> Calibration:
    """The expected calibration error of the best answers, with the table of its bins: :func:`reliability` of them.

    Args:
        logits: ``(n, k)``; see the module.
        labels: ``(n,)`` integers in ``0 … k - 1``.
        bins: number of bins.

    Raises:
        ValueError: for no samples, logits that are not finite, labels that do not fit, or no bins.
    """
    confidence, answers = confidences(logits, labels)
    return reliability(confidence, answers == _checked(logits, labels)[1], bins)


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> Calibration:
    r"""How far confidence is from accuracy, in bins of equal width.

    .. math:: \sum_{m=1}^{M} \frac{|B_m|}{n} \left| \mathrm{acc}(B_m) - \mathrm{conf}(B_m) \right|

    with :math:`B_m` the samples whose confidence lies in :math:`((m-1)/M, m/M]`. By chance alone it is above 0 for a
    perfectly calibrated classifier, too, the more so the fewer the samples.

    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, arXiv 1706.04599.

    Args:
        confidence: ``(n,)``, the probability of each answer, in [0, 1].
        right: ``(n,)``, whether the answer is right.
        bins: the number of bins; the published one is 15.

    Raises:
        ValueError: for no samples, shapes that differ, confidence outside [0, 1], or no bins.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    if confidence.ndim != 1 or confidence.shape != right.shape or len(right) == 0:
        raise ValueError(f"expected as many answers as confidences, at least one: {right.shape}, {confidence.shape}")
    if not ((confidence >= 0) & (confidence <= 1 + 1e-9)).all():
        raise ValueError("confidence is a probability, between 0 and 1")
    edges = np.linspace(0, 1, bins + 1)
    # A confidence on an edge belongs to the bin below it.
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(place, minlength=bins)
    mean, share = (
        np.divide(np.bincount(place, values, bins), counts, out=np.zeros(bins), where=counts > 0)
        for values in (confidence, right.astype(float))
    )
    gap = float(confidence.mean() - right.mean())
    return Calibration(f"{bins} bins of equal width, of the best answer", edges, counts, mean, share, gap)


def _checked(logits: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> tuple[NDArray[np.float64], Integers]:
    scores = as_array(logits, "logits").astype(np.float64)
    given = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if given.shape != (len(scores),):
        raise ValueError(f"labels must have shape ({len(scores)},), one a row of logits, got {given.shape}")
    if given.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, got {given.dtype}")
    if given.min() < 0 or given.max() >= scores.shape[1]:
        raise ValueError(
            f"labels must lie in 0 … {scores.shape[1] - 1}, as many as there are columns of logits, "
            f"got {given.min()} … {given.max()}"
        )
    return scores, given.astype(np.int64)
