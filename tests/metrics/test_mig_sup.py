"""MIG-sup against published values, and what it sees that MIG does not."""

import numpy as np
import pytest
from arrays import grid, sample

from disentangle.errors import DisentangleWarning
from disentangle.metrics import mig, mig_sup

pytestmark = pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")


def test_published_values():
    codes, factors = sample(2000, 5, seed=7)
    settings = {"bins": 10, "normaliser": "code", "least_variance": 0}
    # ubisoft-laforge-disentanglement-metrics, commit 05d5667, with pyitlib 0.2.3
    assert mig_sup(codes, factors, **settings).score == pytest.approx(0.045092904946404985, abs=1e-12)
    smooth = factors + np.random.default_rng(8).uniform(size=factors.shape)
    assert mig_sup(codes, smooth, **settings, factor_bins=10).score == pytest.approx(0.04128017231114921, abs=1e-12)


def test_gap_of_each_code_by_the_definition():
    codes, factors = sample(2000, 5, seed=7)
    known = mig(codes, factors)
    for normaliser, whole in (("entropy", known.entropy), ("values", np.log([3, 6, 15]))):
        shares = np.sort(known.mutual_information / whole, axis=1)
        result = mig_sup(codes, factors, normaliser=normaliser)
        assert result.gaps == pytest.approx(shares[:, -1] - shares[:, -2], abs=1e-12)
        assert result.score == pytest.approx(result.gaps.mean(), abs=1e-12)


def test_sees_a_code_that_mixes_factors():
    factors = grid(3, 3)
    mixed = np.column_stack([3 * factors[:, 0] + factors[:, 1], np.zeros(9)])
    assert mig(mixed, factors).score == pytest.approx(1)  # each factor has one code that knows it
    assert mig_sup(mixed, factors).score == pytest.approx(0, abs=1e-12)  # which is the same one


def test_codes_of_little_variance_do_not_count():
    codes = np.tile(grid(3, 4), (9, 1)).astype(float)
    faint = np.column_stack([codes, 0.05 * np.random.default_rng(0).standard_normal(len(codes))])
    with pytest.warns(DisentangleWarning, match=r"do not count, for their variance is 0.01 or less: 2$"):
        result = mig_sup(faint, codes)
    assert result.active.tolist() == [True, True, False]
    assert result.score == pytest.approx(1, abs=1e-12)
    assert mig_sup(faint, codes, least_variance=0).score < 0.8
