"""DCI: the formulas in closed form, and the learners on codes whose worth is known."""

import json
import math
import sys

import numpy as np
import pytest
import scipy.stats
import torch
from labelled import arrays, split
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from disentangle.errors import DisentangleWarning, UserError
from disentangle.metrics import dci, noise, rotated
from disentangle.metrics.baselines import perfect
from disentangle.metrics.dci import concentration

pytestmark = [
    pytest.mark.filterwarnings("ignore:codes? .*constant:disentangle.errors.DisentangleWarning"),
    pytest.mark.filterwarnings("ignore:.*few to learn:disentangle.errors.DisentangleWarning"),
]


class Oracle:
    """A learner whose importances are given, the next column for the next factor; it predicts the first code."""

    def __init__(self, columns):
        self.feature_importances_ = next(columns)

    def fit(self, x, y):
        pass

    def predict(self, x):
        return x[:, 0]


def tree():
    return DecisionTreeClassifier(random_state=0)


def grid(repeats=1):
    cells = np.stack(np.meshgrid(range(3), range(4), range(5), indexing="ij"), axis=-1).reshape(-1, 3)
    return np.random.default_rng(0).permutation(np.tile(cells, (repeats, 1)))


def run(codes, factors, learner=tree, train=None):
    n = train or len(codes) // 2
    return dci(codes[:n], factors[:n], codes[n:], factors[n:], learner)


def given_importance(importance, factors=None):
    factors = grid() if factors is None else factors
    columns = iter(np.array(importance, dtype=float).T)
    return dci(
        np.zeros((len(factors), len(importance))),
        factors,
        np.zeros((4, len(importance))),
        factors[:4] * 0,
        lambda: Oracle(columns),
    )


def test_formulas_equal_the_published_ones():
    importance = np.random.default_rng(0).dirichlet(np.ones(4), size=3).T  # columns sum to 1
    result = given_importance(importance)
    per_code = 1 - scipy.stats.entropy(importance.T + 1e-11, base=3)
    per_factor = 1 - scipy.stats.entropy(importance + 1e-11, base=4)
    assert result.disentanglement == pytest.approx(np.sum(per_code * importance.sum(1)) / importance.sum(), abs=1e-9)
    assert result.completeness == pytest.approx(np.sum(per_factor * importance.sum(0)) / importance.sum(), abs=1e-9)
    assert result.importance == pytest.approx(importance)


def test_closed_forms():
    ideal = given_importance(np.eye(4, 3)[[2, 3, 0, 1]])
    assert (ideal.disentanglement, ideal.completeness) == (1, 1)
    uniform = given_importance(np.full((4, 3), 0.25))
    assert (uniform.disentanglement, uniform.completeness) == pytest.approx((0, 0), abs=1e-12)
    # Two codes share the first factor; the third code has the other two: weights 1/3 (rows of 1/2, 1/2) and 2/3.
    mixed = given_importance([[0.5, 0, 0], [0.5, 0, 0], [0, 1, 1]])
    assert mixed.disentanglement == pytest.approx(1 / 3 + 2 / 3 * (1 - math.log(2) / math.log(3)), abs=1e-12)
    assert mixed.completeness == pytest.approx(2 / 3 + 1 / 3 * (1 - math.log(2) / math.log(3)), abs=1e-12)
    negative = given_importance([[-1, 0, 0], [0, 1, 0], [0, 0, -1]])
    assert negative.disentanglement == 1


def test_nothing_important_is_zero_everywhere():
    result = given_importance(np.zeros((4, 3)))
    assert (result.disentanglement, result.completeness) == (0, 0)


def test_one_factor_and_one_code():
    factors = grid()
    one_factor = given_importance([[0.75], [0.25], [0]], factors[:, :1])
    assert one_factor.disentanglement == 1
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(3)
    assert one_factor.completeness == pytest.approx(1 - entropy, abs=1e-12)
    one_code = given_importance([[1, 1, 1]])
    assert one_code.disentanglement == pytest.approx(0, abs=1e-12)
    assert one_code.completeness == 1
    both = given_importance([[1]], factors[:, :1])
    assert (both.disentanglement, both.completeness) == (1, 1)


def test_constant_factors_are_left_out():
    factors = np.insert(grid(), 1, 7, axis=1)
    importance = [[0.5, 0.2, 0.1], [0.5, 0.8, 0.9]]
    with pytest.warns(DisentangleWarning, match="factor 1 is constant"):
        result = given_importance(importance, factors)
    without = given_importance(importance)
    assert result.score == without.score
    assert result.completeness == without.completeness
    assert result.informativeness == without.informativeness
    assert result.importance[:, 1].tolist() == [0, 0]
    assert result.accuracy[1] == 1
    with pytest.warns(DisentangleWarning):
        nothing = run(np.random.default_rng(0).standard_normal((9, 2)), np.ones((9, 2), int))
    assert (nothing.disentanglement, nothing.completeness, nothing.informativeness) == (0, 0, 0)


