"""Moments: however the samples are cut up, they are those of all of them."""

import numpy as np
import pytest
import torch

from disentangle.metrics import Moments, frechet_distance


def samples(n=5000, d=12, offset=100.0):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) * 10.0 ** -(np.arange(d) / 2) + offset


@pytest.mark.parametrize("cuts", [[], [1], [2499, 2500, 4999], list(range(1, 300, 7)), [1024, 2048, 3072]])
def test_any_split_gives_the_same(cuts):
    x = samples()
    parts = [Moments.of(part) for part in np.split(x, cuts)]
    streamed = Moments()
    for part in np.split(x, cuts):
        streamed.update(torch.from_numpy(part))
    centred = (x - 100) - (x - 100).mean(axis=0)
    expected = np.linalg.qr(centred, mode="r")
    for moments in (streamed, Moments.merged(parts), Moments.merged(reversed(parts))):
        assert moments.n == 5000
        assert moments.mean == pytest.approx(x.mean(axis=0), rel=1e-13)
        # each column to 1e-9 of its own size, though they differ by five orders: that is what a factor is for
        factor = moments.factor
        scale = np.linalg.norm(expected, axis=0)
        assert np.abs(factor.T @ factor - expected.T @ expected) / np.outer(scale, scale) == pytest.approx(0, abs=1e-9)


def test_covariance():
    x = samples(50, 4, 3.0)
    assert Moments.of(x).covariance == pytest.approx(np.cov(x.T), rel=1e-12)
    assert Moments.merged([Moments(), Moments.of(x[:1]), Moments.of(x[1:])]).covariance == pytest.approx(np.cov(x.T))


def test_memory_does_not_grow_with_the_samples():
    moments = Moments()
    rng = np.random.default_rng(0)
    for _ in range(300):
        moments.update(rng.standard_normal((40, 8)))
        assert sum(len(rows) for rows in moments._rows) <= 3 * 8
    assert moments.factor.shape == (8, 8)
    assert moments.n == 12_000


def test_a_distance_takes_moments_as_well_as_features():
    x, y = samples(900, 12, 5.0), samples(700, 12, 5.0) * 1.1
    expected = frechet_distance(x, y)
    parts = [Moments.of(part) for part in np.array_split(x, 5)]
    for a, b in ((Moments.merged(parts), y), (x, Moments.of(y)), (Moments.merged(parts), Moments.of(y))):
        result = frechet_distance(a, b)
        assert result.score == pytest.approx(expected.score, rel=1e-9)
        assert (result.n, result.m, result.dimension) == (900, 700, 12)
        with pytest.raises(ValueError, match="from moments"):
            _ = result.interval
    assert frechet_distance(Moments.of(x), Moments.of(x)).score < 1e-20


def test_packed_and_unpacked():
    moments = Moments.of(samples(20, 6))
    packed = moments.pack()
    assert packed.shape == (9, 6)
    again = Moments.unpack(packed)
    assert again.n == 20
    assert np.array_equal(again.mean, moments.mean)
    assert again.covariance == pytest.approx(moments.covariance, rel=1e-12)


def test_bad_input():
    moments = Moments.of(np.ones((3, 2)))
    with pytest.raises(ValueError, match="3 columns after 2"):
        moments.update(np.ones((3, 3)))
    with pytest.raises(ValueError, match="3 columns after 2"):
        Moments.merged([moments, Moments.of(np.ones((3, 3)))])
    with pytest.raises(ValueError, match="finite"):
        moments.update(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="no moments"):
        Moments.merged([])
    with pytest.raises(ValueError, match="no moments yet"):
        Moments().pack()
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        _ = Moments.of(np.ones((1, 2))).covariance
    with pytest.raises(ValueError, match="got shape"):
        Moments.unpack(np.ones((3, 3)))
    with pytest.raises(ValueError, match="no mean yet"):
        Moments().difference(moments)
    with pytest.raises(ValueError, match="at least 2 samples, got 1 and 3"):
        frechet_distance(Moments.of(np.ones((1, 2))), moments)
    with pytest.raises(ValueError, match="2 and 3"):
        frechet_distance(moments, np.ones((3, 3)))
