"""Modularity, explicitness and compactness by normalised information: InfoMEC.

Hsu, Dorrell, Whittington, Wu, Finn, "Disentanglement via Latent Quantization", NeurIPS 2023, arXiv 2305.18378; the
other rule of what codes to leave out is that of Hsu et al., "Tripod", ICML 2024, arXiv 2404.10282.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import Tensor

from disentangle.metrics.common import Floats, Integers, as_codes, rescaled
from disentangle.metrics.cross_entropy import cross_entropy
from disentangle.metrics.information import (
    Matrix,
    check,
    entropy,
    hardly_more_than_chance,
    information,
    label,
)
from disentangle.metrics.nearest import nearest_information
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import constant_factors, dead_codes, few_samples, few_to_learn, varies, warn

Pruning = Literal["range", "quartiles"]
PRUNINGS: dict[str, str] = {"range": "codes of small range left out", "quartiles": "codes of close quartiles left out"}


@dataclass(frozen=True, eq=False)
class InfoMEC(CodeScore):
    """The three scores, and the matrix that two of them are taken from.

    Attributes:
        modularity: InfoM in [0, 1], over the active codes: how far each is about one factor.
        compactness: InfoC in [0, 1], over the factors: how far each is in one active code.
        explicitness: InfoE, at most 1: how much of the factors a linear classifier of all codes knows; below 0 where
            it does worse than a guess, as it may for values of unequal frequency. ``None`` where it was not asked for.
        normalised_information: ``(d, k)``, mutual information over the factor's entropy.
        active: ``(d,)``, the codes that count.
        explicit: ``(k,)``, each factor's explicitness; 0 for a constant factor, which does not count.
    """

    modularity: float
    compactness: float
    explicitness: float | None
    normalised_information: Matrix
    active: NDArray[np.bool_]
    explicit: Matrix

    @property
    def score(self) -> float:
        """``modularity``: it is what is compared with DCI's disentanglement where one number is."""
        return self.modularity

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95% interval of the modularity over the choice of samples; nothing is fitted again for it."""
        source = self._kept()
        quick = replace(source, metric=partial(source.metric, explicitness=False))
        return super(InfoMEC, replace(self, source=quick)).interval


def infomec(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    discrete: bool = False,
    *,
    pruning: Pruning = "range",
    neighbours: int = 10,
    explicitness: bool = True,
    factor_bins: int | None = None,
    seed: int = 0,
) -> InfoMEC:
    r"""Share of the information about factors that sits in one place, and how linear it is.

    With :math:`N_{ij} = I(c_i; v_j) / H(v_j)` of the active codes, :math:`n` of them, and :math:`k` factors,

    .. math:: \text{InfoM} = \frac{\frac1n \sum_i \frac{\max_j N_{ij}}{\sum_j N_{ij}} - \frac1k}{1 - \frac1k}, \qquad
              \text{InfoC} = \frac{\frac1k \sum_j \frac{\max_i N_{ij}}{\sum_i N_{ij}} - \frac1n}{1 - \frac1n}

    and InfoE the mean over factors of :math:`1 - H(v_j | c) / \log |v_j|`, with the cross-entropy of an unpenalised
    logistic regression in which every value weighs the same, on the samples that it was fitted to.

    Information is counted where codes are ``discrete``, and estimated from nearest neighbours where they are not.

    **Noise does not score 0.** InfoM and InfoC are ratios: of codes that know nothing they compare chance with chance,
    of which the estimate, cut off at 0, leaves little but the greatest. Independent normal codes get an InfoM of 0.5
    to 0.7, and an InfoC of 0.6 where they are 5, of 0.3 where they are 10. The value is kept as published; the result
    warns of codes that know hardly more than of shuffled factors, and ``references["noise"]`` is what such codes get.

    What the published code leaves open: constant codes and constant factors do not count; a code that knows nothing
    has modularity 0, and a factor of which nothing is known compactness 0; where only one factor varies, or one code
    is active, each share that there is is the whole (1); where no code is active or no factor varies all three
    are 0. Its noise, which parts equal samples, is not seeded; here it is, with the same generator.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)`` integers, the index of each factor's value; any numbers with ``factor_bins``. As published,
            each value is a class, also of a factor that has an order.
        discrete: codes take few values each, as those of QLAE: information is counted, and the classifier sees them
            one-hot.
        pruning: which codes count. ``"range"``: those whose range is above a twentieth of the greatest (discrete: above
            0), as first published. ``"quartiles"``: those whose interquartile range is above a tenth of the greatest
            (discrete: above 0.1, for codes between -1 and 1), as published with Tripod.
        neighbours: of the estimate for continuous codes, at least 1. The published number is 10.
        explicitness: whether to fit the classifiers, which is most of the time.
        factor_bins: number of equal-width bins of a continuous factor; ``None`` for factors that are integers.
        seed: of the noise that parts equal samples, and of the shuffle that the warning compares with.

    Raises:
        UserError: for an unknown pruning.
        ValueError: for shapes that do not fit, values that are not finite, factors that are not integers, no
            neighbours.

    Warns:
        DisentangleWarning: where a factor is constant, a code is dead or knows hardly more than chance, samples are
            few for counting or to learn from, or codes that are said to be discrete hardly take a value twice.
    """
    check("pruning", pruning, PRUNINGS)
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    codes = as_codes(codes)
    labels = label(factors, len(codes), factor_bins)
    varying = varies(labels)

    def known(some: Floats, of: Integers) -> Matrix:
        table = information(label_codes(some), of) if discrete else nearest_information(some, of, neighbours, seed)
        whole = np.broadcast_to(entropy(labels), table.shape)
        return np.divide(table, whole, out=np.zeros_like(table), where=varying & (whole > 0))

    normalised = known(codes, labels)
    active = _active(codes, discrete, pruning)
    counted = normalised[np.ix_(active, varying)]
    explicit = np.zeros(labels.shape[1])
    if explicitness and varies(codes).any():
        explicit[varying] = [_explicit(codes, labels[:, j], discrete) for j in np.flatnonzero(varying)]
    words = [*constant_factors(labels), *dead_codes(codes), *_about_values(codes, labels, discrete)]
    words += few_to_learn(labels) if explicitness else []
    doubtful = active & (normalised.max(axis=1) < DOUBTFUL)
    if doubtful.any():
        chance = np.zeros_like(normalised)
        chance[doubtful] = known(codes[:, doubtful], np.random.default_rng(seed).permutation(labels))
        words += hardly_more_than_chance(normalised, chance, doubtful, "their share of InfoM and InfoC")
    kind = "counted" if discrete else f"{neighbours} nearest neighbours"
    metric = partial(infomec, discrete=discrete, pruning=pruning, neighbours=neighbours, seed=seed)
    return InfoMEC(
        f"information {kind}, {PRUNINGS[pruning]}",
        _share(counted),
        _share(counted.T),
        (float(explicit[varying].mean()) if varying.any() else 0.0) if explicitness else None,
        normalised,
        active,
        explicit,
        samples=(len(codes),),
        seed=seed,
        learner="unpenalised logistic regression",
        warnings=warn(words),
        source=Source(metric, codes, labels, repeats=20),
    )


DOUBTFUL = 0.1
"""A code that knows less than this share of every factor is compared with chance."""


def label_codes(codes: Floats) -> Integers:
    """Each code's values as indices ``0 … n - 1``."""
    return np.column_stack([np.unique(code, return_inverse=True)[1] for code in codes.T])


