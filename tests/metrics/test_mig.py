"""MIG against the published definition, written out literally, against scikit-learn, and in closed form."""

import json
import math
import warnings

import numpy as np
import pytest
import torch
from arrays import sample
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from disentangle.errors import DisentangleWarning, UserError
from disentangle.metrics import mig

# What is said of few samples is tested where it is asked for, below.
pytestmark = pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")


def published(codes, factors, bins=20):
    """The definition as published: histogram edges, digitize on all but the last, sort, divide, mean."""

    def information(a, b):
        total = 0.0
        for u in np.unique(a):
            for v in np.unique(b):
                both = np.mean((a == u) & (b == v))
                if both > 0:
                    total += both * math.log(both / (np.mean(a == u) * np.mean(b == v)))
        return total

    binned = [np.digitize(c, np.histogram(c, bins)[1][:-1]) for c in codes.T]
    m = np.array([[information(b, f) for f in factors.T] for b in binned])
    m = np.sort(m, axis=0)[::-1]
    return np.mean((m[0] - m[1]) / [information(f, f) for f in factors.T])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_published_definition(dtype, seed):
    codes, factors = sample(dtype=dtype, seed=seed)
    assert mig(codes, factors).score == pytest.approx(published(codes, factors), abs=1e-12)


def test_values_on_bin_edges_fall_where_published():
    # 0, 1, …, 20 lie exactly on the edges of 20 bins: each value opens a bin, the last joins the one before.
    codes = np.repeat(np.arange(21.0), 3)[:, None] * [1, -1]
    factors = (np.repeat(np.arange(21), 3) // 7)[:, None]
    result = mig(codes, factors)
    assert result.score == pytest.approx(published(codes, factors), abs=1e-12)
    codes = np.linspace(-0.3, 0.7, 101)[:, None] * [1, 3]
    factors = (np.arange(101) % 5)[:, None]
    assert mig(codes, factors, bins=10).score == pytest.approx(published(codes, factors, 10), abs=1e-12)


def test_integer_codes_as_published():
    codes, factors = sample()
    codes = np.round(codes * 3).astype(np.int64)
    assert mig(codes, factors).score == pytest.approx(published(codes, factors), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 12))
def test_any_sample_as_published(seed, n, bins):
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.permutation(np.arange(n) % k) for k in (2, 3)], axis=1)
    codes = rng.choice([-1.5, 0.0, 0.1, 0.25, 2.0, 7.0], (n, 3)) * rng.uniform(0.1, 10, 3)
    if n < 3:
        factors = factors[:, :1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisentangleWarning)
        score = mig(codes, factors, bins=bins).score
    assert score == pytest.approx(published(codes, factors, bins), abs=1e-12)


def test_mutual_information_equals_scikit_learn():
    codes, factors = sample(n=2000)
    result = mig(codes, factors)
    for i in range(codes.shape[1]):
        binned = np.digitize(codes[:, i], np.histogram(codes[:, i], 20)[1][:-1])
        for j in range(factors.shape[1]):
            expected = mutual_info_score(factors[:, j], binned)
            assert result.mutual_information[i, j] == pytest.approx(expected, abs=1e-12)
            assert result.entropy[j] == pytest.approx(mutual_info_score(factors[:, j], factors[:, j]), abs=1e-12)


def test_closed_forms():
    grid = np.stack(np.meshgrid(range(3), range(6), range(4), indexing="ij"), axis=-1).reshape(-1, 3)
    perfect = mig(-2.5 * grid[:, ::-1], grid)
    assert perfect.score == pytest.approx(1, abs=1e-12)
    assert perfect.entropy == pytest.approx(np.log([3, 6, 4]), abs=1e-12)
    assert mig(np.hstack([grid, grid]), grid).score == pytest.approx(0, abs=1e-12)  # each code has a twin
    # One code of two halves of a factor of 4, and nothing else: (ln 2) / (ln 4).
    assert mig((grid[:, 2:] >= 2).astype(float), grid[:, 2:]).score == pytest.approx(0.5, abs=1e-12)


def test_bins_fewer_than_values_lower_perfect_codes_and_warn():
    factors = np.repeat(np.arange(40), 10)[:, None]
    with pytest.warns(DisentangleWarning, match="40 values and codes have 20 bins"):
        result = mig(factors, factors)
    assert result.score == pytest.approx(math.log(20) / math.log(40), abs=1e-12)


def test_invariances():
    codes, factors = sample()
    score = mig(codes, factors).score
    order = np.random.default_rng(1).permutation(len(codes))
    assert mig(codes[order], factors[order]).score == pytest.approx(score, abs=1e-13)
    assert mig(codes[:, ::-1], factors[:, ::-1]).score == pytest.approx(score, abs=1e-13)
    assert mig(codes * 4, factors * -7 + 3).score == pytest.approx(score, abs=1e-13)  # a power of two moves no edge
    assert 0.02 < score < 0.98


def test_torch_and_lists_give_the_same():
    codes, factors = sample(dtype=np.float32)
    score = mig(codes, factors).score
    assert mig(torch.tensor(codes, requires_grad=True), torch.tensor(factors)).score == score
    assert mig(codes.astype(float).tolist(), factors.tolist()).score == pytest.approx(score, abs=1e-2)
    half = torch.tensor(codes).bfloat16()
    assert mig(half, factors).score == mig(half.float(), factors).score


def test_constant_code_knows_nothing():
    codes, factors = sample()
    dead = np.column_stack([codes, np.full(len(codes), 1e20), np.zeros(len(codes))])
    assert mig(dead, factors).score == mig(codes, factors).score
    assert mig(dead, factors).mutual_information[-2:] == pytest.approx(0)
    assert mig(dead[:, -2:], factors).score == 0


