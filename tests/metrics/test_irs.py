"""IRS against disentanglement_lib's values and in closed form."""

import numpy as np
import pytest
from arrays import grid, sample

from disentangle.errors import DisentangleWarning
from disentangle.metrics import irs


@pytest.mark.parametrize(
    ("dtype", "quantile", "expected", "near"),
    [  # disentanglement_lib 1.5, on codes of the same precision
        (np.float64, 0.99, 0.3976964632789083, 1e-12),
        (np.float64, 1.0, 0.2943569086190196, 1e-12),
        (np.float32, 0.99, 0.39769647788057727, 1e-7),
    ],
)
def test_published_values(dtype, quantile, expected, near):
    codes, factors = sample(2000, 5, seed=7)
    result = irs(codes.astype(dtype), factors, quantile)
    assert result.score == pytest.approx(expected, abs=near)
    if quantile == 0.99:
        assert result.parents.tolist() == [1, 1, 2, 2, 2]


@pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")
def test_closed_form():
    factors = grid(3, 2)
    codes = np.column_stack([10 * factors[:, 0], factors[:, 0] + 4 * factors[:, 1]]).astype(float)
    result = irs(codes, factors, quantile=1)
    # The second code strays by 3 from its mean; by 2 while the first factor holds, by 1 while the second does.
    assert result.robustness == pytest.approx(np.array([[1, 0], [1 - 2 / 3, 1 - 1 / 3]]), abs=1e-12)
    assert result.weights == pytest.approx([10 / 13, 3 / 13], abs=1e-12)
    assert result.score == pytest.approx((10 + 3 * 2 / 3) / 13, abs=1e-12)
    assert result.parents.tolist() == [0, 1]


def test_factors_are_binned_unless_told_otherwise():
    factors = np.tile(np.arange(40), 25)[:, None]
    held = np.arange(1000)[:, None] % 40 + np.random.default_rng(0).uniform(0, 0.01, (1000, 1))
    assert irs(held, factors).score < 0.98 < irs(held, factors, bins=None).score
    assert irs(held, factors + 0.25).score == irs(held, factors).score
    with pytest.raises(ValueError, match="bin continuous factors first"):
        irs(held, factors + 0.25, bins=None)
    with pytest.raises(ValueError, match="quantile must be above 0"):
        irs(held, factors, quantile=0)


def test_few_samples_of_a_value_warn():
    with pytest.warns(DisentangleWarning, match="half of the values of factor 0 have 2 samples or fewer"):
        assert irs(np.random.default_rng(0).standard_normal((40, 1)), np.arange(40)[:, None] // 2).score > 0.5
