"""How fast the metrics are, as ratios to the plain way, which hold on any machine better than times do.

Run: ``pytest benchmarks/test_metrics.py --benchmark-only -s``; the ratio is in each benchmark's extra information.
"""

import time

import numpy as np
import pytest
import scipy.linalg
import torch

from disentangle.metrics import dci, frechet_distance, load_features, mig, noise

SPRITES = (3, 6, 40, 32, 32)


def sprites_factors(n):
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, size, n) for size in SPRITES], axis=1)


def seconds(function, *arguments):
    """Processor time of one call: other processes on the machine do not count."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def literal_mig(codes, factors):
    """The published loops: scikit-learn's mutual information for each pair of a binned code and a factor."""
    from sklearn.metrics import mutual_info_score

    binned = [np.digitize(code, np.histogram(code, 20)[1][:-1]) for code in codes.T]
    m = np.sort([[mutual_info_score(f, b) for f in factors.T] for b in binned], axis=0)
    return np.mean((m[-1] - m[-2]) / [mutual_info_score(f, f) for f in factors.T])


def root_frechet(x, y):
    """The published route: covariances and SciPy's matrix square root of their product."""
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    root = np.real(scipy.linalg.sqrtm(cov_x @ cov_y))
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(cov_x) + np.trace(cov_y) - 2 * np.trace(root)


@pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")
def test_mig_against_the_literal_loops(benchmark):
    factors = sprites_factors(10_000)
    codes = np.column_stack([factors + noise(10_000, 5), noise(10_000, 5, seed=1)])
    assert benchmark(mig, codes, factors).score == pytest.approx(literal_mig(codes, factors), abs=1e-12)
    ratio = min(seconds(literal_mig, codes, factors) for _ in range(3)) / min(
        seconds(mig, codes, factors) for _ in range(5)
    )
    benchmark.extra_info["times faster"] = round(ratio, 1)
    assert ratio > 3


@pytest.mark.parametrize("samples", [1000, 3000])
def test_frechet_against_the_matrix_square_root(benchmark, samples):
    x, y = noise(samples, 1280), noise(samples, 1280, seed=1) * 1.5
    score = benchmark.pedantic(frechet_distance, (x, y), rounds=1).score
    assert score == pytest.approx(root_frechet(x, y), rel=1e-4)
    ratio = seconds(root_frechet, x, y) / seconds(frechet_distance, x, y)
    benchmark.extra_info["times faster"] = round(ratio, 1)
    assert ratio > 1


def test_fast_dci(benchmark):
    factors = sprites_factors(15_000)
    codes = np.column_stack([factors / np.std(factors, axis=0) + 0.1 * noise(15_000, 5), noise(15_000, 5, seed=1)])
    arguments = (codes[:10_000], factors[:10_000], codes[10_000:], factors[10_000:], "random_forest")
    result = benchmark.pedantic(dci, arguments, rounds=1)
    assert result.informativeness > 0.5


@pytest.mark.parametrize("size", [96, 128, 224])
def test_features(benchmark, size):
    network = load_features(size=size)
    images = torch.zeros(64, 1, 64, 64)
    network(images)
    assert benchmark.pedantic(network, (images,), rounds=2).shape == (64, 1280)
    benchmark.extra_info["processor ms a picture"] = round(seconds(network, images) / 64 * 1000, 2)
