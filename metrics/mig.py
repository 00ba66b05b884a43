"""The mutual information gap.

Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018, arXiv 1802.04942; computed
as Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations",
ICML 2019, arXiv 1811.12359, published it.
"""

from dataclasses import dataclass
from functools import partial

from numpy.typing import ArrayLike
from torch import Tensor

from disentangle.metrics.information import BINNINGS, NORMALISERS, Binning, Matrix, Normaliser, gap, tabulate
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import warn


@dataclass(frozen=True, eq=False)
class MIG(CodeScore):
    """A mutual information gap and its parts.

    Attributes:
        gaps: ``(k,)``, each factor's gap in [0, 1]; 0 for a constant factor, which does not count.
        mutual_information: ``(d, k)`` in nats, of each binned code with each factor.
        entropy: ``(k,)`` in nats, of each factor.
        bins: the number of bins of a code.
    """

    gaps: Matrix
    mutual_information: Matrix
    entropy: Matrix
    bins: int

    @property
    def score(self) -> float:
        """The mean gap over the factors that vary, in [0, 1]; 0 where none does."""
        varying = self.entropy > 0
        return float(self.gaps[varying].mean()) if varying.any() else 0.0


def mig(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    bins: int = 20,
    *,
    normaliser: Normaliser = "entropy",
    binning: Binning = "width",
    factor_bins: int | None = None,
) -> MIG:
    r"""How much more the best code knows of each factor than the second best.

    .. math:: \frac1k \sum_{j=1}^{k} \frac{I(c_{(1)}; v_j) - I(c_{(2)}; v_j)}{H(v_j)}

    Each code is cut into ``bins`` bins of equal width between its least and its greatest value; factors are taken as
    they are. Mutual information is counted, not corrected for bias: at few samples, noise has a lot of it. Perfect
    codes of a factor of more values than bins score below 1, so judge a score beside its
    :attr:`~disentangle.metrics.trust.CodeScore.reference_points`.

    Published variants differ in what they divide by. Chen et al. take the logarithm of the factor's number of values,
    which is its entropy on a full grid, and information under the posterior's density, which codes alone do not
    give. Carbonneau et al., "Measuring Disentanglement: A Review of Metrics", IEEE TNNLS 2022, arXiv 2012.09276,
    divide the information of each pair by the binned code's entropy, before the gap is taken, and have 10 bins:
    ``mig(codes, factors, 10, normaliser="code")``.

    What the published code leaves open: a constant code knows nothing; beside a single code stands one that knows
    nothing; a constant factor has no gap and is left out of the mean; where every factor is constant the score is 0;
    a code whose range is too narrow to be cut into ``bins`` floating-point intervals has a bin for each of its
    values. Fewer samples than bins are scored like any others.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)`` integers, the index of each factor's value; any numbers with ``factor_bins``.
        bins: number of bins of a code, at least 1. The published number is 20.
        normaliser: ``"entropy"`` of the factor, as published by Locatello et al.; ``"values"``, the logarithm of the
            number of its values that occur; ``"code"``, the entropy of the binned code.
        binning: ``"width"``, bins of equal width, as published; ``"quantile"``, of equal count.
        factor_bins: number of equal-width bins of a continuous factor; ``None`` for factors that are integers.

    Raises:
        UserError: for an unknown normaliser or binning.
        ValueError: for shapes that do not fit, values that are not finite, factors that are not integers, no bins.

    Warns:
        DisentangleWarning: where a factor is constant or takes more values than there are bins, a code is dead, or
            samples are few.
    """
    table = tabulate(codes, factors, bins, binning, factor_bins)
    gaps = gap(table.normalised(normaliser))
    return MIG(
        f"{BINNINGS[binning]}, {NORMALISERS[normaliser]}",
        gaps,
        table.information,
        table.factor_entropy,
        bins,
        samples=(len(table.codes),),
        warnings=warn(table.cautions(perfect_loses=normaliser != "code")),
        source=Source(partial(mig, bins=bins, normaliser=normaliser, binning=binning), table.codes, table.factors),
    )
