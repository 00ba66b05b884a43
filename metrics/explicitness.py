"""Explicitness: how well a linear classifier reads the factors off all codes.

Ridgeway, Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", NeurIPS 2018, arXiv 1802.05312;
computed as Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
Representations", ICML 2019, arXiv 1811.12359, published it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import Tensor

from disentangle.metrics import logistic
from disentangle.metrics.common import Floats, Integers, as_split
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import constant_factors, dead_codes, few_to_learn, listed, varies, warn

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explicitness(CodeScore):
    """An explicitness and its parts.

    Attributes:
        auc: ``(k,)`` in [0, 1], of each factor the mean area under the ROC curves of its values on the test codes;
            ½ is chance.
        auc_train: ``(k,)``, the same on the training codes; what lies above ``auc`` was learnt by heart.
        varying: ``(k,)``, which factors count; a constant one has ½.
    """

    auc: Matrix
    auc_train: Matrix
    varying: NDArray[np.bool_]

    @property
    def score(self) -> float:
        """The mean over the factors that vary; ½ where none does."""
        return self._mean(self.auc)

    @property
    def train_score(self) -> float:
        """The score of the training codes."""
        return self._mean(self.auc_train)

    def _mean(self, areas: Matrix) -> float:
        return float(areas[self.varying].mean()) if self.varying.any() else 0.5


@dataclass(frozen=True, eq=False)
class RescaledExplicitness(Explicitness):
    """An explicitness of 0 at chance and less below: twice the mean area, less one."""

    bounds = (-1.0, 1.0)

    def _mean(self, areas: Matrix) -> float:
        return 2 * super()._mean(areas) - 1


def explicitness(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    test_codes: ArrayLike | Tensor,
    test_factors: ArrayLike | Tensor,
    learner: logistic.Learner = "multinomial",
    rescaled: bool = False,
) -> Explicitness:
    """Area under the ROC curve of a logistic regression from all codes, averaged over a factor's values, then factors.

    Codes are standardised by the training samples. A rotation of the codes keeps the score: it measures what is known,
    not on which axes.

    What the published code leaves open (on a constant code it raises): a constant code is 0 everywhere; a constant
    factor is left out, and where every factor is constant the score is that of chance; a value without test samples
    has no area and is left out of its factor's mean; one that occurs only among the test samples has the area of
    chance, ½, as has every value where the test samples have but one.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch, to learn from.
        factors: ``(N, k)`` integers, the index of each factor's value.
        test_codes: ``(M, d)``, other samples.
        test_factors: ``(M, k)``.
        learner: ``"multinomial"``, the published one; ``"one-vs-rest"``, the same as scikit-learn had it before 0.22;
            ``"unpenalised"``, that of Ridgeway and Mozer's own code; ``"balanced"``, that of Carbonneau et al.,
            "Measuring Disentanglement: A Review of Metrics", TNNLS 2022, arXiv 2012.09276, who scale codes to [0, 1].
        rescaled: give twice the area less one, 0 at chance, as Carbonneau et al. do.

    Raises:
        UserError: for an unknown name of a learner.
        ValueError: for shapes that do not fit, values that are not finite or factors that are not integers.

    Warns:
        DisentangleWarning: where a factor or a code is constant, samples are few to learn from, or a regression stopped
            before it converged.
    """
    logistic.check_learner(learner)
    train, targets, test, test_targets = as_split(codes, factors, test_codes, test_factors)
    words = constant_factors(targets) + dead_codes(train) + few_to_learn(targets)
    varying = varies(targets)
    auc, auc_train = np.full(targets.shape[1], 0.5), np.full(targets.shape[1], 0.5)
    # The layout in which the published code sums: single precision rounds otherwise in another.
    x, test_x = _scaled(np.ascontiguousarray(train), test, "range" if learner == "balanced" else "deviation")
    stopped: list[int] = []
    for j in np.flatnonzero(varying):
        model, converged = logistic.fit(learner, x, targets[:, j])
        if not converged:
            stopped.append(int(j))
        auc_train[j] = _mean_area(model, x, targets[:, j])
        auc[j] = _mean_area(model, test_x, test_targets[:, j])
    if stopped:
        words.append(f"the regression of {listed(stopped)} stopped after the published 100 steps, before it converged")
    make = RescaledExplicitness if rescaled else Explicitness
    return make(
        "area under the ROC curve" + (", twice less one" if rescaled else ""),
        auc,
        auc_train,
        varying,
        samples=(len(train), len(test)),
        learner=logistic.WORDS[learner],
        warnings=warn(words),
        source=Source(
            partial(explicitness, learner=learner, rescaled=rescaled), train, targets, test, test_targets, repeats=10
        ),
    )


def _scaled(train: Floats, test: Floats, unit: str) -> tuple[Floats, Floats]:
    """Codes less their training mean (minimum), over their training deviation (range); in their own precision."""
    peak = np.abs(train).max(axis=0).astype(np.float64)
    usual = (peak == 0) | ((peak > 1e-15) & (peak < 1e15))
    if not usual.all():  # squares of single precision, or ranges of double, would overflow or vanish
        peak[usual] = 1
        train, test = train / peak, test / peak
    origin = train.mean(axis=0) if unit == "deviation" else train.min(axis=0)
    size = train.std(axis=0) if unit == "deviation" else np.ptp(train, axis=0)
    alive = varies(train) & (size > 0)
    scaled = [
        np.divide(codes - origin, size, out=np.zeros_like(codes), where=np.broadcast_to(alive, codes.shape))
        for codes in (train, test)
    ]
    return scaled[0], scaled[1]


def _mean_area(model: logistic.Classifier, codes: Floats, factor: Integers) -> float:
    """The mean over the values that ``factor`` ``(M,)`` takes of the area under the ROC curve."""
    values, counts = np.unique(factor, return_counts=True)
    if len(values) == 1:
        return 0.5
    places = np.searchsorted(model.classes_, values)
    places[places == len(model.classes_)] = 0
    known = model.classes_[places] == values
    areas = np.full(len(values), 0.5)
    probabilities = model.predict_proba(codes)
    for i in np.flatnonzero(known):
        # Mann and Whitney's statistic: ties count half.
        ranks = rankdata(probabilities[:, places[i]])
        inside = float(ranks[factor == values[i]].sum()) - counts[i] * (counts[i] + 1) / 2
        areas[i] = inside / (counts[i] * (len(factor) - counts[i]))
    return float(areas.mean())
