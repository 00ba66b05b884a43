"""Baselines: what they keep, what they destroy; the interval's width against theory."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from disentangle.metrics import dci, halves, interval, mig, noise, perfect, reference_points, rotated
from disentangle.metrics.common import Result


def factors_of(n=2000, sizes=(3, 4, 5)):
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, size, n) for size in sizes], axis=1)


def test_rotation_keeps_the_geometry_of_standardised_codes():
    codes = np.random.default_rng(1).standard_normal((200, 6)) * [1, 10, 0.1, 3, 2, 5] + 7
    turned = rotated(codes, seed=4)
    standard = (codes - codes.mean(0)) / codes.std(0)
    assert turned @ turned.T == pytest.approx(standard @ standard.T, abs=1e-10)
    assert np.array_equal(turned, rotated(torch.tensor(codes), seed=4))
    assert np.abs(turned - rotated(codes, seed=5)).max() > 0.1
    assert rotated(codes * 100 - 3, seed=4) == pytest.approx(turned, abs=1e-10)


def test_rotation_is_uniform():
    # QR without its sign fix has a negative diagonal bias: the mean of Q_11 is far from 0.
    identity = np.sqrt(3) * np.vstack([np.eye(3), -np.eye(3)])  # columns of mean 0 and unit variance
    rotations = np.stack([rotated(identity, seed)[:3] / np.sqrt(3) for seed in range(800)])
    assert rotations @ rotations.mT == pytest.approx(np.broadcast_to(np.eye(3), rotations.shape), abs=1e-10)
    assert np.abs(rotations.mean(axis=0)).max() < 4 * np.sqrt(1 / 3 / 800)
    assert np.square(rotations).mean(axis=0) == pytest.approx(np.full((3, 3), 1 / 3), abs=0.05)
    assert 0.4 < np.mean(np.linalg.det(rotations) > 0) < 0.6


def test_rotation_of_a_constant_code_stays_zero():
    assert np.array_equal(rotated(np.full((5, 3), 0.1)), np.zeros((5, 3)))


@pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")  # of the constant codes
def test_perfect_codes_are_the_factors():
    factors = factors_of()
    codes = perfect(factors, 5, seed=3)
    assert codes.shape == (2000, 5)
    columns = {tuple(column) for column in codes.T}
    assert columns == {tuple(column) for column in np.column_stack([factors, np.zeros(2000)]).T}
    assert mig(codes, factors).score > 0.99  # what is missing is chance between the sampled factors
    assert perfect(torch.tensor(factors)).shape == (2000, 3)
    few = perfect(factors, 2)
    assert few.shape == (2000, 2)
    assert np.sum(mig(few, factors).gaps > 0.99) == 2


def test_noise_is_standard_normal():
    codes = noise(20000, 3, seed=1)
    assert np.cov(codes.T) == pytest.approx(np.eye(3), abs=0.03)
    assert np.array_equal(codes, noise(20000, 3, seed=1))


def test_reference_points_of_mig():
    factors = factors_of()
    points = reference_points(partial(mig, bins=10), noise(2000, 6), factors)
    assert list(points) == ["rotated", "perfect", "noise"]
    assert points["perfect"].score == mig(perfect(factors), factors, bins=10).score > 0.99
    assert points["noise"].score < 0.02
    assert points["rotated"].mutual_information.shape == (6, 3)
    turned = reference_points(mig, perfect(factors), factors)["rotated"].score
    assert 0 < turned < 0.5


def test_reference_points_share_one_rotation_between_train_and_test():
    factors = factors_of(600)
    codes = perfect(factors).astype(np.float32)
    points = reference_points(
        partial(dci, learner=DecisionTreeClassifier), codes[:400], factors[:400], codes[400:], factors[400:]
    )
    assert points["perfect"].informativeness == 1
    assert points["rotated"].informativeness == 1  # 60 points in space, seen in training, wherever they are turned
    assert points["rotated"].score < 0.9 * points["perfect"].score
    assert points["noise"].informativeness < 0.5
    with pytest.raises(ValueError, match="go together"):
        reference_points(dci, codes, factors, codes)


def test_reference_points_do_not_repeat_warnings():
    factors = np.repeat(np.arange(40), 5)[:, None]
    reference_points(mig, noise(200, 2), factors)  # DisentangleWarning is an error in tests


class Mean(Result):
    def __init__(self, codes, factors):
        object.__setattr__(self, "mean", codes.mean())

    @property
    def score(self):
        return self.mean


def scores(results):
    return [result.score for result in results]


def test_interval_of_a_mean_has_the_standard_error():
    codes = np.random.default_rng(7).standard_normal((400, 1)) * 3
    low, high = interval(codes.mean(), scores(halves(Mean, codes, np.zeros((400, 1)), repeats=2000)), level=0.95)
    assert (low + high) / 2 == pytest.approx(codes.mean(), abs=1e-12)
    assert high - low == pytest.approx(2 * 1.959964 * codes.std(ddof=1) / 20, rel=0.05)


def test_an_interval_from_few_resamples_is_wider_as_student_says():
    low, high = interval(1.0, [0.0, 2.0, 1.0], level=0.9)
    assert (low, high) == pytest.approx((1 - 2.919986, 1 + 2.919986), abs=1e-6)


def test_interval_of_mig_is_as_wide_as_scores_of_fresh_samples_spread():
    def draw(seed):
        rng = np.random.default_rng(seed)
        factors = np.stack([rng.integers(0, 4, 1000), rng.integers(0, 4, 1000)], axis=1)
        return factors + 0.7 * rng.standard_normal(factors.shape), factors

    spread = np.std([mig(*draw(seed)).score for seed in range(60)])
    low, high = interval(0.5, scores(halves(mig, *draw(0), repeats=100)))
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.4)


def test_halves_are_the_same_rows_for_every_model_and_none_occurs_twice():
    seen = []

    def remember(codes, factors, test_codes, test_factors):
        seen.append((codes[:, 0], test_codes[:, 0]))
        assert np.array_equal(codes[:, 0], factors[:, 0])
        assert np.array_equal(test_codes[:, 0], test_factors[:, 0])
        return Mean(codes, factors)

    rows, others = np.arange(10)[:, None], np.arange(100, 107)[:, None]
    for _ in range(2):
        halves(remember, rows, rows, others, others, repeats=3, seed=5)
    assert all(np.array_equal(a, b) for first, again in zip(seen[:3], seen[3:]) for a, b in zip(first, again))
    assert [(len(set(train)), len(set(test))) for train, test in seen] == [(5, 3)] * 6
    assert not np.array_equal(seen[0][0], seen[1][0])
    with pytest.raises(ValueError, match="go together"):
        halves(remember, rows, rows, others)


@pytest.mark.parametrize("change", [{"resamples": [1.0]}, {"level": 1.0}])
def test_bad_interval(change):
    with pytest.raises(ValueError, match="an interval needs"):
        interval(**{"score": 0.5, "resamples": [0.1, 0.2]} | change)


@pytest.mark.parametrize(("samples", "repeats"), [(3, 5), (8, 1)])
def test_bad_halves(samples, repeats):
    with pytest.raises(ValueError, match="halves need at least"):
        halves(mig, noise(samples, 2), np.arange(samples)[:, None], repeats=repeats)
