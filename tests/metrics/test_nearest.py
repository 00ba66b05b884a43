"""The nearest-neighbour estimate against scikit-learn's trees, to the last digits, and against a known value."""

import numpy as np
import pytest
from arrays import sample
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.feature_selection import mutual_info_classif
from sklearn.preprocessing import StandardScaler

from disentangle.metrics.nearest import nearest_information


@pytest.mark.parametrize(
    ("n", "neighbours", "dtype", "rounded"),
    [(12, 3, float, False), (100, 10, np.float32, False), (400, 10, float, True), (1500, 3, float, False)],
)
def test_equals_scikit_learn(n, neighbours, dtype, rounded):
    # 15 values of few samples each: where scikit-learn goes from trees to a brute-force search is within.
    codes, factors = sample(n, 3, dtype=dtype, seed=n)
    codes = np.round(codes) if rounded else codes
    factors = np.column_stack([np.unique(factor, return_inverse=True)[1] for factor in factors.T])
    standard = [StandardScaler().fit_transform(code[:, None]) for code in codes.T]
    expected = [
        [
            mutual_info_classif(code, factor, discrete_features=False, n_neighbors=neighbours, random_state=5)
            for factor in factors.T
        ]
        for code in standard
    ]
    found = nearest_information(codes, factors, neighbours, seed=5)
    assert found == pytest.approx(np.array(expected)[..., 0], abs=1e-10)
    assert found.max() > 0.1


def test_two_gaussians():
    rng = np.random.default_rng(0)
    factor = rng.integers(0, 2, 20_000)
    code = rng.standard_normal(20_000) + 3 * factor

    def integrand(x):
        joint = norm.pdf(x - 3 * np.array([0, 1])) / 2
        return -joint.sum() * np.log(joint.sum())

    exact = quad(integrand, -10, 13)[0] - norm.entropy()
    assert nearest_information(code[:, None], factor[:, None])[0, 0] == pytest.approx(exact, abs=0.01)


def test_what_it_cannot_tell():
    factors = np.array([[0, 0], [1, 0], [2, 1], [3, 1]])
    assert nearest_information(np.arange(4.0)[:, None], factors)[0, 0] == 0  # every value is a single sample
    assert nearest_information(np.full((4, 1), 0.1), factors).tolist() == [[0, 0]]
