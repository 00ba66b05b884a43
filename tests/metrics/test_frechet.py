"""The Fréchet distance against 50 digits, in closed form, and under the maps that leave it alone."""

import json

import mpmath
import numpy as np
import pytest
import torch

from disentangle.metrics import Moments, frechet, frechet_distance, kernel_distance


def reference(x, y):
    """The definition in 50 digits: eigenvalues of the symmetric √Σ₁ Σ₂ √Σ₁, both roots by eigendecomposition."""
    with mpmath.workdps(60):

        def moments(z):
            z = mpmath.matrix(z.astype(np.float64).tolist())
            mean = [mpmath.fsum(z[:, j]) / z.rows for j in range(z.cols)]
            centred = mpmath.matrix(z.rows, z.cols)
            for i in range(z.rows):
                for j in range(z.cols):
                    centred[i, j] = z[i, j] - mean[j]
            return mean, centred.T * centred / (z.rows - 1)

        def root_of(eigenvalue):
            return mpmath.sqrt(max(eigenvalue, mpmath.mpf(0)))

        (mean_x, cov_x), (mean_y, cov_y) = moments(x), moments(y)
        values, vectors = mpmath.eigsy(cov_x)
        root = vectors * mpmath.diag([root_of(v) for v in values]) * vectors.T
        product = root * cov_y * root
        values = mpmath.eigsy((product + product.T) / 2, eigvals_only=True)
        trace = mpmath.fsum(cov_x[i, i] + cov_y[i, i] for i in range(cov_x.rows))
        mean = mpmath.fsum((a - b) ** 2 for a, b in zip(mean_x, mean_y))
        return mean + trace - 2 * mpmath.fsum(root_of(v) for v in values)


def cases():
    rng = np.random.default_rng(0)
    normal = rng.standard_normal
    wide, tall = normal((7, 12)), normal((40, 8))
    repeated = tall[:, [0, 1, 2, 1, 0, 3]]
    graded = tall * 10.0 ** -(1.5 * np.arange(8)) @ np.linalg.qr(normal((8, 8)))[0]
    return {
        "full rank": (tall, 2 * normal((30, 8)) + 0.3),
        "fewer samples than features": (wide, normal((9, 12)) + 1),
        "two samples": (wide[:2], normal((2, 12))),
        "one full, one of rank 1": (tall, normal((2, 8))),
        "repeated features": (repeated, normal((30, 8))[:, [0, 1, 2, 1, 0, 3]]),
        "constant features": (
            np.pad(tall, ((0, 0), (0, 2)), constant_values=3),
            np.pad(normal((30, 8)), ((0, 0), (0, 2))),
        ),
        "one set constant": (tall, np.full((5, 8), 0.7)),
        "float32": (tall.astype(np.float32), normal((30, 8)).astype(np.float32)),
        "large offset": (tall + 1000, tall[::-1] * 1.01 + 1000),
        "3% apart": (tall, tall * 1.03),
        "8% apart": (tall, tall * 1.08),
        "small perturbation": (tall, tall + 1e-5 * normal(tall.shape)),
        "small perturbation of a singular set": (wide, wide + 1e-5 * normal(wide.shape)),
        "small perturbation, repeated": (repeated, repeated + 1e-5 * normal(repeated.shape)),
        "tiny perturbation": (tall, tall + 1e-6 * normal(tall.shape)),
        "tiny perturbation, offset": (tall + 10, tall + 10 + 1e-6 * normal(tall.shape)),
        "graded spectrum, scaled": (graded, graded * (1 + 1e-5)),
        "graded and repeated, scaled": (np.hstack([graded, graded]), np.hstack([graded, graded]) * (1 + 1e-5)),
    }


@pytest.mark.parametrize("name", cases())
def test_fifty_digits(name):
    x, y = cases()[name]
    expected = reference(x, y)
    assert abs(frechet_distance(x, y).score - expected) <= 1e-9 * abs(expected)


def orthogonal_columns(n, d):
    """``(n, d)`` of mean 0 and unit covariance, exactly up to rounding."""
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.random.default_rng(5).standard_normal((n, d))]))[0][:, 1:]
    return basis * np.sqrt(n - 1)


def test_closed_form_of_diagonal_covariances():
    unit = orthogonal_columns(300, 5)
    sigma, tau, shift = np.array([1, 2, 0.5, 0, 3]), np.array([2, 2, 1, 1, 0]), np.array([1, 0, -2, 0.5, 0])
    result = frechet_distance(unit * sigma, unit[:, [1, 0, 2, 4, 3]] * tau + shift)
    assert result.mean_term == pytest.approx(np.sum(shift**2), rel=1e-12)
    assert result.covariance_term == pytest.approx(np.sum((sigma - tau) ** 2), rel=1e-12)


def test_a_set_against_itself_is_zero():
    x = np.random.default_rng(0).standard_normal((50, 20)) + 100
    assert frechet_distance(x, x).score < 1e-24
    assert frechet_distance(x, x[::-1]).score < 1e-22
    assert frechet_distance(np.ones((4, 3)), np.ones((9, 3))).score == 0


def test_invariances():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((60, 12)), rng.standard_normal((30, 12)) @ rng.standard_normal((12, 12))
    score = frechet_distance(x, y).score
    rotation = np.linalg.qr(rng.standard_normal((12, 12)))[0]

    def same(a, b, factor=1.0):
        assert frechet_distance(a, b).score == pytest.approx(factor * score, rel=1e-12)

    same(y, x)
    same(x @ rotation, y @ rotation)
    same(x + 5, y + 5)
    same(rng.permutation(x), rng.permutation(y))
    same(x[:, ::-1], y[:, ::-1])
    same(3 * x, 3 * y, 9)
    same(np.hstack([x, x]), np.hstack([y, y]), 2)
    same(torch.tensor(x), torch.tensor(y, requires_grad=True))


