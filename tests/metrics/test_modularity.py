"""Modularity against disentanglement_lib's values and in closed form."""

import numpy as np
import pytest
from arrays import grid, sample

from disentangle.errors import DisentangleWarning
from disentangle.metrics import modularity, noise


@pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")
@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        (20, 0.8455990543858128),  # disentanglement_lib 1.5
        (10, 0.8420338741635097),  # ubisoft-laforge-disentanglement-metrics, commit 05d5667, with pyitlib 0.2.3
    ],
)
def test_published_values(bins, expected):
    codes, factors = sample(2000, 5, seed=7)
    assert modularity(codes, factors, bins).score == pytest.approx(expected, abs=1e-12)
    assert modularity(codes.astype(np.float32), factors, bins).score == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")
def test_closed_form():
    factors = grid(2, 4, 8)
    codes = np.column_stack([8 * factors[:, 1] + factors[:, 2], factors[:, 0], 0 * factors[:, 0]])
    result = modularity(codes, factors, bins=32)
    assert result.codes == pytest.approx([1 - 2**2 / (3**2 * 2), 1, 0], abs=1e-12)
    assert result.score == pytest.approx((1 - 2 / 9 + 1) / 3, abs=1e-12)


def test_noise_is_modular_and_the_warning_says_so():
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, size, 10_000) for size in (3, 6, 40)], axis=1)
    codes = np.column_stack([noise(10_000, 3), factors[:, 0] + 0.1 * rng.standard_normal(10_000)])
    with pytest.warns(DisentangleWarning, match="codes 0, 1, 2 know hardly more of any factor than of shuffled ones"):
        result = modularity(codes, factors)
    assert result.codes.min() > 0.9
    assert result.reference_points["noise"] > 0.9
    assert modularity(factors, factors, bins=40).warnings == ()
