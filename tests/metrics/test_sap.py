"""SAP against the published implementation, and where that has no answer."""

import json

import numpy as np
import pytest
import torch
from labelled import arrays, split

from disentangle.errors import DisentangleWarning
from disentangle.metrics import perfect, sap

# One of the arrays' codes lies far from 0, which only the published values depend on.
pytestmark = pytest.mark.filterwarnings("ignore:code . is more than 10 deviations from 0")

# Of disentanglement_lib 1.5 (sap_score) with scikit-learn 1.9.1 and liblinear's default tolerance.
PUBLISHED = 0.04777777777777779
ACCURACY = [
    [0.51666667, 0.30666667, 0.27],
    [0.45666667, 0.27666667, 0.15333333],
    [0.53333333, 0.31, 0.2],
    [0.57333333, 0.34333333, 0.16333333],
    [0.48333333, 0.29666667, 0.16333333],
]
CONTINUOUS = {np.float64: 0.11042003719622694, np.float32: 0.11042003773900581}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_published_implementation(dtype):
    codes, factors = arrays(dtype)
    result = sap(*split(codes, factors))
    assert result.predictability == pytest.approx(np.array(ACCURACY), abs=1e-8)
    assert result.score == pytest.approx(PUBLISHED, abs=1e-9)
    assert sap(codes[:600], factors[:600], continuous=True).score == pytest.approx(CONTINUOUS[dtype], abs=1e-9)


def test_continuous_factors_in_closed_form():
    x = np.linspace(-1, 1, 101)
    both = pytest.warns(DisentangleWarning, match="code 3 is of a variance below 1e-12")
    with pytest.warns(DisentangleWarning, match="code 3 is nearly constant"), both:
        result = sap(np.column_stack([x, x**2, 3 - x, 1e-7 * x]), 0.5 * x[:, None] + 0.25, continuous=True)
    assert result.predictability[:, 0] == pytest.approx([1, 0, 1, 0], abs=1e-12)  # the last varies less than 1e-12
    assert result.score == pytest.approx(0, abs=1e-12)
    mixed = sap(np.column_stack([x, x + x**2]), x[:, None], continuous=True)
    share = x.var() / (x.var() + (x**2).var())
    assert mixed.score == pytest.approx(1 - share, abs=1e-12)
    assert mixed.reference_points["perfect"] == pytest.approx(1, abs=1e-12)
    assert mixed.interval[0] < mixed.score < mixed.interval[1]


def test_two_values_are_told_apart_and_a_line_cannot_tell_many():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, 600) for size in (2, 12)], axis=1)
    with pytest.warns(DisentangleWarning, match="code 0 is of a deviation below 0.5, where the penalty"):
        result = sap(*split(perfect(factors, 2) - 0.5, factors, 400))
    assert result.predictability[:, 0].max() == 1
    assert 0.1 < result.predictability[:, 1].max() < 0.5


def test_constant_codes_and_factors():
    codes, factors = arrays()
    dead = np.column_stack([codes[:, :1], np.full(900, 3)])
    with pytest.warns(DisentangleWarning, match="code 1 is constant"):
        beside = sap(*split(dead, factors))
    assert beside.score > 0.01
    assert sap(*split(codes[:, :1], factors)).score == pytest.approx(beside.score, abs=1e-12)
    fixed = np.insert(factors, 1, 5, axis=1)
    for continuous in (False, True):
        with pytest.warns(DisentangleWarning, match="factor 1 is constant"):
            result = sap(*split(codes, fixed), continuous=continuous)
        assert result.score == sap(*split(codes, factors), continuous=continuous).score
        assert (result.gaps[1], result.predictability[:, 1].max()) == (0, 0)
        with pytest.warns(DisentangleWarning):
            assert sap(np.ones((1, 2)), [[1]], np.ones((1, 2)), [[1]], continuous).score == 0
        with pytest.warns(DisentangleWarning, match="codes 0, 1 are constant"):
            assert sap(*split(np.full((900, 2), 1e20), factors), continuous=continuous).score == 0


@pytest.mark.filterwarnings("ignore:codes 0, 1 are of a deviation")
@pytest.mark.filterwarnings("ignore:code 0 is of a deviation")
def test_only_a_single_code_stands_beside_a_constant_one():
    # The second code is right of seven samples in ten, but of none of those that it is tested on; of these, most have
    # the value that a constant code answers.
    labels = np.arange(200)[:, None] % 2
    wrong = np.arange(200) // 2 % 10 < 3
    codes = np.column_stack([labels[:, 0], labels[:, 0] ^ wrong]) - 0.5
    chosen = np.concatenate(
        [np.flatnonzero(wrong & (labels[:, 0] == 0)), np.flatnonzero(wrong & (labels[:, 0] == 1))[:5]]
    )
    result = sap(codes, labels, codes[chosen], labels[chosen])
    assert result.predictability[:, 0].tolist() == [1, 0]
    assert result.score == 1
    assert sap(codes[:, :1], labels, codes[chosen, :1], labels[chosen]).score == pytest.approx(5 / 35)


def test_a_value_that_was_not_learnt_is_mispredicted():
    codes, factors = arrays()
    whole = sap(*split(codes, factors)).predictability
    train, targets, test, test_targets = split(codes, factors)
    more = sap(train, targets, np.vstack([test, test]), np.vstack([test_targets, test_targets + 50])).predictability
    assert more == pytest.approx(whole / 2)


def test_result():
    codes, factors = arrays()
    result = sap(*split(torch.tensor(codes), torch.tensor(factors)))
    saved = json.loads(json.dumps(result.to_dict()))
    assert saved["samples"] == [600, 300]
    assert saved["score"] == float(result) == pytest.approx(np.mean(saved["gaps"]))
    assert "C = 0.01" in saved["learner"]
    order = np.random.default_rng(0).permutation(5)
    assert sap(*split(codes[:, order], factors)).score == pytest.approx(result.score)


def test_bad_input():
    codes, factors = arrays()
    with pytest.raises(ValueError, match="give test_codes and test_factors"):
        sap(codes, factors)
    with pytest.raises(ValueError, match="integers"):
        sap(codes, factors + 0.5, codes, factors)
    with pytest.raises(ValueError, match="codes and test_codes differ in columns: 5 and 2"):
        sap(codes, factors, codes[:, :2], factors)
    with pytest.raises(ValueError, match="3 rows for 900 codes"):
        sap(codes, factors[:3], continuous=True)
    with pytest.raises(ValueError, match="finite"):
        sap(codes * np.inf, factors, continuous=True)


def test_codes_far_from_the_origin_are_told_of():
    """The published classifier penalises its intercept: what it makes of shifted codes is less than is in them."""
    factors = np.random.default_rng(0).integers(0, 4, (600, 2))
    codes = factors + 0.2 * np.random.default_rng(1).standard_normal((600, 2))
    with pytest.warns(DisentangleWarning, match="codes 0, 1 are more than 10 deviations from 0"):
        far = sap(*split(codes + 100, factors, 400))
    assert far.score < 0.5 * sap(*split(codes - codes.mean(axis=0), factors, 400)).score
