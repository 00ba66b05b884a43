"""Disentanglement, completeness and informativeness.

Eastwood, Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations", ICLR 2018; computed
with boosted trees as Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled
Representations", ICML 2019, arXiv 1811.12359, published it.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from torch import Tensor

from disentangle.errors import unknown_name
from disentangle.metrics.boosting import BoostedTrees
from disentangle.metrics.common import Floats, Integers, as_codes, as_factors
from disentangle.metrics.trust import CodeScore, Source
from disentangle.metrics.words import constant_factors, dead_codes, few_to_learn, varies, warn

Matrix = NDArray[np.float64]
LearnerName = Literal["fast", "gbt", "random_forest"]

REPEATS = 10
"""Random halves behind the interval: each takes half as long as the score itself."""


class Learner(Protocol):
    """A classifier that says how much each of its inputs mattered, such as scikit-learn's trees."""

    feature_importances_: NDArray[Any]

    def fit(self, x: Any, y: Any, /) -> Any:
        """Learn from codes ``(N, d)`` and one factor ``(N,)``."""

    def predict(self, x: Any, /) -> NDArray[Any]:
        """The factor's value for each code."""


def gbt(seed: int = 0) -> Learner:
    """The published learner, scikit-learn's defaults, here with a seed. Minutes for 10,000 samples."""
    return GradientBoostingClassifier(random_state=seed)  # type: ignore[no-any-return]


def random_forest(seed: int = 0) -> Learner:
    """Ten bagged trees that see every code at every split, with leaves of at least 10 samples.

    scikit-learn's default forest tries a random few of the codes at a split and so credits codes that know nothing (D
    of perfect codes 0.6). Leaves of 10 came closest to the published learner: at 2,000 samples of sprites' factors and
    10 codes, D of perfect, noisy, mixed and rotated codes is 1.00, 0.71, 0.15, 0.14 against 1.00, 0.67, 0.17, 0.16.
    """
    return RandomForestClassifier(10, max_features=None, min_samples_leaf=10, random_state=seed)  # type: ignore[no-any-return]


VARIANTS = {
    "fast": "boosted trees on binned codes",
    "gbt": "boosted trees, as published",
    "random_forest": "random forest",
}
LEARNERS: dict[str, Callable[[int], Learner]] = {"fast": BoostedTrees, "gbt": gbt, "random_forest": random_forest}


