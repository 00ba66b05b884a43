"""Laws that every score of codes obeys, whatever the arrays."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from disentangle import metrics
from disentangle.metrics import CodeScore

pytestmark = pytest.mark.filterwarnings("ignore::disentangle.errors.DisentangleWarning")

Arrays = tuple[NDArray[np.float64], NDArray[np.int64]]
Metric = Callable[[NDArray[np.float64], NDArray[np.int64]], CodeScore]


def split(metric: Callable[..., CodeScore], **options: object) -> Metric:
    """A metric that learns from two thirds of the rows and tests on the others."""

    def scored(codes: NDArray[np.float64], factors: NDArray[np.int64]) -> CodeScore:
        n = max(1, 2 * len(codes) // 3)
        return metric(codes[:n], factors[:n], codes[n - 1 :], factors[n - 1 :], **options)

    return scored


def sampled(metric: Callable[..., CodeScore], **options: int) -> Metric:
    """A metric that draws groups of rows, here fewer than published."""

    def scored(codes: NDArray[np.float64], factors: NDArray[np.int64]) -> CodeScore:
        return metric(metrics.Rows(codes, factors), train=300, test=200, **options)

    return scored


SCORES: dict[str, Metric] = {
    "mig": metrics.mig,
    "mig-sup": metrics.mig_sup,
    "jemmig": metrics.jemmig,
    "dcimig": metrics.dcimig,
    "modularity": metrics.modularity,
    "irs": metrics.irs,
    "infomec": metrics.infomec,
    "infomec, discrete": partial(metrics.infomec, discrete=True),
    "dci": split(metrics.dci),
    "sap": split(metrics.sap),
    "sap, continuous": split(metrics.sap, continuous=True),
    "explicitness": split(metrics.explicitness),
    "beta-vae": sampled(metrics.beta_vae_score, pairs=16),
    "factor-vae": sampled(metrics.factor_vae_score, group=16),
}

UNSCALED = {"sap", "beta-vae"}
"""Their linear predictors are regularised, which codes of another size feel."""

BLIND = {"modularity", "explicitness", "infomec", "infomec, discrete"}
"""Give noise what they please: modularity and explicitness as published, InfoM since a share of next to nothing can be
anything (and values that all differ, taken for discrete ones, tell every factor)."""


def arrays(n: int = 240, noise: float = 0.3, seed: int = 0) -> Arrays:
    """Four codes, three of them of a factor each."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, size, n) for size in (3, 4, 5)], axis=1)
    codes = np.column_stack([factors, np.zeros(n)]) + noise * rng.standard_normal((n, 4))
    return codes[:, [2, 0, 3, 1]], factors


@pytest.mark.parametrize("name", SCORES)
def test_the_order_of_codes_and_factors_does_not_matter(name: str) -> None:
    codes, factors = arrays()
    before, after = SCORES[name](codes, factors), SCORES[name](codes[:, ::-1].copy(), factors[:, ::-1].copy())
    # what draws samples or learns sees them in another order
    close = {"beta-vae": 0.05, "factor-vae": 0.05, "dci": 0.01, "explicitness": 1e-3, "infomec": 1e-3}.get(name, 1e-9)
    assert after.score == pytest.approx(before.score, abs=close)


@pytest.mark.parametrize("name", [name for name in SCORES if name not in ("beta-vae", "factor-vae")])
def test_the_order_of_samples_does_not_matter(name: str) -> None:
    codes, factors = arrays()
    n = 160
    order = np.concatenate(
        [np.random.default_rng(1).permutation(n - 1), [n - 1], n + np.random.default_rng(2).permutation(80)]
    )
    before, after = SCORES[name](codes, factors), SCORES[name](codes[order], factors[order])
    assert after.score == pytest.approx(before.score, abs=1e-3 if name in ("dci", "explicitness") else 1e-9)


@pytest.mark.parametrize("name", [name for name in SCORES if name not in UNSCALED])
def test_units_do_not_matter(name: str) -> None:
    codes, factors = arrays()
    # powers of two and no shift: not even roundings differ
    together = name in ("irs", "infomec", "infomec, discrete")  # they weigh codes by how far these range
    after = SCORES[name](codes * (8.0 if together else [0.5, 4.0, 1.0, -64.0]), factors)
    # a code that is turned round is cut at the other edges of its bins
    close = 1e-6 if together or name.startswith(("sap", "factor")) else 0.02
    assert after.score == pytest.approx(SCORES[name](codes, factors).score, abs=close)


