"""The laws that every score of codes and factors in this family keeps, whatever it is handed."""

import json
import warnings

import numpy as np
import pytest
import torch
from arrays import grid, sample

from disentangle.errors import DisentangleWarning
from disentangle.metrics import dcimig, infomec, irs, jemmig, mig, mig_sup, modularity

SCORES = [mig, mig_sup, jemmig, dcimig, modularity, irs, infomec]

every = pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)
pytestmark = pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")


def finite(value):
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or np.isfinite(value)


def sound(result):
    """Nothing in the result is NaN or infinite, and the score lies between its bounds."""
    assert finite(json.loads(json.dumps(result.to_dict())))
    assert 0 <= result.score <= 1
    return result.score


@every
def test_order_of_samples_codes_and_factors_does_not_matter(score):
    codes, factors = sample(300, 4)
    whole = sound(score(codes, factors))
    order = np.random.default_rng(1).permutation(300)
    # The noise of InfoMEC that parts equal samples falls on other samples, and rounds some of few values otherwise.
    near = 1e-2 if score is infomec else 1e-12
    assert score(codes[order], factors[order]).score == pytest.approx(whole, abs=near)
    assert score(codes[:, ::-1], factors[:, [1, 2, 0]] * -3 + 7).score == pytest.approx(whole, abs=near)


@every
def test_input_of_any_kind(score):
    codes, factors = sample(200, 3)
    codes = np.round(codes * 8) / 8  # what half precision holds exactly
    whole = score(codes, factors).score
    assert score(torch.tensor(codes, requires_grad=True), torch.tensor(factors)).score == whole
    for given in (codes.astype(np.float16), torch.tensor(codes).bfloat16().half(), codes.astype(np.float32)):
        near = 0.02 if score is infomec else 1e-5  # as above
        assert score(given, factors.astype(np.float32)).score == pytest.approx(whole, abs=near)
    assert score(codes.astype(object), factors.tolist()).score == whole
    with pytest.raises(ValueError, match="finite"):
        score(np.where(codes > 1, np.nan, codes), factors)
    with pytest.raises(ValueError, match="199 rows for 200"):
        score(codes, factors[:-1])


@every
def test_constant_codes_and_factors_count_for_nothing(score):
    codes, factors = sample(200, 3)
    whole = score(codes, factors).score
    with pytest.warns(DisentangleWarning, match="factor 3 is constant"):
        assert sound(score(codes, np.column_stack([factors, np.full(200, 9)]))) == pytest.approx(whole, abs=1e-12)
    with pytest.warns(DisentangleWarning, match=r"code.* constant"):
        with_dead = sound(score(np.column_stack([codes, np.full(200, 0.1)]), factors))
    share = 3 / 4 if score is modularity else 1  # as published, there a dead code counts 0
    assert with_dead == pytest.approx(share * whole, abs=1e-12)
    assert sound(score(np.full((200, 3), 0.1, np.float32), factors)) == 0
    assert sound(score(codes, np.zeros((200, 2)))) == 0
    assert sound(score(codes[:, :1] * 0, factors[:, :1] * 0)) == 0


@every
def test_one_code_and_one_factor(score):
    codes, factors = grid(4, 5).astype(float), grid(4, 5)
    codes, factors = np.tile(codes, (10, 1)), np.tile(factors, (10, 1))
    few_bins = {} if score in (irs, infomec) else {"bins": 4}
    assert sound(score(codes[:, :1], factors[:, :1], **few_bins)) == pytest.approx(1, abs=1e-12)
    assert sound(score(codes[:, :1], factors[:, 1:])) < 0.5 or score is jemmig
    assert 0.3 < sound(score(codes[:, :1], factors)) <= 1
    sound(score(codes, factors[:, 1:]))


@every
@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_samples(score, n):
    codes, factors = sample(n, 3)
    result = score(codes, factors)
    sound(result)
    assert 0 <= result.interval[0] <= result.interval[1] <= 1
    assert all(0 <= value <= 1 for value in result.reference_points.values())


@every
@pytest.mark.parametrize("unit", [1e300, 1e-300, -1.0])
def test_extreme_units(score, unit):
    if score is mig_sup and unit == 1e-300:
        assert score(sample(150, 3)[0] * unit, sample(150, 3)[1]).score == 0  # its threshold is in the codes' unit
        return
    codes, factors = sample(150, 3)
    settings = {"least_variance": 0} if score is mig_sup else {}
    near = 1e-2 if score is infomec else 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert sound(score(codes * unit, factors, **settings)) == pytest.approx(
            score(codes, factors, **settings).score, abs=near
        )


@every
def test_noise_lowers_and_rotation_lowers(score):
    codes = np.tile(grid(3, 4, 5), (20, 1)).astype(float)
    factors = codes.astype(int)
    noise = np.random.default_rng(0).standard_normal(codes.shape)
    scores = [score(codes + level * noise, factors).score for level in (0.02, 0.4, 1.5)]
    assert scores == sorted(scores, reverse=True)
    points = score(codes, factors).reference_points
    assert points["perfect"] > 0.97
    assert points["rotated"] < points["perfect"] - 0.05
