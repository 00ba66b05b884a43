"""Words about arrays: said where they are true, and only there."""

import numpy as np
import pytest

from disentangle.errors import DisentangleWarning
from disentangle.metrics import mig, noise
from disentangle.metrics.words import constant_factors, dead_codes, expected_nats, few_bins, few_samples, warn


def test_warn_emits_each_and_returns_all():
    with pytest.warns(DisentangleWarning) as caught:
        assert warn(iter(["one", "two"])) == ("one", "two")
    assert [str(entry.message) for entry in caught] == ["one", "two"]


def test_constant_factors_and_dead_codes():
    assert constant_factors(np.array([[1, 5, 0], [2, 5, 0]])) == [
        "factor 1 is constant: it does not count",
        "factor 2 is constant: it does not count",
    ]
    codes = noise(100, 4) * [1, 0, 0.001, 0.5]
    assert dead_codes(codes) == [
        "code 1 is constant: nothing can be known from such a code",
        "code 2 is nearly constant, below 1% of the deviation of the most varying code",
    ]
    assert dead_codes(np.ones((5, 2))) == ["codes 0, 1 are constant: nothing can be known from such a code"]
    assert dead_codes(noise(100, 4)) == []
    large = np.column_stack([noise(100, 1), np.full(100, 1e20)])  # its computed deviation is 16384
    assert dead_codes(large) == ["code 1 is constant: nothing can be known from such a code"]
    assert dead_codes(np.full((5, 1), 0.1, np.float32)) == ["code 0 is constant: nothing can be known from such a code"]


def test_few_bins_counts_the_values_that_occur():
    factors = np.column_stack([np.arange(30), np.arange(30) % 20, 100 * (np.arange(30) % 21)])
    assert [words.split(" and ")[0] for words in few_bins(factors, 20)] == [
        "factor 0 takes 30 values",
        "factor 2 takes 21 values",
    ]


def test_the_chance_that_is_told_is_that_of_shuffled_labels():
    rng = np.random.default_rng(0)
    rows, columns = np.array([40, 25, 20, 15]), np.array([50, 30, 20])
    a, b = np.repeat(np.arange(4), rows), np.repeat(np.arange(3), columns)

    def information(b):
        joint = np.histogram2d(a, b, (4, 3))[0] / 100
        expected = np.outer(joint.sum(1), joint.sum(0))
        return np.sum(joint[joint > 0] * np.log(joint[joint > 0] / expected[joint > 0]))

    drawn = [information(rng.permutation(b)) for _ in range(4000)]
    assert expected_nats(rows, columns) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 4000**0.5)


def test_few_samples_says_what_noise_would_show():
    factors = np.random.default_rng(0).integers(0, 40, (100, 1))
    (words,) = few_samples(factors, 20)
    nats = float(words.split(" shows ")[1].split()[0])
    with pytest.warns(DisentangleWarning):
        shown = mig(np.random.default_rng(1).permutation(100)[:, None], factors).mutual_information[0, 0]
    assert nats == pytest.approx(shown, abs=0.2)
    assert few_samples(np.random.default_rng(0).integers(0, 40, (10_000, 1)), 20) == []
    assert few_samples(np.zeros((30, 1), dtype=np.int64), 20) == []
    assert few_samples(np.zeros((5, 1), dtype=np.int64), 20) == [
        "5 samples in 20 bins: mutual information is mostly chance"
    ]
