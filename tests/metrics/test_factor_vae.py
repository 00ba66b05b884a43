"""The FactorVAE score against the published implementation, and where that has no answer."""

import json

import numpy as np
import pytest
import torch
from labelled import FactorGrid, curved

from disentangle.errors import DisentangleWarning
from disentangle.metrics import Encoded, Rows, factor_vae_score

SIZES = {"train": 600, "test": 400, "group": 16, "variance_samples": 300}

# Training and test votes by seed, of disentanglement_lib 1.5 (factor_vae, threshold 0.05), for float32 and float64.
PUBLISHED = {0: (0.935, 0.905), 3: (0.9366666666666666, 0.9075)}


def score(dataset, encode=None, seed=0, **settings):
    return factor_vae_score(dataset, encode, seed, **{**SIZES, **settings})


@pytest.mark.parametrize("seed", PUBLISHED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_published_implementation(seed, dtype):
    with pytest.warns(DisentangleWarning, match="without a vote, of a standard deviation of at most 0.05: 5"):
        result = score(FactorGrid(5, 4, 6), lambda pictures: curved(pictures).astype(dtype), seed)
    assert (result.train_score, result.score) == PUBLISHED[seed]
    assert result.votes.sum() == 600
    assert result.active.tolist() == [True] * 5 + [False]
    assert result.factor[4] == 1  # the pure code


def test_perfect_codes_beside_constant_ones_keep_their_score():
    # disentanglement_lib gives 0.335 here at its threshold of 0: 0/0 has the least variance and wins every vote.
    with pytest.warns(DisentangleWarning, match="without a vote.*: 0"):
        result = score(
            FactorGrid(5, 4, 6), lambda pictures: np.insert(pictures.numpy(), 0, 1e20, axis=1), threshold=0.0
        )
    assert result.score == 1
    assert result.votes[1:].tolist() == np.diag(result.votes[1:].diagonal()).tolist()
    assert result.reference_points["perfect"] == 1
    assert result.reference_points["noise"] < 0.5
    assert result.interval == (1, 1)


def test_interval_is_that_of_the_votes():
    with pytest.warns(DisentangleWarning):
        result = score(FactorGrid(5, 4, 6), curved)
    low, high = result.interval
    assert (low + high) / 2 == pytest.approx(result.score)
    # 50 halves of 400 votes of which 0.905 are right: a deviation of √(0.905 · 0.095 / 400), times Student's 2.01.
    assert high - low == pytest.approx(2 * 2.01 * (0.905 * 0.095 / 400) ** 0.5, rel=0.4)
    assert result.halves[0].samples == (300, 200)


def test_rows_of_a_full_grid_score_as_the_grid():
    pictures = FactorGrid(5, 4, 6)
    factors = np.tile(pictures.factors(torch.arange(120)), (3, 1))
    rows = score(Rows(curved(torch.tensor(factors))[:, :5], factors))
    grid = score(Encoded(pictures, lambda images: curved(images)[:, :5]))
    assert rows.score == pytest.approx(grid.score, abs=0.04)
    assert rows.variant == "groups drawn among the rows"
    assert grid.variant == "groups drawn from the grid"
    assert np.array_equal(rows.factor, grid.factor)


def test_constant_codes_and_factors():
    factors = np.stack([np.arange(60) % 3, np.zeros(60, int), np.arange(60) // 3 % 4], axis=1)
    with pytest.warns(DisentangleWarning, match="factor 1 is constant"):
        result = score(Rows(factors[:, [0, 2]], factors))
    assert result.score == 1
    assert result.votes[:, 1].sum() == 0
    with pytest.warns(DisentangleWarning, match="factor 1 is constant"):
        assert score(FactorGrid(3, 1, 4), lambda pictures: pictures[:, ::2]).score == 1
    with pytest.warns(DisentangleWarning, match="without a vote"):
        dead = score(Rows(np.ones((60, 2)), factors[:, ::2]))
    assert (dead.score, dead.votes.sum()) == (0, 0)
    with pytest.warns(DisentangleWarning):
        nothing = score(Rows([[1.0]], [[1]]))
    assert (nothing.score, nothing.interval, nothing.samples) == (0, (0, 1), (0, 0))
    with pytest.warns(DisentangleWarning):
        assert score(FactorGrid(1, 1), lambda pictures: pictures).score == 0
    assert score(Rows(factors[:, :1] * 1.0, factors[:, :1])).score == 1


def test_votes_do_not_depend_on_scale():
    factors = np.random.default_rng(0).integers(0, 4, (300, 2))
    codes = (factors @ [[1.0, 0.6], [0.7, 1.0]] + 0.5 * np.random.default_rng(1).standard_normal((300, 2))).astype("f4")
    plain = score(Rows(codes, factors))
    for scale in (2.0**120, 4.0):
        large = score(Rows(codes * np.float32(scale), factors))
        assert np.array_equal(large.votes, plain.votes)
        assert large.deviation == pytest.approx(plain.deviation * scale, rel=1e-6)
    assert 0.5 < plain.score < 1


def test_result_and_bad_input():
    factors = np.random.default_rng(0).integers(0, 4, (300, 2))
    result = score(Rows(factors, factors))
    saved = json.loads(json.dumps(result.to_dict()))
    assert saved["samples"] == [600, 400]
    assert saved["seed"] == 0
    assert saved["threshold"] == 0.05
    with pytest.raises(ValueError, match="group must be at least 2, got 1"):
        score(Rows(factors, factors), group=1)
    with pytest.raises(ValueError, match="train must be at least 1, got 0"):
        score(Rows(factors, factors), train=0)
