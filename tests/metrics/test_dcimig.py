"""DCIMIG against published values and in closed form."""

import numpy as np
import pytest
from arrays import grid, sample

from disentangle.errors import UserError
from disentangle.metrics import dcimig

pytestmark = pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")


def test_published_values():
    codes, factors = sample(2000, 5, seed=7)
    # ubisoft-laforge-disentanglement-metrics, commit 05d5667, with pyitlib 0.2.3
    assert dcimig(codes, factors, 10).score == pytest.approx(0.04734894072160332, abs=1e-12)
    smooth = factors + np.random.default_rng(8).uniform(size=factors.shape)
    assert dcimig(codes, smooth, 10, factor_bins=10).score == pytest.approx(0.03975041609735646, abs=1e-12)


def test_either_average_in_closed_form():
    factors = grid(4, 16, 2)
    # Half of the first factor, twice; all of the second, and the third in one code, which is not about it.
    codes = np.column_stack([factors[:, 0] // 2, factors[:, 0] % 2, 2 * factors[:, 1] + factors[:, 2]])
    result = dcimig(codes, factors, bins=32)
    assert result.gaps == pytest.approx(np.log([2, 8, 1]), abs=1e-12)  # ln 16 - ln 2
    assert result.code[1:].tolist() == [2, -1]
    assert result.score == pytest.approx((1 + 3 + 0) / (2 + 4 + 1), abs=1e-12)
    assert dcimig(codes, factors, bins=32, average="each").score == pytest.approx((1 / 2 + 3 / 4 + 0) / 3, abs=1e-12)
    with pytest.raises(UserError, match="unknown average 'mean': did you mean each"):
        dcimig(codes, factors, average="mean")
