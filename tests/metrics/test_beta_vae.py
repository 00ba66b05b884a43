"""The β-VAE score against the published implementation, and where that has no answer."""

import json

import numpy as np
import pytest
import torch
from labelled import FactorGrid, curved
from sklearn.multiclass import OneVsRestClassifier

from disentangle.errors import DisentangleWarning, UserError
from disentangle.metrics import Encoded, Rows, beta_vae_score, logistic

SIZES = {"train": 600, "test": 400, "pairs": 16}

# Training and test points by seed, of disentanglement_lib 1.5 (beta_vae) with scikit-learn 1.9.1, for both types.
PUBLISHED = {0: (0.985, 0.9925), 3: (0.9783333333333334, 0.9875)}


def score(dataset, encode=None, seed=0, **settings):
    return beta_vae_score(dataset, encode, seed, **{**SIZES, **settings})


@pytest.mark.parametrize("seed", PUBLISHED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_published_implementation(seed, dtype):
    result = score(FactorGrid(5, 4, 6), lambda pictures: curved(pictures).astype(dtype), seed)
    assert (result.train_score, result.score) == PUBLISHED[seed]
    assert result.confusion.sum() == 400
    assert result.confusion.sum(axis=1).min() > 100


def test_older_regression_by_name(monkeypatch):
    models = []
    plain = logistic.fit

    def fit(*given):
        models.append(plain(*given)[0])
        return models[-1], False

    monkeypatch.setattr(logistic, "fit", fit)
    with pytest.warns(DisentangleWarning, match="stopped after the published 100 steps"):
        result = score(FactorGrid(5, 4, 6), curved, learner="one-vs-rest")
    assert isinstance(models[0], OneVsRestClassifier)
    assert result.learner == "logistic regression, one class against the rest, C = 1"
    assert result.score == pytest.approx(PUBLISHED[0][1], abs=0.02)
    with pytest.raises(UserError, match="possible: multinomial, one-vs-rest"):
        score(FactorGrid(5, 4, 6), curved, learner="balanced")


def test_reference_points_and_interval_encode_nothing_again():
    pictures = FactorGrid(5, 4, 6)
    result = score(pictures, curved)
    shown = len(pictures.shown)
    assert result.reference_points["perfect"] == 1
    assert result.reference_points["noise"] == pytest.approx(1 / 3, abs=0.1)
    assert result.references["noise"].confusion.sum(axis=1).tolist() == result.confusion.sum(axis=1).tolist()
    low, high = result.interval
    assert low < result.score < high <= 1
    assert high - low < 0.05
    assert len(pictures.shown) == shown == 120


def test_rows_of_a_full_grid_score_as_the_grid():
    pictures = FactorGrid(5, 4, 6)
    factors = np.tile(pictures.factors(torch.arange(120)), (3, 1))
    codes = curved(torch.tensor(factors))[:, :2]
    rows = score(Rows(codes, factors))
    grid = score(Encoded(pictures, lambda images: curved(images)[:, :2]))
    assert rows.score == pytest.approx(grid.score, abs=0.06)
    assert grid.score < 0.97
    assert (rows.variant, grid.variant) == ("groups drawn among the rows", "groups drawn from the grid")


def test_constant_codes_and_factors():
    factors = np.stack([np.arange(60) % 3, np.zeros(60, int), np.arange(60) // 3 % 4], axis=1)
    with pytest.warns(DisentangleWarning, match="factor 1 is constant"):
        result = score(Rows(factors[:, [0, 2]], factors))
    assert result.score == 1
    assert result.confusion[1].sum() == result.confusion[:, 1].sum() == 0
    with pytest.warns(DisentangleWarning, match="codes 0, 1 are constant"):
        dead = score(Rows(np.full((60, 2), 7.0), factors[:, ::2]))
    assert dead.score == pytest.approx(0.5, abs=0.08)
    with pytest.warns(DisentangleWarning):
        nothing = score(Rows([[1.0]], [[1]]))
    assert (nothing.score, nothing.interval, nothing.samples) == (0, (0, 1), (0, 0))
    assert set(nothing.reference_points.values()) == {0}
    with pytest.warns(DisentangleWarning):
        assert score(FactorGrid(1, 1), lambda pictures: pictures).score == 0
    only = score(Rows(factors[:, :1] * 1.0, factors[:, :1]))
    assert (only.score, only.train_score) == (1, 1)


@pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_codes(scale):
    factors = np.random.default_rng(0).integers(0, 4, (300, 2))
    assert 0.3 < score(Rows((factors * scale).astype(np.float32), factors)).score <= 1


def test_result_and_bad_input():
    factors = np.random.default_rng(0).integers(0, 4, (300, 2))
    result = score(Rows(factors, factors))
    saved = json.loads(json.dumps(result.to_dict()))
    assert saved["samples"] == [600, 400]
    assert saved["seed"] == 0
    assert saved["score"] == float(result) == 1
    with pytest.raises(ValueError, match="pairs must be at least 1, got 0"):
        score(Rows(factors, factors), pairs=0)
