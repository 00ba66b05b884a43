"""What binned codes know of factors: the table that the scores of mutual information are taken from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.errors import unknown_name
from disentangle.metrics.common import Floats, Integers, as_codes, as_factors, as_targets
from disentangle.metrics.words import constant_factors, dead_codes, few_bins, few_samples

Matrix = NDArray[np.float64]

Binning = Literal["width", "quantile"]
BINNINGS: dict[str, str] = {"width": "equal-width bins", "quantile": "equal-count bins"}

Normaliser = Literal["entropy", "values", "code"]
NORMALISERS: dict[str, str] = {
    "entropy": "over the factor's entropy",
    "values": "over the logarithm of the factor's number of values",
    "code": "over the binned code's entropy",
}


@dataclass(frozen=True, eq=False)
class Table:
    """What each of ``d`` binned codes knows of each of ``k`` factors; all in nats, counted, not corrected for bias.

    Attributes:
        codes: ``(N, d)`` as they were given, checked.
        binned: ``(N, d)``, their bins.
        factors: ``(N, k)`` the index of each factor's value among those that occur.
        information: ``(d, k)``, mutual information.
        code_entropy: ``(d,)``.
        factor_entropy: ``(k,)``.
        values: ``(k,)``, how many values of each factor occur.
        bins: the number of bins of a code.
        binning: how the bins were cut.
    """

    codes: Floats
    binned: Integers
    factors: Integers
    information: Matrix
    code_entropy: Matrix
    factor_entropy: Matrix
    values: Integers
    bins: int
    binning: Binning

    @property
    def varying(self) -> NDArray[np.bool_]:
        """``(k,)``: which factors take more than one value; the others do not count."""
        return np.asarray(self.values > 1)

    @property
    def joint_entropy(self) -> Matrix:
        """``(d, k)``, of each code with each factor."""
        return self.code_entropy[:, None] + self.factor_entropy - self.information

    def normalised(self, normaliser: Normaliser) -> Matrix:
        """``(d, k)``: information as a share of what ``normaliser`` names; 0 where that is 0."""
        check("normaliser", normaliser, NORMALISERS)
        whole = {
            "entropy": self.factor_entropy,
            "values": np.log(self.values),
            "code": self.code_entropy[:, None],
        }[normaliser]
        whole = np.broadcast_to(whole, self.information.shape)
        return np.asarray(np.divide(self.information, whole, out=np.zeros_like(whole), where=whole > 0))

    def cautions(self, perfect_loses: bool = True) -> list[str]:
        """What a reader must know of the arrays; ``perfect_loses``: whether bins fewer than values lower the score."""
        few = few_bins(self.factors, self.bins) if perfect_loses else []
        return [
            *constant_factors(self.factors),
            *dead_codes(self.codes),
            *few,
            *few_samples(self.factors, self.bins),
        ]


def tabulate(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    bins: int,
    binning: Binning = "width",
    factor_bins: int | None = None,
) -> Table:
    """Check and bin codes and factors, and count what they know of each other.

    Args:
        codes: ``(N, d)`` floats.
        factors: ``(N, k)`` integers, or any numbers where ``factor_bins`` says how to bin them.
        bins: number of bins of a code, at least 1.
        binning: ``"width"``, bins of equal width between a code's least and greatest value, as disentanglement_lib
            cuts them; ``"quantile"``, bins of as nearly equal count as ties allow.
        factor_bins: number of bins of equal width of a factor; ``None`` takes factors as they are.

    Raises:
        UserError: for an unknown binning.
        ValueError: for shapes that do not fit, values that are not finite, factors that are not integers and not
            binned, or no bins.
    """
    check("binning", binning, BINNINGS)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    codes = as_codes(codes)
    labels = label(factors, len(codes), factor_bins)
    binned = np.column_stack([bin_values(code, bins, binning) for code in codes.T])
    values = labels.max(axis=0) + 1
    return Table(
        codes=codes,
        binned=binned,
        factors=labels,
        information=information(binned, labels),
        code_entropy=entropy(binned),
        factor_entropy=entropy(labels),
        values=values,
        bins=bins,
        binning=binning,
    )


def label(factors: ArrayLike | Tensor, samples: int, bins: int | None = None) -> Integers:
    """Factors ``(N, k)`` as indices ``0 … n - 1`` of the values, or of the equal-width bins, that occur.

    Raises:
        ValueError: for shapes that do not fit, factors that are neither integers nor binned, or too large to be told
            apart, or no bins.
    """
    if bins is None:
        values: Integers | Floats = as_factors(factors, samples)
    elif bins < 1:
        raise ValueError(f"factor_bins must be at least 1, got {bins}")
    else:
        values = as_codes(as_targets(factors, samples), "factors")
        values = np.column_stack([bin_values(factor, bins) for factor in values.T])
    return np.column_stack([np.unique(factor, return_inverse=True)[1] for factor in values.T])


def bin_values(code: Floats, bins: int, binning: Binning = "width") -> Integers:
    """The bin ``0 … bins - 1`` of every value ``(N,)``; equal width by ``histogram`` in the code's own precision.

    A code whose range is too narrow to be cut into ``bins`` floating-point intervals has a bin for each of its
    values.
    """
    if binning == "quantile":
        last = -(-len(code) * np.arange(1, bins) // bins) - 1  # where each bin but the last one ends, in order of size
        return np.digitize(code, np.sort(code)[last], right=True)
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


def information(codes: Integers, factors: Integers) -> Matrix:
    """Mutual information ``(d, k)`` in nats of two matrices ``(N, d)`` and ``(N, k)`` of indices, from their counts."""
    n, d = codes.shape
    bins = int(codes.max()) + 1
    offset = codes + bins * np.arange(d)
    table = np.empty((d, factors.shape[1]))
    for j, factor in enumerate(factors.T):
        values = int(factor.max()) + 1
        flat = np.bincount((offset * values + factor[:, None]).ravel(), minlength=d * bins * values)
        joint = flat.reshape(d, bins, values)
        expected = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
        ratio = np.divide(joint * n, expected, out=np.ones(joint.shape), where=joint > 0)
        table[:, j] = np.sum(joint / n * np.log(ratio), axis=(1, 2))
    return np.maximum(table, 0)


def entropy(labels: Integers) -> Matrix:
    """Entropy ``(m,)`` in nats of each column of a matrix ``(N, m)`` of indices."""
    shares = [np.unique(column, return_counts=True)[1] / len(column) for column in labels.T]
    return np.array([max(0.0, -float(np.sum(share * np.log(share)))) for share in shares])


def gap(values: Matrix) -> Matrix:
    """How far the greatest number of each column is above the second, or above 0 where a column has but one."""
    best = np.sort(np.vstack([values, np.zeros((2, values.shape[1]))]), axis=0)
    return np.asarray(best[-1] - best[-2])


def check(kind: str, name: str, known: dict[str, str]) -> None:
    """Raise :class:`~disentangle.errors.UserError` unless ``name`` is one of ``known``."""
    if name not in known:
        raise unknown_name(kind, name, known)


def hardly_more_than_chance(known: Matrix, chance: Matrix, counted: NDArray[np.bool_], share: str) -> list[str]:
    """Of codes that know of every factor about as little as of factors whose samples were shuffled.

    Args:
        known: ``(d, k)``, what each code knows of each factor.
        chance: ``(d, k)``, the same of shuffled factors.
        counted: ``(d,)``, the codes that the score counts.
        share: what then is chance, for the message.
    """
    level = float(chance[counted].max(initial=0))
    best = known.max(axis=1, initial=0)
    doubtful = counted & (best > 0) & (best <= 1.25 * level)
    if not doubtful.any():
        return []
    numbers = np.flatnonzero(doubtful)
    names = f"code {numbers[0]} knows" if len(numbers) == 1 else f"codes {', '.join(map(str, numbers))} know"
    return [
        f"{names} hardly more of any factor than of shuffled ones (at most {best[doubtful].max():.3g} against "
        f"{level:.3g}): {share} is mostly chance, so hold it against the reference point of noise"
    ]