def test_informativeness_is_accuracy_on_the_test_samples():
    codes = np.array([[0.0], [0], [1], [1]])
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    test_codes, test_factors = np.array([[0.0], [1], [1]]), np.array([[0, 0], [1, 0], [0, 5]])
    result = dci(codes, factors, test_codes, test_factors, tree)
    assert result.accuracy[0] == pytest.approx(2 / 3)
    assert result.accuracy[1] == pytest.approx(2 / 3)  # ties go to 0; the unseen 5 is missed
    assert result.informativeness == pytest.approx(2 / 3)
    assert result.informativeness_train == pytest.approx(3 / 4)
    assert result.samples == (4, 3)


@pytest.mark.parametrize("learner", ["fast", "gbt", "random_forest"])
def test_perfect_codes_score_one(learner):
    factors = grid(40 if learner == "random_forest" else 4)
    codes = np.column_stack([factors[:, ::-1] * [1, -2, 0.5], noise(len(factors), 2), np.zeros(len(factors))])
    result = run(codes, factors, learner)
    assert result.disentanglement >= 0.99
    assert result.completeness >= 0.99
    assert result.informativeness == 1
    assert result.importance[2, 0] > 0.99
    assert result.learner == learner


@pytest.mark.parametrize("kind", ["perfect", "rotated", "noisy", "partly dead"])
def test_the_fast_learner_is_near_the_published_one(kind):
    factors = grid(7)
    codes = {
        "perfect": perfect(factors, 5),
        "rotated": rotated(np.hstack([factors, noise(len(factors), 2)]), seed=1),
        "noisy": np.hstack([factors + 0.5 * noise(len(factors), 3), noise(len(factors), 2, seed=1)]),
        "partly dead": np.hstack([rotated(factors), np.zeros((len(factors), 2))]),
    }[kind]
    published, fast = (run(codes, factors, learner, 300) for learner in ("gbt", "fast"))
    assert fast.disentanglement == pytest.approx(published.disentanglement, abs=0.03)
    assert fast.completeness == pytest.approx(published.completeness, abs=0.03)
    assert fast.informativeness == pytest.approx(published.informativeness, abs=0.03)
    assert fast.importance == pytest.approx(published.importance, abs=0.02)


def test_gbt_is_what_scikit_learn_computes():
    codes, factors = noise(80, 3) + grid(2)[:80], grid(2)[:80, :2]
    result = run(codes, factors, "gbt", 60)
    for j, factor in enumerate(factors.T):
        model = GradientBoostingClassifier(random_state=0).fit(codes[:60], factor[:60])
        assert result.importance[:, j] == pytest.approx(model.feature_importances_, abs=1e-12)
        assert result.accuracy[j] == np.mean(model.predict(codes[60:]) == factor[60:])


@pytest.mark.parametrize("learner", ["fast", "random_forest"])
def test_same_every_time_on_any_number_of_processors_and_in_torch(learner, monkeypatch):
    factors = grid(6)
    codes = (factors + np.random.default_rng(0).standard_normal(factors.shape)).astype(np.float32)
    first = run(codes, factors, learner)
    for processors in (1, 7):
        monkeypatch.setattr(sys.modules["disentangle.metrics.dci"], "_processors", lambda n=processors: n)
        assert np.array_equal(first.importance, run(codes, factors, learner).importance)
    tensors = run(torch.tensor(codes), torch.tensor(factors), learner)
    assert np.array_equal(first.importance, tensors.importance)
    half = run(torch.tensor(codes).bfloat16(), torch.tensor(factors), learner)
    assert half.score == pytest.approx(first.score, abs=0.05)
    n = len(codes) // 2
    other = dci(codes[:n], factors[:n], codes[n:], factors[n:], learner, seed=1)
    assert (other.seed, first.seed) == (1, 0)
    assert learner == "fast" or not np.array_equal(other.importance, first.importance)


@pytest.mark.parametrize("learner", ["fast", "gbt", "random_forest"])
def test_hostile_input_never_yields_nan(learner):
    rng = np.random.default_rng(0)
    factors = np.array([[0, 0], [1, 2], [0, 1], [1, 3], [1, 2]])
    normal = rng.standard_normal((5, 2))
    hostile = [np.zeros((5, 2)), normal[:, :1], normal * 1e30, normal * 1e300, normal * 1e-300, np.sign(normal) * 0.0]
    for codes in [*hostile, normal.astype(np.float16)]:
        with np.errstate(over="ignore", invalid="ignore"):
            result = run(codes, factors, learner, 4)
        values = [result.disentanglement, result.completeness, result.informativeness, result.informativeness_train]
        assert all(0 <= value <= 1 for value in values)


