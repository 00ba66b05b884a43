"""Words about arrays: said where they are true, and only there."""

import re

import numpy as np
import pytest

from disentangle.errors import DisentangleWarning
from disentangle.metrics import Rows, explicitness, factor_vae_score, infomec, irs, mig, noise, sap
from disentangle.metrics.words import (
    constant_factors,
    dead_codes,
    expected_nats,
    few_bins,
    few_samples,
    few_to_learn,
    listed,
    upto,
    warn,
)


def test_warn_emits_each_and_returns_all():
    with pytest.warns(DisentangleWarning) as caught:
        assert warn(iter(["one", "two"])) == ("one", "two")
    assert [str(entry.message) for entry in caught] == ["one", "two"]


def test_constant_factors_and_dead_codes():
    assert constant_factors(np.array([[1, 5], [2, 5]])) == ["factor 1 is constant: it does not count"]
    assert constant_factors(np.array([[1, 5, 0], [2, 5, 0]])) == ["factors 1 and 2 are constant: they do not count"]
    assert constant_factors(np.array([[1], [2]])) == []
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
    assert few_bins(factors, 20) == [
        "factors 0 and 2 take 21 to 30 values and codes have 20 bins: even perfect codes score below 1"
    ]
    assert few_bins(factors[:, :2], 20) == [
        "factor 0 takes 30 values and codes have 20 bins: even perfect codes score below 1"
    ]
    assert few_bins(factors[:, 1:2], 20) == []


@pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")
def test_what_is_said_of_several_factors_is_said_once():
    factors = np.column_stack([np.arange(60) % size for size in (1, 7, 7, 20, 3)])
    codes = noise(60, 3)
    assert few_to_learn(factors) == [
        "60 samples are few to learn factors 1, 2 and 3 from, of 7 to 20 values: fewer than 10 of each"
    ]
    (words,) = few_samples(factors, 20)
    assert words.startswith("60 samples are few for factors 1, 2, 3 and 4, of 3 to 20 values: noise, evenly")
    for score in (
        mig(codes, factors),
        irs(codes, factors),
        explicitness(codes, factors, codes, factors),
        sap(codes, factors, codes, factors),
        infomec(codes, factors, discrete=True),
        factor_vae_score(Rows(codes, factors), train=20, test=20),
    ):
        kinds = [re.sub(r"[\d., ]+(and \d+)?", "#", words) for words in score.warnings]
        assert len(kinds) == len(set(kinds))
        assert sum("factor" in words for words in kinds) <= 3


def test_numbers_are_listed_as_people_do():
    assert [listed(numbers) for numbers in ([3], [0, 3], [0, 2, 3])] == [
        "factor 3",
        "factors 0 and 3",
        "factors 0, 2 and 3",
    ]
    assert upto([5]) == upto([5, 5]) == "5"
    assert upto([0.3, 0.1, 0.2], ".0%") == "10% to 30%"


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