@dataclass(frozen=True, eq=False)
class DCI(CodeScore):
    """The three scores and the matrix that they are taken from.

    Attributes:
        disentanglement: in [0, 1], the mean over codes, weighted by importance, of ``1 − H`` of a code's row.
        completeness: in [0, 1], the same over factors and their columns.
        informativeness: in [0, 1], the mean over factors of the accuracy on the test codes.
        informativeness_train: the same on the training codes; what lies above ``informativeness`` was learnt by
            heart.
        accuracy: ``(k,)``, each factor's accuracy on the test codes; 1 for a constant factor, which does not count.
        importance: ``(d, k)``, how much each code mattered to the prediction of each factor; a column sums to 1, or
            to 0 where no code mattered.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    informativeness_train: float
    accuracy: Matrix
    importance: Matrix

    @property
    def score(self) -> float:
        """``disentanglement``: it is what is published under DCI where one number is."""
        return self.disentanglement


def dci(
    codes: ArrayLike | Tensor,
    factors: ArrayLike | Tensor,
    test_codes: ArrayLike | Tensor,
    test_factors: ArrayLike | Tensor,
    learner: LearnerName | Callable[[], Learner] = "fast",
    seed: int = 0,
) -> DCI:
    """Predict every factor from all codes, and see which codes each prediction rests on.

    A code is disentangled where it matters to one factor only: one minus the entropy of its row of the importance
    matrix, to the base of the number of factors. A factor is completely captured where one code suffices: the same
    over its column, to the base of the number of codes.

    ``"gbt"`` is the published learner, and takes minutes. ``"fast"`` is the same method on codes in bins and in fewer
    rounds, in seconds: disentanglement and completeness came out within 0.03 of the published
    (:file:`docs/results/dci.md`). The numbers of ``"random_forest"`` compare only with its own.

    What the published code leaves open: constant factors are left out of everything but ``accuracy``, and where every
    factor is constant (as with one sample) the scores are 0; a code that never mattered weighs nothing; where only one
    factor varies, a code that matters at all is disentangled (1), and a single code that matters makes its factor
    complete (1); where no code matters both are 0. A factor's value that occurs only among the test samples counts as
    mispredicted. Codes beyond the range of single precision are scaled into it for a learner that is named: trees ask
    for nothing but the order.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch, to learn from.
        factors: ``(N, k)`` integers, the index of each factor's value.
        test_codes: ``(M, d)``, other samples, for the accuracy.
        test_factors: ``(M, k)``.
        learner: ``"fast"``, ``"gbt"``, ``"random_forest"``, or a function without arguments that makes a new
            classifier with ``fit``, ``predict`` and ``feature_importances_``.
        seed: of the learner; the same seed gives the same result, whatever the number of processors. A function seeds
            what it makes itself.

    Raises:
        UserError: for an unknown name of a learner.
        ValueError: for shapes that do not fit, values that are not finite or factors that are not integers.

    Warns:
        DisentangleWarning: where a factor is constant, or a code is, or next to it, or samples are few to learn from.
    """
    train, test = as_codes(codes), as_codes(test_codes, "test_codes")
    labels = as_factors(factors, len(train))
    test_labels = as_factors(test_factors, len(test), "test_factors")
    for name, one, other in (("codes", train, test), ("factors", labels, test_labels)):
        if one.shape[1] != other.shape[1]:
            raise ValueError(f"{name} and test_{name} differ in columns: {one.shape[1]} and {other.shape[1]}")
    if isinstance(learner, str) and learner not in LEARNERS:
        raise unknown_name("learner", learner, get_args(LearnerName))
    words = warn([*constant_factors(labels), *dead_codes(train), *few_to_learn(labels)])

    varying = varies(labels)
    importance = np.zeros((train.shape[1], labels.shape[1]))
    accuracy, train_accuracy = np.ones(labels.shape[1]), np.ones(labels.shape[1])
    fitted = _fit_all(train, labels[:, varying], test, test_labels[:, varying], learner, seed)
    for j, (weights, train_share, share) in zip(np.flatnonzero(varying), fitted):
        importance[:, j], train_accuracy[j], accuracy[j] = weights, train_share, share
    counted = importance[:, varying]
    name = learner if isinstance(learner, str) else _name(learner)
    return DCI(
        variant=VARIANTS.get(name, name),
        disentanglement=concentration(counted),
        completeness=concentration(counted.T),
        informativeness=float(accuracy[varying].mean()) if varying.any() else 0.0,
        informativeness_train=float(train_accuracy[varying].mean()) if varying.any() else 0.0,
        accuracy=accuracy,
        importance=importance,
        samples=(len(train), len(test)),
        seed=seed if isinstance(learner, str) else None,
        learner=name,
        warnings=words,
        source=Source(
            partial(dci, learner=learner, seed=seed), codes, factors, test_codes, test_factors, repeats=REPEATS
        ),
    )


def _fit_all(
    codes: Floats,
    factors: Integers,
    test_codes: Floats,
    test_factors: Integers,
    learner: str | Callable[[], Learner],
    seed: int,
) -> Iterable[tuple[NDArray[Any], float, float]]:
    """Of each factor the importances ``(d,)``, the accuracy on the training codes, and that on the test codes."""
    # Whoever calls with a function of their own may count on one call after the other.
    threads = _processors() if isinstance(learner, str) else 1
    make = partial(LEARNERS[learner], seed) if isinstance(learner, str) else learner
    if isinstance(learner, str):
        codes, test_codes = _single(codes, test_codes)

    def fit(labels: Integers, test_labels: Integers) -> tuple[NDArray[Any], float, float]:
        model = make()
        model.fit(codes, labels)
        train_share = float(np.mean(model.predict(codes) == labels))
        return np.abs(model.feature_importances_), train_share, float(np.mean(model.predict(test_codes) == test_labels))

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(fit, factors.T, test_factors.T))


FAR = 1000.0
"""Half ranges from 0 beyond which codes are moved there before they are rounded to 24 bits."""


def _single(codes: Floats, test_codes: Floats) -> tuple[Floats, Floats]:
    """Both in single precision, as scikit-learn's trees see them; scaled by powers of two, and moved to the middle of
    their range, where that would lose them."""
    low, high = (np.array([pick(codes, 0), pick(test_codes, 0)], np.float64) for pick in (np.min, np.max))
    middle = low.min(0) / 2 + high.max(0) / 2
    far = np.abs(middle) / FAR > high.max(0) / 2 - low.min(0) / 2
    codes, test_codes = (np.where(far, values.astype(np.float64) - middle, values) for values in (codes, test_codes))
    most = np.maximum(np.abs(codes).max(axis=0), np.abs(test_codes).max(axis=0)).astype(np.float64)
    exponent = np.frexp(most)[1]
    shift = np.clip(exponent, -100, 127) - exponent
    return np.ldexp(codes, shift).astype(np.float32), np.ldexp(test_codes, shift).astype(np.float32)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def concentration(importance: Matrix) -> float:
    r"""How much each row rests on one column: :math:`\sum_i \rho_i (1 - H_n(P_i))`.

    ``P_i`` is row ``i`` divided by its sum, ``H_n`` the entropy to the base of the number ``n`` of columns, and
    ``ρ_i`` the row's share of the whole. Disentanglement is that of the importance matrix, completeness that of its
    transpose.

    Args:
        importance: ``(rows, columns)``, none negative.

    Returns:
        A number in [0, 1]; 0 where nothing is important; 1 for a single column in which something is.
    """
    total = importance.sum()
    if total <= 0:
        return 0.0
    rows = importance[importance.sum(axis=1) > 0]
    if rows.shape[1] == 1:
        return 1.0
    shares = rows / rows.sum(axis=1, keepdims=True)
    surprise = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy = -np.sum(shares * surprise, axis=1) / np.log(rows.shape[1])
    return float(np.clip(np.sum(rows.sum(axis=1) / total * (1 - entropy)), 0, 1))


def _name(learner: Callable[[], Learner]) -> str:
    return str(getattr(learner, "__name__", type(learner).__name__))
