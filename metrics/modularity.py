"""Modularity.

Ridgeway, Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", NeurIPS 2018, arXiv 1802.05312;
computed as Locatello et al., ICML 2019, arXiv 1811.12359, published it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from disentangle.metrics.information import (
    BINNINGS,
    Binning,
    Matrix,
    Table,
    hardly_more_than_chance,
    information,
    tabulate,
)
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import warn


@dataclass(frozen=True, eq=False)
class Modularity(CodeScore):
    """How far each code is about one factor.

    Attributes:
        codes: ``(d,)``, each code's modularity in [0, 1]; 0 for a code that knows nothing, which counts.
        mutual_information: ``(d, k)`` in nats, of each binned code with each factor.
        entropy: ``(k,)`` in nats, of each factor.
        bins: the number of bins of a code.
    """

    codes: Matrix
    mutual_information: Matrix
    entropy: Matrix
    bins: int

    @property
    def score(self) -> float:
        """The mean over the codes, in [0, 1]."""
        return float(self.codes.mean())


def modularity(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    bins: int = 20,
    *,
    binning: Binning = "width",
    factor_bins: int | None = None,
) -> Modularity:
    r"""Whether each code knows of one factor only.

    .. math:: \frac1d \sum_{i=1}^{d} \Big(1 - \frac{\sum_{j \ne j(i)} I(c_i; v_j)^2}{(k - 1)\, I(c_i; v_{j(i)})^2}\Big)

    where :math:`v_{j(i)}` is the factor that code :math:`i` knows most of. It is a ratio, so little is asked of a
    code: chance knows more of a factor of many values than of one of few, and thereby noise is modular, too, and a
    rotation may come out above perfect codes. A dead code counts 0, which lowers perfect codes that have some. Judge
    a score beside its reference points.

    What the published code leaves open: where only one factor varies, a code that knows anything is modular (1).
    Constant factors do not count; the published code counts them among the :math:`k`, of which a code then seems to
    be commendably ignorant. Where no factor varies the score is 0.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)`` integers, the index of each factor's value; any numbers with ``factor_bins``.
        bins: number of bins of a code, at least 1. The published number is 20.
        binning: ``"width"``, bins of equal width, as published; ``"quantile"``, of equal count.
        factor_bins: number of equal-width bins of a continuous factor; ``None`` for factors that are integers.

    Raises:
        UserError: for an unknown binning.
        ValueError: for shapes that do not fit, values that are not finite, factors that are not integers, no bins.

    Warns:
        DisentangleWarning: where a factor is constant, a code is dead or knows no more than chance, or samples are
            few.
    """
    table = tabulate(codes, factors, bins, binning, factor_bins)
    squared = np.square(table.information[:, table.varying])
    most = squared.max(axis=1, initial=0)
    rest = squared.sum(axis=1) - most
    others = max(squared.shape[1] - 1, 1)
    each = 1 - np.divide(rest, most * others, out=np.ones_like(most), where=most > 0)
    return Modularity(
        f"{BINNINGS[binning]}, squared mutual information",
        each,
        table.information,
        table.factor_entropy,
        bins,
        samples=(len(table.codes),),
        warnings=warn([*table.cautions(perfect_loses=False), *_chance(table)]),
        source=Source(partial(modularity, bins=bins, binning=binning), table.codes, table.factors),
    )


def _chance(table: Table) -> list[str]:
    shuffled = np.random.default_rng(0).permutation(table.factors)
    counted = np.ones(len(table.information), dtype=bool)
    return hardly_more_than_chance(table.information, information(table.binned, shuffled), counted, "their modularity")
