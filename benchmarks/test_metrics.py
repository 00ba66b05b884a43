"""How fast the metrics are, as ratios to the plain way, which hold on any machine better than times do.

Run: ``pytest benchmarks/test_metrics.py --benchmark-only -s``; the ratio is in each benchmark's extra information.
"""

import time

import numpy as np
import pytest
import scipy.linalg
import torch

from disentangle.metrics import (
    Moments,
    dci,
    extract_features,
    extract_moments,
    frechet_distance,
    load_features,
    mig,
    noise,
)

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


@pytest.mark.parametrize(("samples", "least"), [(1000, 40), (5000, 5), (50_000, 2)])
def test_frechet_against_the_matrix_square_root(benchmark, samples, least):
    """At 50,000 samples both spend their time on the covariances; from moments, which come with the features, not."""
    x, y = (noise(samples, 2048, seed) for seed in (0, 1))
    y *= 1.5
    score = benchmark.pedantic(frechet_distance, (x, y), rounds=1).score
    # Of fewer samples than features the square root is that of a singular matrix, and has half of the digits.
    start = time.process_time()
    reference = root_frechet(x, y)
    slow = time.process_time() - start
    assert score == pytest.approx(reference, rel=1e-9 if samples > 2048 else 1e-4)
    ratio = slow / seconds(frechet_distance, x, y)
    moments = [Moments.of(values) for values in (x, y)]
    assert all(len(m.factor) <= 2048 for m in moments)
    benchmark.extra_info["times faster"] = round(ratio, 1)
    benchmark.extra_info["times faster from moments"] = round(slow / seconds(frechet_distance, *moments), 1)
    assert ratio > least


def test_fast_dci(benchmark):
    factors = sprites_factors(15_000)
    codes = np.column_stack([factors / np.std(factors, axis=0) + 0.1 * noise(15_000, 5), noise(15_000, 5, seed=1)])
    arguments = (codes[:10_000], factors[:10_000], codes[10_000:], factors[10_000:], "random_forest")
    result = benchmark.pedantic(dci, arguments, rounds=1)
    assert result.informativeness > 0.5


@pytest.mark.parametrize("size", [96, 128, 224])
def test_features(benchmark, size):
    """Extraction from bytes, and the moments of the features, beside the network alone."""
    network = load_features(size=size)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (16, 3, 64, 64), dtype=np.uint8))
    with torch.inference_mode():
        prepared = network.prepare(images / 127.5 - 1)
        alone = lambda: network.features(prepared)  # noqa: E731
        ways = {"alone": alone, "features": lambda: extract_features(network, [images])}
        ways["moments"] = lambda: extract_moments(network, [images])
        benchmark.pedantic(ways["features"], rounds=2)
        # in turns, so that what else the machine does hits all alike
        rounds = [{name: seconds(way) for name, way in ways.items()} for _ in range(7)]
    least = {name: min(times[name] for times in rounds) for name in ways}
    benchmark.extra_info["processor ms a picture"] = round(least["features"] / 16 * 1000, 2)
    for name in ("features", "moments"):
        benchmark.extra_info[f"{name} over the network alone"] = round(least[name] / least["alone"], 3)
    assert least["features"] < 1.1 * least["alone"]
