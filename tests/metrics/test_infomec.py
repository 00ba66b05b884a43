"""InfoMEC against published values, and what it makes of noise."""

import numpy as np
import pytest
from arrays import grid, sample

from disentangle.errors import DisentangleWarning, UserError
from disentangle.metrics import infomec, noise

quiet = pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")


@quiet
@pytest.mark.parametrize(
    ("discrete", "modularity", "compactness", "explicitness"),
    [  # kylehkhsu/latent_quantization, commit 4ba4c9d, with scikit-learn 1.9.1
        (False, 0.576370584288779, 0.4975261695537198, 0.2607574961102041),
        (True, 0.31465715791508886, 0.37208820437057977, 0.33533728907490884),
    ],
)
def test_published_values(discrete, modularity, compactness, explicitness):
    codes, factors = sample(2000, 5, seed=7)
    result = infomec(np.round(codes * 2) if discrete else codes, factors, discrete)
    assert result.modularity == result.score == pytest.approx(modularity, abs=1e-9)
    assert result.compactness == pytest.approx(compactness, abs=1e-9)
    assert result.explicitness == pytest.approx(explicitness, abs=1e-4)


def test_noise_is_modular_and_the_warning_says_so():
    rng = np.random.default_rng(4)
    factors = np.stack([rng.integers(0, size, 2000) for size in (3, 6, 40, 32, 32)], axis=1)
    codes = noise(2000, 6)
    with pytest.warns(DisentangleWarning, match=r"codes 0, 1.* know hardly more of any factor than of shuffled ones"):
        result = infomec(codes, factors)
    assert 0.4 < result.modularity < 0.8
    assert 0.4 < result.reference_points["noise"] < 0.8
    assert result.reference_points["perfect"] > 0.97
    assert result.explicitness < 0.02
    assert infomec(factors + 0.01 * rng.standard_normal(factors.shape), factors).warnings == ()


@quiet
def test_perfect_and_mixed_codes():
    factors = np.tile(grid(3, 4), (20, 1))
    perfect = infomec(factors, factors, discrete=True)
    assert (perfect.modularity, perfect.compactness) == pytest.approx((1, 1), abs=1e-12)
    assert perfect.explicitness > 0.999
    mixed = infomec(np.column_stack([4 * factors[:, 0] + factors[:, 1], factors[:, 1]]), factors, discrete=True)
    assert mixed.modularity == pytest.approx((0 + 1) / 2, abs=1e-12)  # the first knows all of both, the second one
    assert mixed.compactness == pytest.approx((1 + 0) / 2, abs=1e-12)
    assert mixed.normalised_information == pytest.approx(np.array([[1, 1], [0, 1]]), abs=1e-12)


@quiet
def test_pruning_by_name():
    factors = np.tile(grid(3, 4), (20, 1))
    rng = np.random.default_rng(0)
    tail = np.where(np.arange(240) < 5, 3.0, 0.01) * rng.standard_normal(240)  # far apart, but for close quartiles
    codes = np.column_stack([factors + 0.01 * rng.standard_normal((240, 2)), tail, 0.04 * rng.uniform(size=240)])
    assert infomec(codes, factors).active.tolist() == [True, True, True, False]
    assert infomec(codes, factors, pruning="quartiles").active.tolist() == [True, True, False, False]
    steps = np.column_stack([factors[:, 0] - 1, 0.05 * factors[:, 1], 0 * factors[:, 0]])
    assert infomec(steps, factors, True).active.tolist() == [True, True, False]
    assert infomec(steps, factors, True, pruning="quartiles").active.tolist() == [True, False, False]
    with pytest.raises(UserError, match="unknown pruning"):
        infomec(codes, factors, pruning="rank")


@quiet
def test_settings():
    codes, factors = sample(300)
    without = infomec(codes, factors, explicitness=False)
    assert without.explicitness is None
    assert without.to_dict()["explicitness"] is None
    whole = infomec(codes, factors, neighbours=3)
    assert without.score != whole.score
    assert whole.interval[0] < whole.score < whole.interval[1]
    smooth = factors + np.random.default_rng(8).uniform(size=factors.shape)
    assert 0.1 < infomec(codes, smooth, factor_bins=5).explicitness < 1
    with pytest.raises(ValueError, match="neighbours must be at least 1"):
        infomec(codes, factors, neighbours=0)
    with pytest.warns(DisentangleWarning, match="do not look discrete"):
        infomec(codes, factors, discrete=True, explicitness=False)
