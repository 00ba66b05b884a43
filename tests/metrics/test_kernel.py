"""The kernel distance: published values, the definition literally, and its answers at the edges."""

import json

import numpy as np
import pytest

from disentangle.errors import DisentangleWarning
from disentangle.metrics import kernel_distance


def test_published_value_on_the_same_subsets():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((60, 16)), rng.standard_normal((50, 16)) * 1.2 + 0.1
    result = kernel_distance(x, y, subsets=7, subset_size=20, seed=5)
    # torch-fidelity 0.4.0's kid_features_to_metric with rng_seed 5
    assert result.score == pytest.approx(0.15895736256935752, rel=1e-12)
    assert result.deviation == pytest.approx(0.1049364671323248, rel=1e-12)
    assert kernel_distance(x.astype(np.float32), y, 7, 20, 5).score == pytest.approx(result.score, abs=1e-6)


def literal(x, y):
    def kernel(a, b):
        return (np.dot(a, b) / len(a) + 1) ** 3

    n = len(x)
    pairs = [(i, j) for i in range(n) for j in range(n)]
    within = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs if i != j)
    return within / (n * (n - 1)) - 2 * sum(kernel(x[i], y[j]) for i, j in pairs) / n**2


def test_smaller_sets_are_one_subset_with_a_warning():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 3)), rng.standard_normal((9, 3)) + 1
    with pytest.warns(DisentangleWarning, match="9 samples are fewer than the 1000"):
        result = kernel_distance(x, y)
    assert result.score == pytest.approx(literal(x, y), rel=1e-12)
    assert result.deviation < 1e-12
    assert result.subset_size == 9
    assert "9 samples" in result.warnings[0]


def test_unbiased():
    # Gaussians in one dimension: E k(a, b) = 1 + 3 E(ab)² + ... with E ab = μ₁μ₂, E (ab)² = E a² E b², likewise cubes.
    def expected(a, b):
        return 1 + 3 * a[1] * b[1] + 3 * a[2] * b[2] + a[3] * b[3]

    def powers(mean, sigma):
        return {1: mean, 2: mean**2 + sigma**2, 3: mean**3 + 3 * mean * sigma**2}

    p, q = powers(0.0, 1.0), powers(0.5, 1.5)
    truth = expected(p, p) + expected(q, q) - 2 * expected(p, q)
    rng = np.random.default_rng(1)
    sets = [(rng.standard_normal((40, 1)), 1.5 * rng.standard_normal((40, 1)) + 0.5) for _ in range(800)]
    scores = [kernel_distance(x, y, 1, 40).score for x, y in sets]
    assert np.mean(scores) == pytest.approx(truth, abs=4 * np.std(scores) / np.sqrt(len(scores)))
    assert np.mean([kernel_distance(x, x[::-1], 1, 40).score for x, _ in sets[:200]]) < 0


def test_interval_covers():
    rng = np.random.default_rng(2)
    sets = [(rng.standard_normal((100, 2)), rng.standard_normal((100, 2)) + 0.7) for _ in range(60)]
    results = [kernel_distance(x, y, 1, 100) for x, y in sets]
    centre, spread = np.mean([r.score for r in results]), np.std([r.score for r in results])
    assert np.mean([(r.interval[1] - r.interval[0]) / 2 for r in results]) / 2.093 == pytest.approx(spread, rel=0.35)
    assert np.mean([r.interval[0] < centre < r.interval[1] for r in results]) >= 0.88


def test_name_and_errors():
    x = np.eye(4)
    assert kernel_distance(x, x, 2, 3, features="inception@clean").name == "KID"
    result = kernel_distance(x, x, 2, 3, features="efficientnet-lite0@128")
    assert result.name == "kernel distance"
    assert json.loads(json.dumps(result.to_dict()))["subsets"] == 2
    for arguments, message in (
        ((x, x[:, :2]), "4 and 2 columns"),
        ((x[:1], x), "got 1, 100 and 1000"),
        ((x, x, 0), "got 4, 0"),
        ((x, x, 1, 1), "100|got 4, 1 and 1"),
        ((x, x * np.nan), "y must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            kernel_distance(*arguments)