def test_constant_factor_is_left_out():
    codes, factors = sample()
    with pytest.warns(DisentangleWarning, match="factor 3 is constant"):
        result = mig(codes, np.column_stack([factors, np.full(len(codes), 5)]))
    assert result.score == mig(codes, factors).score
    assert result.gaps[3] == 0
    with pytest.warns(DisentangleWarning, match="constant"):
        assert mig(codes, np.zeros((len(codes), 2), int)).score == 0


def test_one_code_stands_beside_one_that_knows_nothing():
    codes, factors = sample()
    with_dead = np.column_stack([codes[:, 0], np.zeros(len(codes))])
    assert mig(codes[:, :1], factors).score == mig(with_dead, factors).score > 0.01


@pytest.mark.parametrize("n", [1, 2, 19])
def test_fewer_samples_than_bins(n):
    codes, factors = sample(n)
    with pytest.warns(DisentangleWarning):
        score = mig(codes, factors).score
    assert 0 <= score <= 1


@pytest.mark.parametrize(
    "column",
    [
        1 + np.spacing(1.0) * np.arange(3),  # too narrow for 20 bins
        5e-324 * np.arange(3),
        np.array([-1.7e308, 0, 1.7e308]),  # a range that overflows
    ],
)
def test_extreme_ranges(column):
    factors = np.tile(np.arange(3), 20)[:, None]
    assert mig(np.tile(column, 20)[:, None], factors).score == pytest.approx(1, abs=1e-12)


def test_result():
    codes, factors = sample()
    result = mig(codes, factors)
    assert float(result) == result.score == pytest.approx(result.gaps.mean())
    saved = json.loads(json.dumps(result.to_dict()))
    assert saved["score"] == result.score
    assert saved["bins"] == 20
    assert saved["samples"] == [500]
    assert result.warnings == tuple(saved["warnings"])
    assert result.reference_points == {"rotated": result.references["rotated"].score, **result.reference_points}
    assert result.interval[0] < result.score < result.interval[1]
    assert np.shape(saved["mutual_information"]) == (4, 3)
    assert "bins" in saved["variant"]


@pytest.mark.parametrize(
    ("codes", "factors", "bins", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 1)), 20, "4 rows for 3 codes"),
        (np.zeros(3), np.zeros((3, 1)), 20, "matrix"),
        (np.zeros((0, 2)), np.zeros((0, 1)), 20, "non-empty"),
        (np.full((3, 2), np.nan), np.zeros((3, 1)), 20, "finite, got 6"),
        (np.zeros((3, 2)), np.full((3, 1), 0.5), 20, "integers"),
        (np.zeros((3, 2)), np.zeros((3, 1)), 0, "bins"),
    ],
)
def test_bad_input(codes, factors, bins, message):
    with pytest.raises(ValueError, match=message):
        mig(codes, factors, bins)
    with pytest.raises(TypeError, match="real numbers"):
        mig([["a"]], [[1]])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 0.05377081234300568),  # disentanglement_lib 1.5
        # ubisoft-laforge-disentanglement-metrics, commit 05d5667, with pyitlib 0.2.3:
        ({"bins": 10, "normaliser": "code"}, 0.056822295735449335),
    ],
)
def test_published_variants(settings, expected):
    assert mig(*sample(2000, 5, seed=7), **settings).score == pytest.approx(expected, abs=1e-12)


def test_normalisers_and_binnings():
    codes, factors = sample(3000)
    result = mig(codes, factors)
    assert mig(codes, factors, normaliser="values").gaps == pytest.approx(
        result.gaps * result.entropy / np.log([3, 6, 15]), abs=1e-12
    )
    # A factor of 40 values in 20 bins: the code knows all that is in it, but half of the factor.
    fine = np.repeat(np.arange(40), 10)[:, None]
    assert mig(fine, fine, normaliser="code").score == pytest.approx(1, abs=1e-12)
    assert mig(np.exp(codes), factors, binning="quantile").score == pytest.approx(
        mig(codes, factors, binning="quantile").score, abs=1e-12
    )
    assert "equal-count" in mig(codes, factors, binning="quantile").variant
    with pytest.raises(UserError, match="unknown normaliser 'entropie': did you mean entropy"):
        mig(codes, factors, normaliser="entropie")
    with pytest.raises(UserError, match="unknown binning"):
        mig(codes, factors, binning="equal")


def test_continuous_factors_are_binned():
    codes, factors = sample(2000, 5, seed=7)
    smooth = factors + np.random.default_rng(8).uniform(size=factors.shape)
    result = mig(codes, smooth, 10, normaliser="code", factor_bins=10)
    # ubisoft-laforge-disentanglement-metrics, commit 05d5667, continuous_factors=True
    assert result.score == pytest.approx(0.059562803277799885, abs=1e-12)
    assert result.reference_points["perfect"] > 0.95
    with pytest.raises(ValueError, match="bin continuous factors first"):
        mig(codes, smooth)
    with pytest.raises(ValueError, match="factor_bins must be at least 1"):
        mig(codes, smooth, factor_bins=0)


def test_warns_of_what_lowers_or_raises_it():
    codes, factors = sample(300)
    codes = np.column_stack([codes, np.ones(300)])
    with pytest.warns(DisentangleWarning):
        words = mig(codes, factors, bins=10).warnings
    assert [any(part in word for word in words) for part in ("code 4 is constant", "15 values", "are few")] == [
        True
    ] * 3
