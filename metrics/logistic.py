"""The logistic regressions of explicitness and of the β-VAE score."""

import warnings
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from disentangle.errors import unknown_name
from disentangle.metrics.common import Floats, Integers

Learner = Literal["multinomial", "one-vs-rest", "unpenalised", "balanced"]

WORDS: dict[str, str] = {
    "multinomial": "logistic regression, multinomial, C = 1",
    "one-vs-rest": "logistic regression, one class against the rest, C = 1",
    "unpenalised": "logistic regression, one class against the rest, C = 1e10",
    "balanced": "logistic regression, one class against the rest, balanced classes, C = 1",
}
"""What each learner is.

``"multinomial"`` is what the published ``LogisticRegression()`` means since scikit-learn 0.22, and ``"one-vs-rest"``
what it meant before, when the numbers of Locatello et al. (arXiv 1811.12359) were made.
"""


class Classifier(Protocol):
    """A classifier as scikit-learn's are."""

    classes_: NDArray[Any]

    def predict(self, x: Any, /) -> NDArray[Any]:
        """The class of each row ``(M,)``."""

    def predict_proba(self, x: Any, /) -> NDArray[Any]:
        """The probabilities ``(M, k)`` of the classes."""


def check_learner(learner: str, possible: tuple[str, ...] = tuple(WORDS)) -> None:
    """Raise UserError for a name that is none of ``possible``."""
    if learner not in possible:
        raise unknown_name("learner", learner, possible)


def fit(learner: str, features: Floats, labels: Integers) -> tuple[Classifier, bool]:
    """A classifier of ``labels`` ``(N,)``, of at least two classes, and whether it converged in the published steps."""
    if learner == "multinomial":
        model: Any = LogisticRegression()
    else:
        settings: dict[str, Any] = {"unpenalised": {"C": 1e10}, "balanced": {"class_weight": "balanced"}}
        model = OneVsRestClassifier(LogisticRegression(solver="liblinear", random_state=0, **settings.get(learner, {})))
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        model.fit(features, labels)
    return model, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