def test_blocks_of_rows_change_nothing():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((5000, 3)).astype(np.float32), rng.standard_normal((1025, 3)) * 2 + 1
    cov_x, cov_y = np.cov(x.astype(np.float64).T), np.cov(y.T)
    values = np.linalg.eigvals(cov_x @ cov_y).real
    expected = np.sum((x.mean(0, dtype=np.float64) - y.mean(0)) ** 2) + np.trace(cov_x + cov_y)
    expected -= 2 * np.sqrt(values).sum()
    assert frechet_distance(x, y).score == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rows", [600, 200])
def test_many_features_take_a_faster_way_of_the_same_digits(monkeypatch, rows):
    # The ways for few features, checked to 50 digits above, are the reference of those for many.
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(rng.standard_normal((100, 100)))[0] * 10.0 ** -(2 * np.linspace(0, 1, 100))
    x, y = (rng.standard_normal((n, 100)) @ basis + 0.01 for n in (rows, rows + 50))
    expected = frechet_distance(x, 1.2 * y)
    monkeypatch.setattr(frechet, "LARGE", 64)
    monkeypatch.setattr(np.linalg, "svd", None)  # no way may fall back on it
    for a, b in ((x, 1.2 * y), (Moments.of(x), Moments.of(1.2 * y))):
        assert frechet_distance(a, b).score == pytest.approx(expected.score, rel=1e-9)


def test_a_collapsed_set_of_many_features_takes_the_exact_way(monkeypatch):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 70))
    y = rng.standard_normal((300, 70))
    expected = frechet_distance(x, y).score
    monkeypatch.setattr(frechet, "LARGE", 64)
    assert frechet_distance(x, y).score == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(y, x).score == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(y, y).score < 1e-22


def test_only_inception_makes_a_fid():
    x = np.random.default_rng(3).standard_normal((6, 4))
    assert frechet_distance(x, x, "inception@legacy").name == "FID"
    assert frechet_distance(x, x, "inception@clean").to_dict()["name"] == "FID"
    for name in (None, "inception", "inception@other", "efficientnet-lite0@128"):
        assert frechet_distance(x, x, name).name == "Fréchet distance"


def test_interval_and_bias_on_gaussians():
    # N(0, I) and N(s, 4 I) in 3 dimensions: |s|² + 3 (2 - 1)² = 4.
    truth, n, trials = 4.0, 200, 100
    rng = np.random.default_rng(6)
    shift = np.array([1.0, 0, 0])
    pairs = [(rng.standard_normal((n, 3)), 2 * rng.standard_normal((n, 3)) + shift) for _ in range(trials)]
    results = [frechet_distance(*pair) for pair in pairs]
    spread = np.std([result.score for result in results])
    widths = [(result.interval[1] - result.interval[0]) / 2 for result in results]
    # Student's quantile for 20 halves is 2.09; the standard error itself is known to a sixth from 20 halves.
    assert np.mean(widths) / 2.093 == pytest.approx(spread, rel=0.15)
    covered = np.mean([low - r.bias <= truth <= high - r.bias for r in results for low, high in [r.interval]])
    assert covered == pytest.approx(0.95, abs=0.05)


def test_bias_of_many_features():
    # Of two samples of one distribution all of the distance is bias: 50 samples of 20 features are far apart.
    rng = np.random.default_rng(7)
    results = [frechet_distance(*rng.standard_normal((2, 400, 20))) for _ in range(5)]
    scores, corrected = (np.mean([r.score - k * r.bias for r in results]) for k in (0, 1))
    assert scores > 0.4
    assert abs(corrected) < 0.1 * scores


def test_few_samples_know_no_interval():
    x = np.random.default_rng(3).standard_normal((3, 4))
    assert frechet_distance(x, x + 1).interval == (0, np.inf)
    assert frechet_distance(x, x + 1).bias == 0


def test_result():
    x = np.random.default_rng(3).standard_normal((6, 4))
    result = frechet_distance(x, x[:5] + 1, features="toy@8")
    assert float(result) == result.score == result.mean_term + result.covariance_term
    saved = json.loads(json.dumps(result.to_dict()))
    assert (saved["n"], saved["m"], saved["dimension"], saved["features"]) == (6, 5, 4, "toy@8")
    assert saved["score"] == result.score
    assert "FID" not in json.dumps(saved)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((4, 3)), np.zeros((4, 2)), "3 and 2"),
        (np.zeros((1, 3)), np.zeros((4, 3)), "at least 2 samples, got 1 and 4"),
        (np.zeros((4, 3)), np.full((4, 3), np.inf), "y must be finite"),
        (np.zeros((4, 3, 2)), np.zeros((4, 3)), "x must be a non-empty matrix"),
        (np.zeros((4, 0)), np.zeros((4, 0)), "non-empty"),
    ],
)
def test_bad_input(x, y, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(x, y)


def test_numbers_that_are_too_large_are_refused():
    huge = 1e200 * np.random.default_rng(0).standard_normal((50, 3))
    for score in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match=r"x has values of up to \de\+200, too large to compute with"):
            score(huge, huge + 1)
