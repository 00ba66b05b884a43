"""What a result carries is what the functions it comes from say."""

import json
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from disentangle.metrics import halves, interval, noise, perfect, rotated
from disentangle.metrics.trust import CodeScore, Source


@dataclass(frozen=True, eq=False)
class Slope(CodeScore):
    """Mean product of the first code and the first factor, on the last arrays that are given."""

    value: float

    @property
    def score(self):
        return self.value


def slope(codes, factors, test_codes=None, test_factors=None, scale=1.0, calls=None):
    if calls is not None:
        calls.append(len(codes))
    x, y = (codes, factors) if test_codes is None else (test_codes, test_factors)
    value = float(scale * np.mean(np.asarray(x, dtype=float)[:, 0] * y[:, 0]))
    source = Source(partial(slope, scale=scale, calls=calls), codes, factors, test_codes, test_factors, repeats=30)
    return Slope("slope", value, samples=(len(codes),), seed=3, learner="none", warnings=("mind",), source=source)


def arrays(n=200):
    factors = np.random.default_rng(0).integers(0, 4, (n, 2))
    return noise(n, 3) * 0.1 + 0.3, factors


def test_interval_and_reference_points_are_computed_once_when_asked_for():
    codes, factors = arrays()
    calls = []
    result = slope(codes, factors, scale=0.1, calls=calls)
    assert len(calls) == 1
    resamples = halves(partial(slope, scale=0.1), codes, factors, repeats=30)
    assert result.interval == interval(result.score, [half.score for half in resamples]) == result.interval
    assert result.interval_of("value") == result.interval
    assert calls == [200] + [100] * 30
    points = result.reference_points
    assert set(points) == {"rotated", "perfect", "noise"}
    assert points["perfect"] == slope(perfect(factors, 3), factors, scale=0.1).score
    assert points["noise"] == slope(noise(200, 3), factors, scale=0.1).score
    assert points["rotated"] == slope(rotated(codes), factors, scale=0.1).score == result.reference_points["rotated"]
    assert len(calls) == 34
    assert result.references["noise"].seed == 3


def test_test_samples_are_halved_and_turned_with_the_others():
    codes, factors = arrays()
    calls = []
    result = slope(codes[:150], factors[:150], codes[150:], factors[150:], calls=calls)
    low, high = result.interval
    assert high - low == pytest.approx(2 * 2.045 * np.std(codes[150:, 0] * factors[150:, 0]) / 50**0.5, rel=0.4)
    assert calls[1:] == [75] * 30
    assert result.reference_points["rotated"] == pytest.approx(
        float(np.mean(rotated(codes)[150:, 0] * factors[150:, 0]))
    )


def test_the_interval_stays_in_the_possible_range_and_is_all_of_it_without_samples():
    codes, factors = arrays()
    factors[:] = 1
    codes[:, 0] = np.linspace(0, 2, 200)
    assert slope(codes, factors).interval[1] == 1
    assert slope(codes - 1, factors).interval[0] == 0
    assert slope(codes[:3], factors[:3]).interval == (0.0, 1.0)


def test_a_result_without_its_source_says_so():
    result = Slope("slope", 0.5, samples=(10,))
    with pytest.raises(ValueError, match="does not know what it was computed from"):
        _ = result.interval
    with pytest.raises(ValueError, match="does not know"):
        _ = result.reference_points


def test_to_dict_holds_everything_but_the_arrays():
    result = slope(*arrays())
    assert json.loads(json.dumps(result.to_dict())) == {
        "score": result.score,
        "variant": "slope",
        "value": result.score,
        "samples": [200],
        "seed": 3,
        "learner": "none",
        "warnings": ["mind"],
    }
