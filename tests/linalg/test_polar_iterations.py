"""The polar factor by matrix products alone."""

import math

import mpmath
import pytest
import torch
from matrices import assert_close, gaussian, orthogonal
from torch.autograd import gradcheck, gradgradcheck

from disentangle.linalg import polar
from disentangle.linalg.polar_iterations import CUBIC_STEPS, LEAST, LIMITS, QUINTICS

METHODS = ["newton_schulz", "polar_express"]


def with_singular_values(values: list[float], n: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """A matrix and its polar factor."""
    m = len(values)
    left, right = orthogonal(m), orthogonal(n, seed=1)[:, :m]
    return ((left * torch.tensor(values, dtype=torch.float64)) @ right.mT).to(dtype), left @ right.mT


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (4, 4), (3, 8), (8, 3), (6, 300), (2, 3, 4, 9), (64, 90)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_the_singular_value_decomposition(method: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    g = gaussian(*shape, dtype=dtype)
    p = polar(g, method)
    assert p.dtype == dtype
    kappa = float((torch.linalg.matrix_norm(g.double()) / torch.linalg.svdvals(g.double())[..., -1]).max())
    tolerance = 8 * torch.finfo(dtype).eps * max(kappa, 4 if method == "newton_schulz" else 200)
    assert_close(p, polar(g, "svd"), tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_the_promised_singular_values_converge_and_smaller_ones_are_an_error(method: str, dtype: torch.dtype) -> None:
    least = LEAST[method][dtype]
    for values in ([0.99, 0.1, least], [0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 3 * least, 2 * least]):
        g, factor = with_singular_values(values, 9, dtype)
        p = polar(g, method).double()
        loss = 1e3 if method == "polar_express" else 1 / min(values)
        assert_close(p, factor, 4 * torch.finfo(dtype).eps * loss)
        miss = (p @ p.mT - torch.eye(len(values), dtype=torch.float64)).norm()
        assert miss <= 1.1 * LIMITS[dtype] * math.sqrt(len(values))
    for smallest in (least / 30, least**2, 0.0):
        for null in ("drop", "fill"):
            with pytest.raises(ValueError, match=r'did not reach orthonormal rows.*use method="svd"'):
                polar(with_singular_values([1.0, 0.5, smallest], 9, dtype)[0], method, null)


def test_a_product_of_low_rank_is_an_error_in_every_shape() -> None:
    for method in METHODS:
        for dtype in (torch.float32, torch.float64):
            for m, n, rank in ((6, 400, 2), (64, 27, 26), (30, 30, 7), (128, 300, 127)):
                g = gaussian(m, rank, dtype=dtype) @ gaussian(rank, n, seed=1, dtype=dtype)
                if min(m, n) > rank:
                    with pytest.raises(ValueError, match="did not reach"):
                        polar(g, method)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_computed_in_float32(method: str, dtype: torch.dtype) -> None:
    g = gaussian(4, 9).to(dtype)
    assert torch.equal(polar(g, method), polar(g.float(), method).to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(polar(g.float(), method), polar(g.float(), method))
        assert_close(polar(g.double(), method), polar(g.double(), "svd"))


@pytest.mark.parametrize("method", METHODS)
def test_ignores_the_size_and_turns_with_its_argument(method: str) -> None:
    g, left, right = gaussian(5, 12), orthogonal(5, seed=1), orthogonal(12, seed=2)
    p = polar(g, method)
    assert_close(polar(left @ g @ right, method), left @ p @ right)
    assert_close(polar(g.mT, method), p.mT, 1e-14)
    for scale in (1e-300, 1e-200, 1e200, 1e300):
        assert_close(polar(scale * g, method), p)


@pytest.mark.parametrize("method", METHODS)
def test_a_matrix_of_zeros_can_be_dropped_but_not_filled(method: str) -> None:
    g = gaussian(3, 4, 9)
    g[1] = 0
    p = polar(g, method)
    assert torch.equal(p[1], torch.zeros_like(p[1]))
    assert_close(p[2], polar(g[2], "svd"))
    with pytest.raises(ValueError, match="did not reach"):
        polar(g, method, "fill")
    assert_close(polar(g[2], method, "fill"), polar(g[2], "svd", "fill"))


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 5), (0, 0)])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_gives_nothing(method: str, shape: tuple[int, ...]) -> None:
    assert polar(torch.zeros(shape), method).shape == shape


@pytest.mark.parametrize("shape", [(3, 3), (3, 7), (7, 3), (2, 2, 5), (1, 4)])
@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_is_the_exact_one(method: str, shape: tuple[int, ...]) -> None:
    g = gaussian(*shape, seed=6).requires_grad_()
    assert gradcheck(lambda x: polar(x, method), (g,), rtol=1e-5)
    assert gradgradcheck(lambda x: polar(x, method), (g,), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_options_that_mean_nothing_here_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match=r"rtol, got 0\.1, has no meaning"):
        polar(gaussian(2, 3), method, rtol=0.1)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="g has NaN or infinite entries"):
            polar(torch.full((2, 3), bad), method)


def test_the_quintics_are_the_minimax_ones() -> None:
    """Chebyshev's theorem: an odd polynomial of degree 5 is the best approximation of 1 on [l, u], 0 < l, if and only
    if its error takes its largest size at four points with alternating signs. Then the next interval is [1 − e, 1 + e].
    """
    with mpmath.workdps(50):
        low, high = mpmath.mpf(LEAST["polar_express"][torch.float64]), mpmath.mpf(1)
        for quintic in QUINTICS:
            first, third, fifth = (mpmath.mpf(c) for c in quintic)
            root = mpmath.sqrt(9 * third**2 - 20 * first * fifth)
            extrema = [mpmath.sqrt((-3 * third + sign * root) / (10 * fifth)) for sign in (-1, 1)]
            points = [low, *extrema, high]
            errors = [1 - x * (first + x**2 * (third + x**2 * fifth)) for x in points]
            largest = max(abs(e) for e in errors)
            if largest > 1e-12:  # else it is below what 17 digits of the coefficients tell
                assert points == sorted(points)
                for e, sign in zip(errors, (1, -1, 1, -1)):
                    assert abs(e - sign * largest) < 1e-6 * largest
            low, high = 1 - largest, 1 + largest
        assert largest < 1e-15
        assert len(QUINTICS) == 8  # one fewer leaves 5e-10, and the theorem says that no other composition does better


def test_the_polar_express_takes_fewer_products_than_newton_schulz() -> None:
    for steps in CUBIC_STEPS.values():
        assert 3 * len(QUINTICS) < 2 * steps
