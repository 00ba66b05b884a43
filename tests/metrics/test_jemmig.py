"""JEMMIG against published values and in closed form."""

import numpy as np
import pytest
from arrays import grid, sample

from disentangle.metrics import jemmig, mig

pytestmark = pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")


def test_published_values():
    codes, factors = sample(2000, 5, seed=7)
    # ubisoft-laforge-disentanglement-metrics, commit 05d5667, with pyitlib 0.2.3
    result = jemmig(codes, factors, 10)
    assert result.score == pytest.approx(0.16891584067826482, abs=1e-12)
    assert result.published == pytest.approx(1 - 0.16891584067826482, abs=1e-12)
    smooth = factors + np.random.default_rng(8).uniform(size=factors.shape)
    assert jemmig(codes, smooth, 10, factor_bins=10).score == pytest.approx(0.15350037269123604, abs=1e-12)


def test_closed_forms():
    factors = grid(4, 8)
    assert jemmig(factors, factors, bins=8).score == pytest.approx(1, abs=1e-12)
    twins = jemmig(np.hstack([factors, factors]), factors, bins=8)
    assert twins.entropies == pytest.approx(np.log([4, 8]), abs=1e-12)  # no gap
    assert twins.normalised == pytest.approx([2 / 5, 3 / 6], abs=1e-12)
    # Half of the values of the second factor are lost: joint entropy ln 8, gap ln 4, of at most ln 8 + ln 4.
    assert jemmig(factors, factors, bins=4).normalised == pytest.approx([0, 1 / 5], abs=1e-12)


def test_sees_what_else_the_best_code_is_full_of():
    factors = grid(3, 3)
    mixed = np.column_stack([3 * factors[:, 0] + factors[:, 1], np.zeros(9)])
    result = jemmig(mixed, factors, bins=9)
    assert mig(mixed, factors, bins=9).score == pytest.approx(1)
    assert result.score == pytest.approx(1 - np.log(3) / np.log(27), abs=1e-12)  # joint entropy ln 9, gap ln 3
    assert result.best.tolist() == [0, 0]


def test_of_equally_good_codes_the_one_of_least_joint_entropy():
    factor = np.repeat([0, 1], 8)[:, None]
    rich, bare = np.arange(16.0), factor[:, 0].astype(float)
    for order in ([0, 1], [1, 0]):
        result = jemmig(np.column_stack([rich, bare])[:, order], factor, bins=16)
        assert result.best.tolist() == [order.index(1)]
        assert result.entropies == pytest.approx([np.log(2)], abs=1e-12)