@pytest.mark.parametrize("name", ["sap", "sap, continuous", "explicitness"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=12, deadline=None)
@given(exponent=st.integers(-1000, 900), seed=st.integers(0, 3))
@example(exponent=-997, seed=0)  # 1e-300
@example(exponent=-532, seed=0)  # 1e-160, whose squares vanish
def test_a_score_of_tiny_or_huge_codes_is_the_same_or_says_why_not(
    name: str, dtype: type, exponent: int, seed: int
) -> None:
    codes, factors = arrays(seed=seed)
    scaled = np.ldexp(codes, exponent if dtype is np.float64 else exponent // 9).astype(dtype)
    before, after = SCORES[name](codes.astype(dtype), factors), SCORES[name](scaled, factors)
    why = [words for words in after.warnings if "unit variance" in words]
    if not why or name == "explicitness":
        assert after.score == pytest.approx(before.score, abs=0.1 if name == "sap" else 1e-3)
    assert not (why and name == "explicitness")
    if exponent < -300 and name.startswith("sap"):
        (words,) = why
        assert words.startswith("codes 0, 1, 2, 3 are of a ")


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("first", [2**63, 2**64 - 9, -(2**62)])
def test_factors_too_large_to_be_told_apart_are_refused_by_name(name: str, first: int) -> None:
    codes, factors = arrays()
    large = factors.astype(np.uint64 if first > 0 else np.int64) + np.array(first).astype(
        np.uint64 if first > 0 else int
    )
    with pytest.raises(
        ValueError, match=r"factors has values of up to .* \(at most 2\^53\): give each value its index"
    ):
        SCORES[name](codes, large)
    small = factors.astype(np.uint64) + np.array(2**50, dtype=np.uint64)
    if name not in ("irs", "sap"):  # bins, and a reference point, are taken of the values themselves
        assert SCORES[name](codes, small).score == SCORES[name](codes, factors).score


@pytest.mark.parametrize("name", [name for name in SCORES if name not in BLIND])
def test_noise_lowers_the_score(name: str) -> None:
    clean, noisy, lost = (SCORES[name](*arrays(600, noise, seed=3)).score for noise in (0.05, 0.8, 50.0))
    assert clean > noisy - 1e-3
    assert noisy > lost - (0.1 if name in ("irs", "factor-vae") else 0.02)
    assert clean > lost + 0.05


@pytest.mark.parametrize("name", SCORES)
@settings(max_examples=8, deadline=None)
@given(
    n=st.integers(1, 30),
    d=st.integers(1, 3),
    k=st.integers(1, 3),
    values=st.integers(1, 6),
    levels=st.sampled_from([1, 2, 1000]),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
    seed=st.integers(0, 5),
)
def test_every_array_has_a_score_within_bounds(
    name: str, n: int, d: int, k: int, values: int, levels: int, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    codes, factors = rng.integers(0, levels, (n, d)) * scale, rng.integers(0, values, (n, k))
    result = SCORES[name](codes, factors)
    least, greatest = result.bounds
    assert math.isfinite(result.score)
    assert least <= result.score <= (math.inf if greatest is None else greatest)
    assert all("nan" not in str(part).lower() for part in result.to_dict().values())


@pytest.mark.parametrize("name", SCORES)
def test_a_result_says_how_it_came_about(name: str) -> None:
    codes, factors = arrays()
    result = SCORES[name](codes, factors)
    assert result.variant
    assert sum(result.samples) >= 160
    if name in ("dci", "beta-vae", "factor-vae"):
        assert result.seed == 0
    low, high = result.interval
    assert low <= result.score <= high
    points = result.reference_points
    assert set(points) == {"perfect", "rotated", "noise"}
    if name not in BLIND:
        assert points["perfect"] > points["noise"]


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_none_is_an_error(name: str, bad: float) -> None:
    codes, factors = arrays()
    codes[100, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        SCORES[name](codes, factors)
    with pytest.raises(ValueError, match="masked"):
        SCORES[name](np.ma.masked_invalid(codes), factors)
