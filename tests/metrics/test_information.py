"""The table of mutual information against scikit-learn, its bins, and its words about chance."""

import numpy as np
import pytest
from arrays import sample
from sklearn.metrics import mutual_info_score

from disentangle.metrics.information import (
    bin_values,
    entropy,
    gap,
    hardly_more_than_chance,
    information,
    label,
    tabulate,
)


def test_table_equals_scikit_learn():
    codes, factors = sample(400, 3)
    factors = factors * 7 - 2
    table = tabulate(codes, factors, 6)
    for i, code in enumerate(codes.T):
        binned = np.digitize(code, np.histogram(code, 6)[1][:-1])
        assert table.code_entropy[i] == pytest.approx(mutual_info_score(binned, binned), abs=1e-12)
        for j, factor in enumerate(factors.T):
            assert table.information[i, j] == pytest.approx(mutual_info_score(binned, factor), abs=1e-12)
            joint = 100 * binned + factor
            assert table.joint_entropy[i, j] == pytest.approx(mutual_info_score(joint, joint), abs=1e-12)
    assert table.factor_entropy == pytest.approx([mutual_info_score(f, f) for f in factors.T], abs=1e-12)
    assert table.values.tolist() == [3, 6, 15]


def test_closed_forms():
    two, four = np.arange(8)[:, None] % 2, np.arange(8)[:, None] // 2
    assert information(np.hstack([two, four]), np.hstack([two, four])) == pytest.approx(np.diag(np.log([2, 4])))
    assert entropy(np.hstack([two, four, 0 * two])) == pytest.approx(np.log([2, 4, 1]))
    assert gap(np.array([[1.0, 5.0], [3.0, 4.0], [2.0, 0.0]])).tolist() == [1, 1]
    assert gap(np.array([[2.0, 5.0]])).tolist() == [2, 5]  # one row stands beside nothing


def test_bins_of_equal_count():
    values = np.random.default_rng(0).permutation(np.arange(100.0) ** 3)
    assert np.bincount(bin_values(values, 20, "quantile")).tolist() == [5] * 20
    tied = bin_values(np.array([0.0, 0, 0, 0, 0, 0, 1, 2]), 4, "quantile")
    assert np.unique(tied, return_counts=True)[1].tolist() == [6, 2]
    assert bin_values(np.array([-1.7e308, 0, 1.7e308]), 3, "quantile").tolist() == [0, 1, 2]


def test_labels_are_those_that_occur():
    assert label(np.array([[5.0, -3], [9, -3], [5, 4]]), 3).tolist() == [[0, 0], [1, 0], [0, 1]]
    assert label(np.array([[0.0], [0.1], [1.0]]), 3, bins=5).tolist() == [[0], [0], [1]]
    with pytest.raises(ValueError, match="2 rows for 3 codes"):
        label(np.zeros((2, 1)), 3, bins=5)


def test_codes_that_know_no_more_than_chance_are_named():
    known = np.array([[0.5, 0.01], [0.02, 0.01], [0.0, 0.0], [0.015, 0.0]])
    chance = np.full((4, 2), 0.018)
    (words,) = hardly_more_than_chance(known, chance, np.array([True] * 4), "their share")
    assert words.startswith(
        "codes 1, 3 know hardly more of any factor than of shuffled ones (at most 0.02 against 0.018)"
    )
    (words,) = hardly_more_than_chance(known, chance, np.array([True, False, True, True]), "their share")
    assert words.startswith("code 3 knows")
    assert hardly_more_than_chance(known, chance / 9, np.array([True] * 4), "their share") == []
