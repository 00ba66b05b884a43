"""The logistic regression against scikit-learn's, iterate by iterate."""

import warnings

import numpy as np
import pytest
from arrays import sample
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from disentangle.metrics.cross_entropy import cross_entropy


def scikit_learn(inputs, labels, iterations):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=iterations).fit(inputs, labels)
    return log_loss(labels, model.predict_proba(inputs))


@pytest.mark.parametrize("iterations", [1, 4, 100])
@pytest.mark.parametrize("factor", [0, 1, 2])
def test_equals_scikit_learn(factor, iterations):
    codes, factors = sample(600, 4, sizes=(2, 6, 15), seed=3)
    labels = np.unique(np.minimum(factors[:, factor], 7), return_inverse=True)[1]  # the last value is the most frequent
    expected = scikit_learn(codes, labels, iterations)
    near = 1e-9 if iterations < 100 else 1e-4  # roundings grow on the way
    assert cross_entropy(codes, labels, iterations) == pytest.approx(expected, abs=near)
    assert cross_entropy(csr_array(codes), labels, iterations) == pytest.approx(expected, abs=near)


def test_inputs_that_say_nothing_leave_the_logarithm_of_the_values():
    labels = np.array([0] * 50 + [1] * 30 + [2] * 2)
    assert cross_entropy(np.zeros((82, 3)), labels) == pytest.approx(np.log(3), abs=1e-12)
