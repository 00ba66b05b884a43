"""The mutual information gap.

Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018, arXiv 1802.04942; computed
as Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations",
ICML 2019, arXiv 1811.12359, published it.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.errors import DisentangleWarning
from disentangle.metrics.common import Floats, Integers, Result, as_codes, as_factors


@dataclass(frozen=True, eq=False)
class MIG(Result):
    """A mutual information gap and its parts.

    Attributes:
        gaps: ``(k,)``, each factor's gap in [0, 1]; 0 for a constant factor, which does not count.
        mutual_information: ``(d, k)`` in nats, of each binned code with each factor.
        entropy: ``(k,)`` in nats, of each factor.
        bins: the number of equal-width bins of a code.
        samples: ``N``.
    """

    gaps: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    entropy: NDArray[np.float64]
    bins: int
    samples: int

    @property
    def score(self) -> float:
        """The mean gap over the factors that vary, in [0, 1]; 0 where none does."""
        varying = self.entropy > 0
        return float(self.gaps[varying].mean()) if varying.any() else 0.0


def mig(codes: ArrayLike | Tensor, factors: ArrayLike | Tensor, bins: int = 20) -> MIG:
    r"""How much more the best code knows of each factor than the second best.

    .. math:: \frac1k \sum_{j=1}^{k} \frac{I(c_{(1)}; v_j) - I(c_{(2)}; v_j)}{H(v_j)}

    Each code is cut into ``bins`` bins of equal width between its least and its greatest value; factors are taken as
    they are. Mutual information is counted, not corrected for bias: at few samples, noise has a lot of it. Perfect
    codes of a factor of more values than bins score below 1, so judge a score beside its
    :func:`~disentangle.metrics.baselines.reference_points`.

    What the published code leaves open: a constant code knows nothing; beside a single code stands one that knows
    nothing; a constant factor has no gap and is left out of the mean; where every factor is constant the score is 0;
    a code whose range is too narrow to be cut into ``bins`` floating-point intervals has a bin for each of its
    values. Fewer samples than bins are scored like any others.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)`` integers, the index of each factor's value.
        bins: number of bins of a code, at least 1. The published number is 20.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, factors that are not integers, no bins.

    Warns:
        DisentangleWarning: where a factor is constant, takes more values than there are bins, or bins outnumber
            samples.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    codes = as_codes(codes)
    factors = as_factors(factors, len(codes))
    labels, sizes = label(factors)
    _warn(len(codes), sizes, bins)
    binned = [_bin(code, bins) for code in codes.T]
    information = np.array([[_information(b, v, bins, n) for v, n in zip(labels, sizes)] for b in binned])
    entropy = np.array([_information(v, v, n, n) for v, n in zip(labels, sizes)])
    best = np.sort(np.vstack([information, np.zeros(len(sizes))]), axis=0)
    gaps = np.divide(best[-1] - best[-2], entropy, out=np.zeros(len(sizes)), where=entropy > 0)
    return MIG("equal-width bins, over the factor's entropy", gaps, information, entropy, bins, len(codes))


def label(factors: Integers) -> tuple[list[Integers], list[int]]:
    """Each factor's values as indices ``0 … n - 1`` of those that occur, and ``n``."""
    pairs = [np.unique(factor, return_inverse=True) for factor in factors.T]
    return [index for _, index in pairs], [len(values) for values, _ in pairs]


def _bin(code: Floats, bins: int) -> Integers:
    """The bin ``0 … bins - 1`` of every value, by the published edges: ``histogram`` in the code's own precision."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            edges = np.histogram_bin_edges(code, bins)[1:-1]
    except ValueError:  # the range is a few roundings wide, or overflows: few values, or rescaled ones
        values, index = np.unique(code, return_inverse=True)
        if len(values) <= bins:
            return index
        code = code.astype(np.float64) / 4
        edges = np.histogram_bin_edges(code, bins)[1:-1]
    return np.digitize(code, edges)


def _information(a: Integers, b: Integers, a_size: int, b_size: int) -> float:
    """Mutual information in nats of two columns of indices, from their counts."""
    joint = np.bincount(a * b_size + b, minlength=a_size * b_size).reshape(a_size, b_size)
    rows, columns = np.nonzero(joint)
    counts = joint[rows, columns]
    expected = joint.sum(1)[rows] * joint.sum(0)[columns]
    return max(0.0, float(np.sum(counts / len(a) * np.log(counts * len(a) / expected))))


def _warn(samples: int, sizes: list[int], bins: int) -> None:
    for j, size in enumerate(sizes):
        if size == 1:
            warnings.warn(f"factor {j} is constant: it does not count", DisentangleWarning, stacklevel=3)
        elif size > bins:
            message = f"factor {j} takes {size} values and codes have {bins} bins: even perfect codes score below 1"
            warnings.warn(message, DisentangleWarning, stacklevel=3)
    if samples < bins:
        message = f"{samples} samples in {bins} bins: mutual information is mostly chance"
        warnings.warn(message, DisentangleWarning, stacklevel=3)
