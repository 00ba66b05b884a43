"""Gaps of mutual information that pair codes with factors; also called 3CharM.

Sepliarskaia, Kiseleva, de Rijke, "How to Not Measure Disentanglement", 2019, arXiv 1910.05587.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from disentangle.metrics.common import Integers
from disentangle.metrics.information import BINNINGS, Binning, Matrix, check, gap, tabulate
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import warn

Average = Literal["total", "each"]
AVERAGES: dict[str, str] = {
    "total": "the sum of gaps over the sum of entropies",
    "each": "the mean of gaps over entropies",
}


@dataclass(frozen=True, eq=False)
class DCIMIG(CodeScore):
    """A gap for each factor, from the code that is about it and little else.

    Attributes:
        gaps: ``(k,)`` in nats, the widest gap of the codes that know most of this factor; 0 where none does.
        code: ``(k,)``, which code that is; -1 where none.
        mutual_information: ``(d, k)`` in nats, of each binned code with each factor.
        entropy: ``(k,)`` in nats, of each factor.
        bins: the number of bins of a code.
        average: how the score is taken from the gaps.
    """

    gaps: Matrix
    code: Integers
    mutual_information: Matrix
    entropy: Matrix
    bins: int
    average: Average

    @property
    def score(self) -> float:
        """In [0, 1]; 0 where no factor varies."""
        varying = self.entropy > 0
        if not varying.any():
            return 0.0
        gaps, entropy = self.gaps[varying], self.entropy[varying]
        return float(gaps.sum() / entropy.sum() if self.average == "total" else (gaps / entropy).mean())


def dcimig(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    bins: int = 20,
    *,
    average: Average = "total",
    binning: Binning = "width",
    factor_bins: int | None = None,
) -> DCIMIG:
    r"""How much of the factors is known by codes of their own.

    .. math:: \frac{\sum_j \max_{i:\, j(i) = j} \big(I(c_i; v_j) - \max_{l \ne j} I(c_i; v_l)\big)}{\sum_j H(v_j)}

    where code :math:`i` is about factor :math:`j(i) = \arg\max_j I(c_i; v_j)`. Unlike MIG, a factor may have several
    codes; unlike MIG-sup, codes that are about nothing cost nothing.

    Carbonneau et al. (arXiv 2012.09276) have ``average="total"``, the default here, and 10 bins; Boilard's fork of
    disentanglement_lib ``average="each"``.

    What the published code leaves open: a code that knows equally much of two factors has no gap; beside a single
    factor stands one of which nothing is known; a constant factor does not count, and where every factor is constant
    the score is 0.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)`` integers, the index of each factor's value; any numbers with ``factor_bins``.
        bins: number of bins of a code, at least 1.
        average: ``"total"``, the sum of the gaps over the sum of the entropies; ``"each"``, the mean of each gap over
            its factor's entropy.
        binning: ``"width"``, bins of equal width; ``"quantile"``, of equal count.
        factor_bins: number of equal-width bins of a continuous factor; ``None`` for factors that are integers.

    Raises:
        UserError: for an unknown average or binning.
        ValueError: for shapes that do not fit, values that are not finite, factors that are not integers, no bins.

    Warns:
        DisentangleWarning: where a factor is constant or takes more values than there are bins, a code is dead, or
            samples are few.
    """
    check("average", average, AVERAGES)
    table = tabulate(codes, factors, bins, binning, factor_bins)
    gaps = gap(table.information.T)
    about = table.information.argmax(axis=1)
    of_factor = np.zeros_like(table.information)
    of_factor[np.arange(len(about)), about] = gaps
    widest = of_factor.max(axis=0)
    return DCIMIG(
        f"{BINNINGS[binning]}, {AVERAGES[average]}",
        widest,
        np.where(widest > 0, of_factor.argmax(axis=0), -1),
        table.information,
        table.factor_entropy,
        bins,
        average,
        samples=(len(table.codes),),
        warnings=warn(table.cautions()),
        source=Source(partial(dcimig, bins=bins, average=average, binning=binning), table.codes, table.factors),
    )
