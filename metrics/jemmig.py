"""The joint entropy minus mutual information gap.

Do, Tran, "Theory and Evaluation Metrics for Learning Disentangled Representations", ICLR 2020, arXiv 1908.09961.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from disentangle.metrics.common import Integers
from disentangle.metrics.information import BINNINGS, Binning, Matrix, Table, gap, tabulate
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import warn


@dataclass(frozen=True, eq=False)
class JEMMIG(CodeScore):
    """A joint entropy minus mutual information gap, and its parts.

    Attributes:
        entropies: ``(k,)`` in nats, each factor's joint entropy with its best code less the gap; 0 at best.
        normalised: ``(k,)`` in [0, 1], the same over its greatest value; **lower is better**, as published.
        best: ``(k,)``, the code that knows most of each factor.
        mutual_information: ``(d, k)`` in nats, of each binned code with each factor.
        entropy: ``(k,)`` in nats, of each factor.
        bins: the number of bins of a code.
    """

    entropies: Matrix
    normalised: Matrix
    best: Integers
    mutual_information: Matrix
    entropy: Matrix
    bins: int

    @property
    def published(self) -> float:
        """The mean of ``normalised`` over the factors that vary: Do and Tran's number, lower is better."""
        return 1 - self.score

    @property
    def score(self) -> float:
        """One minus that mean, in [0, 1], so that higher is better; 0 where no factor varies."""
        varying = self.entropy > 0
        return float(1 - self.normalised[varying].mean()) if varying.any() else 0.0


def jemmig(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    bins: int = 20,
    *,
    binning: Binning = "width",
    factor_bins: int | None = None,
) -> JEMMIG:
    r"""Whether each factor has one code that knows it, knows nothing else, and has no rival.

    .. math:: 1 - \frac1k \sum_{j=1}^{k} \frac{H(c_{(1)}, v_j) - I(c_{(1)}; v_j) + I(c_{(2)}; v_j)}{H(v_j) + \log B}

    with :math:`B` bins. MIG does not see what else the best code is full of; the joint entropy does. It is low for
    codes of few values, too, whatever they know: judge a score beside its reference points.

    The score is one minus the published number, as Carbonneau et al. (arXiv 2012.09276) have it, with 10 bins; the
    published one, of which less is better, is :attr:`JEMMIG.published`. Do and Tran spread each code over its
    posterior, in 100 bins from -4 to 4, which codes alone do not give.

    What the published code leaves open: where codes know equally much, that of the least joint entropy is best;
    beside a single code stands one that knows nothing; a factor of which no code knows anything scores 0 (published:
    constant codes score about a half, for their entropy is 0); a constant factor does not count, and where every
    factor is constant the score is 0.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)`` integers, the index of each factor's value; any numbers with ``factor_bins``.
        bins: number of bins of a code, at least 1.
        binning: ``"width"``, bins of equal width; ``"quantile"``, of equal count.
        factor_bins: number of equal-width bins of a continuous factor; ``None`` for factors that are integers.

    Raises:
        UserError: for an unknown binning.
        ValueError: for shapes that do not fit, values that are not finite, factors that are not integers, no bins.

    Warns:
        DisentangleWarning: where a factor is constant or takes more values than there are bins, a code is dead, or
            samples are few.
    """
    table = tabulate(codes, factors, bins, binning, factor_bins)
    best, entropies = _entropies(table)
    greatest = table.factor_entropy + np.log(bins)
    normalised = np.divide(entropies, greatest, out=np.ones_like(entropies), where=table.varying)
    return JEMMIG(
        f"{BINNINGS[binning]}, over the factor's entropy and the logarithm of the bins, taken from 1",
        entropies,
        normalised,
        best,
        table.information,
        table.factor_entropy,
        bins,
        samples=(len(table.codes),),
        warnings=warn(table.cautions()),
        source=Source(partial(jemmig, bins=bins, binning=binning), table.codes, table.factors),
    )


def _entropies(table: Table) -> tuple[Integers, Matrix]:
    """Each factor's best code, and the joint entropy with it less the gap."""
    joint = table.joint_entropy
    best = np.array([np.lexsort((joint[:, j], -table.information[:, j]))[0] for j in range(len(table.values))])
    entropies = joint[best, np.arange(len(best))] - gap(table.information)
    unknown = table.information.max(axis=0) == 0
    entropies[unknown] = table.factor_entropy[unknown] + np.log(table.bins)
    return best, np.maximum(entropies, 0)
