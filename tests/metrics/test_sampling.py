"""What is drawn: groups and pairs that share one factor's value, each picture encoded once."""

import numpy as np
import pytest
import torch
from labelled import FactorGrid, curved

from disentangle.metrics import Encoded, Rows
from disentangle.metrics.sampling import generator, population


def rows(n=600):
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, n) for size in (2, 5, 9)], axis=1)
    return Rows(factors + 0.25, factors)


def grid():
    return Encoded(FactorGrid(2, 5, 9), lambda pictures: pictures + 0.25, batch=7)


@pytest.mark.parametrize("make", [grid, rows])
def test_groups_share_their_factor_and_nothing_else(make):
    samples = make()
    labels, groups = samples.groups(generator(1), 300, 16)
    drawn = samples.look_up(groups)
    assert np.array_equal(drawn.codes, drawn.factors + 0.25)
    values = drawn.factors[drawn.rows[0]]  # (300, 16, 3)
    shared = (values == values[:, :1]).all(axis=1)
    assert shared[np.arange(300), labels].all()
    assert shared.sum() - 300 <= 5
    assert np.bincount(labels).min() > 70
    # Values are drawn as often as they occur: uniformly, here.
    assert np.bincount(values[labels == 2][:, 0, 2], minlength=9).min() >= 3
    assert np.abs(np.bincount(values[labels == 0][..., 1].ravel()) / (labels == 0).sum() / 16 - 0.2).max() < 0.04


@pytest.mark.parametrize("make", [grid, rows])
def test_pairs_share_their_factor_and_nothing_else(make):
    samples = make()
    labels, first, second = samples.pairs(generator(1), 300, 16)
    drawn = samples.look_up(first, second)
    equal = drawn.factors[drawn.rows[0]] == drawn.factors[drawn.rows[1]]
    for j, size in enumerate((2, 5, 9)):
        assert equal[labels == j][..., j].all()
        assert equal[labels != j][..., j].mean() == pytest.approx(1 / size, abs=0.03)


def test_rows_find_all_their_mates_and_never_themselves():
    factors = np.array([[0], [0], [0], [1], [1], [2]])
    samples = Rows(np.arange(6.0)[:, None], factors)
    _, first, second = samples.pairs(generator(0), 20, 50)
    seen = set(zip(first.ravel().tolist(), second.ravel().tolist()))
    assert seen == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (3, 4), (4, 3)}
    _, groups = samples.groups(generator(0), 200, 8)
    assert {tuple(sorted(set(group.tolist()))) for group in groups if len(set(group)) > 1} >= {(0, 1, 2), (3, 4)}
    assert 5 not in groups
    assert np.array_equal(samples.sample(generator(0), 3), np.arange(6))


def test_rows_say_which_factors_do_not_count():
    factors = np.column_stack([np.arange(40), np.zeros(40, int), np.arange(40) % 2, np.arange(40) // 4])
    samples = Rows(np.ones((40, 1)), factors)
    assert samples.counted.tolist() == [2, 3]
    assert samples.words == [
        "factor 1 is constant: it does not count",
        "factor 0 takes another value in every row: it does not count",
        "the rows are few for factor 3: half of them share its value with fewer than 10 others",
    ]
    labels, _ = samples.groups(generator(0), 50, 4)
    assert set(labels) == {2, 3}


def test_each_picture_is_encoded_once_and_remembered():
    pictures = FactorGrid(5, 4, 6)
    batches = []

    def encode(images):
        assert not torch.is_grad_enabled()
        batches.append(len(images))
        return curved(images)

    samples = Encoded(pictures, encode, batch=50)
    ids = samples.sample(generator(0), 30)
    one = samples.look_up(ids)
    assert sorted(pictures.shown) == sorted(set(pictures.shown))
    assert one.codes.shape == (len(np.unique(ids)), 6)
    _, groups = samples.groups(generator(1), 200, 8)
    both = samples.look_up(groups, ids)
    assert sorted(pictures.shown) == list(range(120))
    assert max(batches) == 50
    assert np.array_equal(both.codes[both.rows[1]], one.codes[one.rows[0]])
    assert np.array_equal(both.codes, curved(torch.from_numpy(both.factors)).astype(both.codes.dtype))


def test_bad_input():
    pictures = FactorGrid(2, 3)
    with pytest.raises(ValueError, match="needs encode"):
        population(pictures, None, 1)
    with pytest.raises(ValueError, match="Rows has its codes already"):
        population(rows(), curved, 1)
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        population(pictures, curved, 0)
    with pytest.raises(ValueError, match=r"a row of 2 codes for every picture, got shape \(1, 2\) for 6 pictures"):
        Encoded(pictures, lambda images: images[:1]).look_up(np.arange(6))
    with pytest.raises(ValueError, match="codes must be finite"):
        Encoded(pictures, lambda images: images / 0).look_up(np.arange(6))
    with pytest.raises(ValueError, match=r"each at least 1, got \(2, 0\)"):
        Encoded(FactorGrid(2, 0), curved)
    with pytest.raises(ValueError, match="seed must lie between 0 and 4294967295, got -1"):
        generator(-1)
    with pytest.raises(ValueError, match="4 rows for 3 codes"):
        Rows(np.zeros((3, 1)), np.zeros((4, 1)))
