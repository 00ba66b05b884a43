"""Explicitness against the published implementation, and where that has no answer."""

import json

import numpy as np
import pytest
import torch
from labelled import arrays, split
from sklearn.metrics import roc_auc_score
from sklearn.multiclass import OneVsRestClassifier

from disentangle.errors import DisentangleWarning, UserError
from disentangle.metrics import explicitness, noise, rotated
from disentangle.metrics.logistic import fit

# Training and test samples, of disentanglement_lib 1.5 (modularity_explicitness) with scikit-learn 1.9.1.
PUBLISHED = {
    np.float64: (0.919982490493756, 0.9041111498191144),
    np.float32: (0.919982639911422, 0.904120189517622),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_published_implementation(dtype):
    codes, factors = arrays(dtype)
    result = explicitness(*split(codes, factors))
    assert (result.train_score, result.score) == pytest.approx(PUBLISHED[dtype], abs=1e-9)
    backwards = explicitness(*split(np.asfortranarray(codes), factors))
    assert backwards.score == result.score


@pytest.mark.parametrize("learner", ["one-vs-rest", "unpenalised", "balanced"])
def test_other_learners_against_scikit_learn(learner):
    codes, factors = arrays()
    train, targets, test, test_targets = split(codes, factors[:, 1:2])
    low, size = train.min(0), np.ptp(train, axis=0)
    if learner != "balanced":
        low, size = train.mean(0), train.std(0)
    model, _ = fit(learner, (train - low) / size, targets[:, 0])
    assert isinstance(model, OneVsRestClassifier)
    C = {"unpenalised": 1e10}.get(learner, 1.0)
    assert (model.estimator.C, model.estimator.class_weight) == (C, "balanced" if learner == "balanced" else None)
    areas = [
        roc_auc_score(test_targets[:, 0] == value, column)
        for value, column in zip(model.classes_, model.predict_proba((test - low) / size).T)
    ]
    result = explicitness(train, targets, test, test_targets, learner=learner)
    assert result.score == pytest.approx(np.mean(areas), abs=1e-12)
    rescaled = explicitness(train, targets, test, test_targets, learner=learner, rescaled=True)
    assert rescaled.score == pytest.approx(2 * result.score - 1, abs=1e-12)
    assert rescaled.train_score == pytest.approx(2 * result.train_score - 1, abs=1e-12)


def test_noise_knows_nothing_and_a_rotation_nothing_less():
    codes, factors = arrays()
    factors = factors[:, 1:]
    straight = explicitness(*split(codes, factors))
    turned = explicitness(*split(rotated(codes), factors))
    assert turned.score == pytest.approx(straight.score, abs=0.02)
    chance = explicitness(*split(noise(900, 3), factors), rescaled=True)
    assert chance.score == pytest.approx(0, abs=0.12)
    assert chance.interval[0] < 0 < chance.interval[1]


def test_constant_codes_and_factors():
    codes, factors = arrays()
    scores = explicitness(*split(codes, factors))
    dead = np.insert(codes, 2, 1e20, axis=1)
    dead[600:, 2] = 7
    with pytest.warns(DisentangleWarning, match="code 2 is constant"):
        assert explicitness(*split(dead, factors)).score == pytest.approx(scores.score, abs=1e-6)
    with pytest.warns(DisentangleWarning, match="factor 1 is constant"):
        fixed = explicitness(*split(codes, np.insert(factors, 1, 5, axis=1)))
    assert fixed.score == scores.score
    assert fixed.auc[1] == 0.5
    for rescaled, chance in ((False, 0.5), (True, 0)):
        with pytest.warns(DisentangleWarning, match="are constant"):
            assert explicitness(*split(codes[:, :2] * 0, factors), rescaled=rescaled).score == pytest.approx(chance)
        with pytest.warns(DisentangleWarning):
            nothing = explicitness([[1.0]], [[1]], [[2.0]], [[3]], rescaled=rescaled)
        assert nothing.score == chance
        assert nothing.interval == nothing.bounds


@pytest.mark.filterwarnings("ignore:.*few to learn:disentangle.errors.DisentangleWarning")
def test_values_that_only_one_side_has():
    x = np.arange(12.0)[:, None]
    y = np.arange(12)[:, None] // 4  # three values, in order
    first = explicitness(x, y, x[:8], y[:8])  # the third has no test samples: both others are told apart
    assert first.score == 1
    # A value that was not learnt has the area of chance; those that were rank against it, too.
    both = explicitness(x[:8], y[:8], x, y)
    assert both.score == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert explicitness(x, y, x[:3], y[:3]).score == 0.5
    assert explicitness(x, y, x[:3], y[:3] + 9).score == 0.5


def test_extreme_codes():
    codes, factors = arrays(np.float32)
    scale = np.float32(2) ** 115
    score = explicitness(*split(codes[:, :3] * scale, factors)).score
    assert score == pytest.approx(explicitness(*split(codes[:, :3], factors)).score, abs=1e-3)


def test_result_and_bad_input():
    codes, factors = arrays()
    result = explicitness(*split(torch.tensor(codes), torch.tensor(factors)))
    saved = json.loads(json.dumps(result.to_dict()))
    assert saved["score"] == float(result) == pytest.approx(np.mean(saved["auc"]))
    assert saved["samples"] == [600, 300]
    assert "multinomial" in saved["learner"]
    with pytest.raises(UserError, match="did you mean multinomial"):
        explicitness(*split(codes, factors), learner="multinomal")
    with pytest.raises(ValueError, match="factors and test_factors differ in columns: 3 and 1"):
        explicitness(codes, factors, codes, factors[:, :1])