@pytest.mark.parametrize("learner", ["fast", "gbt"])
def test_only_the_order_of_a_code_matters(learner):
    factors = grid(4)
    codes = factors + 0.2 * noise(len(factors), 3)
    plain, huge = run(codes, factors, learner), run(codes * 2.0**1000, factors, learner)
    assert huge.importance == pytest.approx(plain.importance, abs=1e-3)
    assert run(-codes, factors, "fast").importance == pytest.approx(run(codes, factors, "fast").importance, abs=0.02)


def test_a_single_sample_and_a_value_that_only_the_test_has():
    with pytest.warns(DisentangleWarning):
        one = dci([[1.0, 2]], [[3, 4]], [[1.0, 2]], [[3, 4]])
    assert "factors 0 and 1 are constant: they do not count" in one.warnings
    assert (one.score, one.completeness, one.informativeness, one.accuracy.tolist()) == (0, 0, 0, [1, 1])
    result = dci([[0.0], [1], [2]], [[0], [1], [1]], [[0.0], [2]], [[0], [9]])
    assert result.informativeness == 0.5
    assert result.importance.tolist() == [[1.0]]


def test_result_and_default():
    factors = grid(2)
    result = dci(factors[:30], factors[:30], factors, factors)
    assert (result.learner, result.variant, result.seed) == ("fast", "boosted trees on binned codes", 0)
    assert float(result) == result.score == result.disentanglement
    saved = json.loads(json.dumps(result.to_dict()))
    assert np.shape(saved["importance"]) == (3, 3)
    assert saved["samples"] == [30, 120]
    made = run(factors, factors, tree)
    assert (made.learner, made.variant, made.seed) == ("tree", "tree", None)
    assert run(factors, factors, DecisionTreeClassifier).variant == "DecisionTreeClassifier"
    with pytest.warns(DisentangleWarning, match="code 1 is constant"):
        words = dci(factors * [1, 0, 1], factors, factors, factors, tree).warnings
    assert words == ("code 1 is constant: nothing can be known from such a code",)


def test_interval_and_reference_points_come_from_the_same_learner():
    factors = grid(8)
    codes = factors + 0.5 * noise(len(factors), 3)
    result = run(codes, factors, tree)
    low, high = result.interval
    assert low < result.score < high
    assert len(result.halves) == 10
    assert {half.learner for half in result.halves} == {"tree"}
    points = result.reference_points
    assert points["perfect"] == 1
    assert points["perfect"] > result.score > points["rotated"]
    assert points["noise"] < 0.2


def test_concentration_ignores_scale_and_empty_rows():
    importance = np.array([[3.0, 1], [0, 0], [1, 1]])
    assert concentration(importance * 7) == pytest.approx(concentration(importance[[2, 0]]))
    assert concentration(importance) == pytest.approx(4 / 6 * (1 - scipy.stats.entropy([3, 1], base=2)))


def test_bad_input():
    factors = grid()
    codes = factors.astype(float)
    with pytest.raises(UserError, match=r"unknown learner 'gradient_boosting': .*possible: fast, gbt, random_forest"):
        run(codes, factors, "gradient_boosting")
    with pytest.raises(ValueError, match="codes and test_codes differ in columns: 3 and 2"):
        dci(codes, factors, codes[:, :2], factors)
    with pytest.raises(ValueError, match="factors and test_factors differ in columns: 3 and 1"):
        dci(codes, factors, codes, factors[:, :1])
    with pytest.raises(ValueError, match="test_factors must have a row for every code"):
        dci(codes, factors, codes, factors[:5])
    with pytest.raises(ValueError, match="test_codes must be finite"):
        dci(codes, factors, codes * np.nan, factors)


def test_samples_too_few_to_learn_from_are_said_to_be() -> None:
    factors = np.arange(30)[:, None] % np.array([3, 4])
    with pytest.warns(DisentangleWarning, match="30 samples are few to learn factor 1 from, of 4 values"):
        result = dci(factors, factors, factors, factors)
    assert result.warnings == ("30 samples are few to learn factor 1 from, of 4 values: fewer than 10 of each",)


def test_codes_far_from_the_origin_keep_their_order():
    codes, factors = arrays()
    parts = split(codes, factors)
    here, far = dci(*parts), dci(parts[0] + 1e9, parts[1], parts[2] + 1e9, parts[3])
    assert far.importance == pytest.approx(here.importance, abs=1e-6)
