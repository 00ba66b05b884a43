"""The mutual information gap seen from the codes.

Li, Murkute, Gyawali, Wang, "Progressive Learning and Disentanglement of Hierarchical Representations", ICLR 2020,
arXiv 2002.10549.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.metrics.information import BINNINGS, NORMALISERS, Binning, Matrix, Normaliser, gap, tabulate
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import varies, warn


@dataclass(frozen=True, eq=False)
class MIGSup(CodeScore):
    """A gap for each code, and what it was taken from.

    Attributes:
        gaps: ``(d,)``, each code's gap in [0, 1].
        active: ``(d,)``, the codes that count.
        mutual_information: ``(d, k)`` in nats, of each binned code with each factor.
        entropy: ``(k,)`` in nats, of each factor.
        bins: the number of bins of a code.
    """

    gaps: Matrix
    active: NDArray[np.bool_]
    mutual_information: Matrix
    entropy: Matrix
    bins: int

    @property
    def score(self) -> float:
        """The mean gap over the active codes, in [0, 1]; 0 where none is."""
        return float(self.gaps[self.active].mean()) if self.active.any() else 0.0


def mig_sup(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    bins: int = 20,
    *,
    normaliser: Normaliser = "entropy",
    binning: Binning = "width",
    factor_bins: int | None = None,
    least_variance: float = 0.01,
) -> MIGSup:
    r"""How much more each code knows of its best factor than of the second best: MIG's supplement.

    .. math:: \frac1{|A|} \sum_{i \in A}
              \Big(\frac{I(c_i; v_{(1)})}{H(v_{(1)})} - \frac{I(c_i; v_{(2)})}{H(v_{(2)})}\Big)

    over the active codes :math:`A`. MIG sees a factor that is spread over codes; this sees a code that mixes factors.

    Li et al. divide by the logarithm of the number of values and leave out codes of a variance of at most 0.01; they
    estimate information from the posteriors' densities, here it is counted in bins, as for
    :func:`~disentangle.metrics.mig.mig`. Carbonneau et al. (arXiv 2012.09276) count every code, divide by the binned
    code's entropy and have 10 bins: ``mig_sup(codes, factors, 10, normaliser="code", least_variance=0)`` but for
    constant codes, for which theirs is 0/0.

    What the published code leaves open: constant codes and constant factors do not count; beside a single factor
    stands one of which nothing is known; where no code counts the score is 0.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)`` integers, the index of each factor's value; any numbers with ``factor_bins``.
        bins: number of bins of a code, at least 1.
        normaliser: ``"entropy"`` of the factor, ``"values"``, the logarithm of the number of its values that occur,
            or ``"code"``, the entropy of the binned code.
        binning: ``"width"``, bins of equal width; ``"quantile"``, of equal count.
        factor_bins: number of equal-width bins of a continuous factor; ``None`` for factors that are integers.
        least_variance: codes of no more variance do not count. It is in the codes' own unit: meant for VAEs, whose
            codes are held to a unit prior. 0 counts every code that is not constant.

    Raises:
        UserError: for an unknown normaliser or binning.
        ValueError: for shapes that do not fit, values that are not finite, factors that are not integers, no bins.

    Warns:
        DisentangleWarning: where a factor is constant or takes more values than there are bins, a code does not
            count, or samples are few.
    """
    table = tabulate(codes, factors, bins, binning, factor_bins)
    varying = table.varying
    alive = varies(table.codes)
    with np.errstate(over="ignore"):  # an infinite variance is above the least one, too
        active = alive & (table.codes.astype(np.float64).var(axis=0) > least_variance)
    words = table.cautions(perfect_loses=normaliser != "code")
    if (alive & ~active).any():
        numbers = ", ".join(map(str, np.flatnonzero(alive & ~active)))
        words.append(f"codes that do not count, for their variance is {least_variance:g} or less: {numbers}")
    return MIGSup(
        f"{BINNINGS[binning]}, {NORMALISERS[normaliser]}, codes of variance above {least_variance:g}",
        gap(table.normalised(normaliser)[:, varying].T),
        active,
        table.information,
        table.factor_entropy,
        bins,
        samples=(len(table.codes),),
        warnings=warn(words),
        source=Source(
            partial(mig_sup, bins=bins, normaliser=normaliser, binning=binning, least_variance=least_variance),
            table.codes,
            table.factors,
        ),
    )