def _active(codes: Floats, discrete: bool, pruning: Pruning) -> NDArray[np.bool_]:
    if pruning == "range":
        scaled = rescaled(codes)  # the range of the greatest floats overflows
        spread = scaled.max(axis=0) - scaled.min(axis=0)
        return np.asarray(spread > (0 if discrete else spread.max() / 20))
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.quantile(codes if discrete else rescaled(codes), [0.25, 0.75], axis=0)
        spread = high - low
    return np.asarray(spread > (0.1 if discrete else spread.max() / 10)) & varies(codes)


def _share(rows: Matrix) -> float:
    """How far each row is in one place: the mean of its greatest share, 0 where all are alike and 1 where alone."""
    n = rows.shape[1] if rows.ndim == 2 else 0
    if not rows.size:
        return 0.0
    total = rows.sum(axis=1)
    share = np.divide(rows.max(axis=1), total, out=np.full(len(rows), 1 / n), where=total > 0)
    if n == 1:
        return float(np.mean(total > 0))
    return float((share.mean() - 1 / n) / (1 - 1 / n))


def _explicit(codes: Floats, labels: Integers, discrete: bool) -> float:
    if discrete:
        inputs = csr_array(OneHotEncoder().fit_transform(codes))
    else:
        inputs = StandardScaler().fit_transform(rescaled(codes, axis=0).astype(codes.dtype)).astype(np.float64)
    return 1 - cross_entropy(inputs, labels) / float(np.log(labels.max() + 1))


def _about_values(codes: Floats, labels: Integers, discrete: bool) -> list[str]:
    """Of discrete codes that are none, and of samples that are few for counting."""
    if not discrete:
        return []
    values = max(len(np.unique(code)) for code in codes.T)
    if values > len(codes) / 4:
        return [f"codes take up to {values} values in {len(codes)} samples: they do not look discrete"]
    return few_samples(labels, values)
