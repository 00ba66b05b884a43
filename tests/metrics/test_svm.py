"""The support vector machine of one feature: at its optimum, which liblinear's solutions approach."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from disentangle.metrics.svm import linear_svm


def sample(seed):
    """A feature of any scale, offset and coarseness, and labels that it says something about, or nothing."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(10, 300)), int(rng.integers(2, 7))
    labels = np.concatenate([np.arange(k), rng.integers(0, k, n)])
    feature = rng.standard_normal(n + k) + labels * rng.choice([0, 0.5, 3])
    if seed % 3 == 0:
        feature = np.round(feature)
    return feature * 10 ** rng.uniform(-4, 3) + rng.choice([0, 50]), labels, 10 ** rng.uniform(-3, 2)


@pytest.mark.parametrize("seed", range(40))
def test_gradient_of_the_published_loss_is_zero(seed):
    # The loss is strictly convex: only the optimum passes.
    feature, labels, cost = sample(seed)
    svm = linear_svm(feature, labels, cost)
    weights = svm.weight / svm.spread / svm.peak
    biases = svm.bias - svm.weight * svm.origin
    classes, counts = np.unique(labels, return_counts=True)
    balanced = cost * len(labels) / (len(classes) * counts)
    for j, (w, b) in enumerate(zip(weights, biases)):
        sign = np.where(labels == classes[j], 1, -1)
        rest = balanced[1 - j] if len(classes) == 2 else cost
        slack = np.where(sign > 0, balanced[j], rest) * np.maximum(0, 1 - sign * (w * feature + b)) * sign
        size = np.abs(slack).sum() + 1
        assert b - 2 * slack.sum() == pytest.approx(0, abs=1e-9 * size)
        assert w - 2 * (slack * feature).sum() == pytest.approx(0, abs=1e-9 * size * np.abs(feature).max())


@pytest.mark.parametrize("seed", range(6))
def test_predicts_as_liblinear_at_a_small_tolerance(seed):
    feature, labels, _ = sample(seed)
    feature = feature.astype(np.float32)
    model = LinearSVC(C=0.01, class_weight="balanced", tol=1e-10, max_iter=10**5).fit(feature[:, None], labels)
    decided = np.sort(np.atleast_2d(model.decision_function(feature[:, None]).T), axis=0)
    clear = np.abs(decided[-1] - (decided[-2] if len(decided) > 1 else 0)) > 1e-6
    assert clear.mean() > 0.9
    assert (linear_svm(feature, labels).predict(feature) == model.predict(feature[:, None]))[clear].all()


@pytest.mark.parametrize(
    ("pair", "right"),
    [((-1.7e308, 1.7e308), 1), ((0, 5e-324), 0.5), ((1e20, 1e20), 0.5), ((0, 0), 0.5), ((1, 1 + 2.0**-52), 0.5)],
)
def test_extreme_features(pair, right):
    labels = np.arange(20) % 2
    svm = linear_svm(np.array(pair)[labels], labels)
    assert np.isfinite(svm.weight).all()
    assert np.isfinite(svm.bias).all()
    assert np.mean(svm.predict(np.array(pair)[labels]) == labels) >= right
