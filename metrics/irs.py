"""The interventional robustness score.

Suter, Miladinović, Schölkopf, Bauer, "Robustly Disentangled Causal Mechanisms", ICML 2019, arXiv 1811.00007; computed
as disentanglement_lib (Locatello et al., arXiv 1811.12359) published it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from disentangle.metrics.common import Floats, Integers, as_codes, rescaled
from disentangle.metrics.information import Matrix, label
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import constant_factors, dead_codes, listed, upto, varies, warn


@dataclass(frozen=True, eq=False)
class IRS(CodeScore):
    """How still each code holds while its factor does.

    Attributes:
        robustness: ``(d, k)`` in [0, 1]: one minus how far a code strays while a factor is held, over how far it
            strays at all; 0 for constant codes and factors, which do not count.
        parents: ``(d,)``, the factor that each code is most robust with; -1 for a code that does not count.
        weights: ``(d,)``, each code's share in the score: how far it strays from its mean at most, over the sum of
            that; 0 for a code that does not count.
    """

    robustness: Matrix
    parents: Integers
    weights: Matrix

    @property
    def score(self) -> float:
        """The mean over codes of their greatest robustness, weighed by deviation; 0 where nothing counts."""
        return min(1.0, float(self.robustness.max(axis=1) @ self.weights))


def irs(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    quantile: float = 0.99,
    bins: int | None = 20,
) -> IRS:
    r"""Whether each code stays put while one factor does, whatever the others do.

    .. math:: R_{ij} = 1 - \frac{1}{n_j} \sum_v \frac{q(|c_i - \bar c_i(v)|)}{\max |c_i - \bar c_i|}

    where the quantile :math:`q` and the mean :math:`\bar c_i(v)` are over the samples with :math:`v_j = v`, one of
    :math:`n_j` values, and the maximum and the mean :math:`\bar c_i` over all samples. The score is the mean over
    codes of :math:`\max_j R_{ij}`, weighed by the code's deviation, so codes of another scale weigh otherwise. Noise
    scores well above 0: a quantile lies below a maximum.

    What the published code leaves open: constant codes do not count, and where all are the score is 0, as published;
    neither do constant factors, which the published code counts although holding them is no intervention.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)``; integers or, since they are binned, any numbers.
        quantile: in (0, 1]: which of the deviations stands for the greatest. Published by disentanglement_lib: 0.99;
            by Suter et al.: 1.
        bins: number of equal-width bins of a factor, at least 1; the published number is 20. ``None`` takes integer
            factors as they are.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, a quantile out of range, no bins, or
            factors that are not integers where ``bins`` is ``None``.

    Warns:
        DisentangleWarning: where a factor is constant, a code is dead, or half of a factor's values have so few
            samples that a code hardly can stray.
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile must be above 0 and at most 1, got {quantile}")
    codes = as_codes(codes)
    labels = label(factors, len(codes), bins)
    active, varying = varies(codes), varies(labels)
    rows = np.ascontiguousarray(codes.T)
    rows = rescaled(rows).astype(rows.dtype)  # the sum of the greatest floats overflows
    deviations = np.abs(rows - rows.mean(axis=1, keepdims=True)).max(axis=1).astype(np.float64)
    robustness = np.zeros((len(rows), labels.shape[1]))
    for j in np.flatnonzero(varying):
        strayed = _strayed(rows, labels[:, j], quantile)
        robustness[:, j] = 1 - np.divide(strayed, deviations, out=np.ones(len(rows)), where=active & (deviations > 0))
    counts = active & varying.any()
    weights = np.where(counts, deviations, 0)
    return IRS(
        f"{quantile:g} quantile, {'factors as they are' if bins is None else f'factors in {bins} equal-width bins'}",
        np.clip(robustness, 0, 1),
        np.where(counts, robustness.argmax(axis=1), -1),
        weights / (weights.sum() or 1),
        samples=(len(codes),),
        warnings=warn([*constant_factors(labels), *dead_codes(codes), *_few(labels)]),
        source=Source(partial(irs, quantile=quantile, bins=None), codes, labels),
    )


def _strayed(rows: Floats, factor: Integers, quantile: float) -> Matrix:
    """``(d,)``: the quantile of each code's distance from its mean, averaged over the values of a factor."""
    order = np.argsort(factor, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(factor[order])) + 1)
    total = np.zeros(len(rows))
    for group in groups:
        held = rows[:, group]
        total += np.quantile(np.abs(held - held.mean(axis=1, keepdims=True)), quantile, axis=1)
    return total / len(groups)


def _few(labels: Integers) -> list[str]:
    """Of factors whose typical value has too few samples to show how far a code can stray."""
    counts = [float(np.median(np.unique(factor, return_counts=True)[1])) for factor in labels.T]
    few = {j: count for j, count in enumerate(counts) if count < 10}
    if not few:
        return []
    return [
        f"half of the values of {listed(few)} have {upto(few.values(), '.0f')} samples or fewer: codes seem robust for "
        "want of samples"
    ]
