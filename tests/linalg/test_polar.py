"""Laws of the polar factor by decomposition, in float64 against closed forms."""

import math

import pytest
import torch
from matrices import assert_close, gaussian, orthogonal
from torch.autograd import gradcheck, gradgradcheck

from disentangle.linalg import polar, polar_each

EPS = torch.finfo(torch.float64).eps


SHAPES = [(1, 1), (1, 7), (7, 1), (4, 4), (3, 8), (8, 3), (6, 300), (2, 3, 4, 9)]
METHODS = ["auto", "svd", "gram"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", METHODS)
def test_the_polar_factor_is_orthonormal_and_leaves_a_positive_factor(method: str, shape: tuple[int, ...]) -> None:
    g = gaussian(*shape)
    p = polar(g, method)
    wide, factor = (g, p) if shape[-2] <= shape[-1] else (g.mT, p.mT)
    identity = torch.eye(factor.shape[-2], dtype=g.dtype).expand(*factor.shape[:-1], factor.shape[-2])
    assert_close(factor @ factor.mT, identity)
    symmetric = wide @ factor.mT
    assert_close(symmetric, symmetric.mT)
    assert torch.linalg.eigvalsh(symmetric).min() > 0
    assert_close(symmetric @ factor, wide)


@pytest.mark.parametrize("method", METHODS)
def test_the_polar_factor_of_two_by_two(method: str) -> None:
    # (G + sign(det G) · cofactors) / √(‖G‖² + 2 |det G|)
    g = gaussian(40, 2, 2, seed=4)
    det = torch.linalg.det(g)[:, None, None]
    cofactors = torch.stack([g[:, 1, 1], -g[:, 1, 0], -g[:, 0, 1], g[:, 0, 0]], -1).reshape(-1, 2, 2)
    expected = (g + det.sign() * cofactors) / (g.square().sum((-2, -1), keepdim=True) + 2 * det.abs()).sqrt()
    assert_close(polar(g, method), expected, 1e-11)


@pytest.mark.parametrize("method", METHODS)
def test_the_polar_factor_turns_with_its_argument_and_ignores_its_size(method: str) -> None:
    g, left, right = gaussian(5, 12), orthogonal(5, seed=1), orthogonal(12, seed=2)
    p = polar(g, method)
    assert_close(polar(left @ g @ right, method), left @ p @ right)
    assert_close(polar(-g, method), -p, 1e-14)
    assert_close(polar(g.mT, method), p.mT, 1e-14)
    for scale in (1e-300, 1e-30, 1e30, 1e300):
        assert_close(polar(scale * g, method), p)


@pytest.mark.parametrize("shape", [(6, 6), (6, 40), (40, 6)])
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e7, 1e10])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_known_factor_at_every_condition(
    method: str, condition: float, shape: tuple[int, int]
) -> None:
    left, right = orthogonal(shape[0])[:, :6], orthogonal(shape[1], seed=1)[:, :6]
    sigma = torch.logspace(0, -math.log10(condition), 6, dtype=torch.float64)
    p = polar((left * sigma) @ right.mT, method)
    assert_close(p, left @ right.mT, 20 * EPS * max(condition, 100))  # what rounding g itself does to its polar factor
    assert_close(torch.linalg.svdvals(p), torch.ones(6, dtype=torch.float64), 1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e5])
def test_float32_is_as_good_as_its_rounding(method: str, condition: float) -> None:
    left, right = orthogonal(6), orthogonal(50, seed=1)[:, :6]
    sigma = torch.logspace(0, -math.log10(condition), 6, dtype=torch.float64)
    g = ((left * sigma) @ right.mT).float()
    p = polar(g, method)
    assert p.dtype == torch.float32
    assert_close(p.double(), polar(g.double(), "svd"), 2e-7)


@pytest.mark.parametrize(("m", "n", "rank"), [(6, 400, 2), (64, 27, 2), (64, 27, 26), (30, 30, 7), (128, 300, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_directions_that_are_not_there_are_dropped(method: str, dtype: torch.dtype, m: int, n: int, rank: int) -> None:
    g = gaussian(m, rank, dtype=dtype) @ gaussian(rank, n, seed=1, dtype=dtype)
    dropped = polar(g, method).double()
    filled = polar(g, null="fill").double()
    ones = torch.ones(min(m, n), dtype=torch.float64)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    assert_close(torch.linalg.svdvals(dropped), torch.where(torch.arange(len(ones)) < rank, ones, 0), tolerance)
    assert_close(torch.linalg.svdvals(filled), ones, tolerance)
    assert_close(dropped @ dropped.mT @ filled, dropped, tolerance)
    assert_close(dropped @ dropped.mT @ g.double(), g.double(), tolerance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_polar_factor_of_zero_is_zero_also_beside_others(method: str, dtype: torch.dtype) -> None:
    g = gaussian(3, 4, 9, dtype=dtype)
    g[1] = 0
    p = polar(g, method)
    assert torch.equal(p[1], torch.zeros(4, 9, dtype=dtype))
    assert_close(p[2], polar(g[2], method), 1e-6)
    assert_close(torch.linalg.svdvals(polar(g, null="fill")), torch.ones(3, 4, dtype=dtype), 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_tolerance_is_relative_to_the_largest(method: str) -> None:
    g = torch.diag(torch.tensor([5.0, 5e-3, 5e-5], dtype=torch.float64)) @ orthogonal(9)[:3]
    for rtol, rank in ((1e-6, 3), (1e-4, 2), (1e-2, 1), (None, 3), (0, 3)):
        assert int(polar(g, method, rtol=rtol).square().sum().round()) == rank


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 5), (0, 0)])
def test_the_polar_factor_of_nothing_is_nothing(shape: tuple[int, ...]) -> None:
    assert polar(torch.zeros(shape)).shape == shape


@pytest.mark.parametrize("shape", [(3, 3), (3, 7), (7, 3), (2, 2, 5), (1, 4)])
@pytest.mark.parametrize("method", METHODS)
def test_gradient_of_the_polar_factor(method: str, shape: tuple[int, ...]) -> None:
    assert gradcheck(lambda g: polar(g, method), (gaussian(*shape, seed=6).requires_grad_(),), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_gradient_of_the_polar_factor_at_equal_singular_values(method: str) -> None:
    g = (2 * orthogonal(6)[:4]).requires_grad_()
    assert gradcheck(lambda x: polar(x, method), (g,), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_gradient_of_the_polar_factor_along_a_rank(method: str) -> None:
    a, b = gaussian(5, 2, seed=1).requires_grad_(), gaussian(2, 7, seed=2).requires_grad_()
    assert gradcheck(lambda x, y: polar(x @ y, method, rtol=1e-6), (a, b), rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3), (3, 7), (7, 3), (2, 2, 5), (1, 4)])
@pytest.mark.parametrize("method", METHODS)
def test_second_derivative_of_the_polar_factor(method: str, shape: tuple[int, ...]) -> None:
    assert gradgradcheck(lambda g: polar(g, method), (gaussian(*shape, seed=6).requires_grad_(),), rtol=1e-5)


def test_a_gradient_that_is_to_be_differentiated_is_the_same_gradient() -> None:
    g = gaussian(4, 6).requires_grad_()
    along = gaussian(4, 6, seed=1)
    once, twice = (torch.autograd.grad((polar(g) * along).sum(), g, create_graph=again)[0] for again in (False, True))
    assert_close(once, twice.detach(), 1e-11)


def test_without_full_rank_there_is_no_second_derivative() -> None:
    g = (gaussian(5, 2) @ gaussian(2, 7, seed=1)).requires_grad_()
    with pytest.raises(ValueError, match="a second derivative at full rank only"):
        torch.autograd.grad(polar(g, rtol=1e-6).sum(), g, create_graph=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"g": torch.ones(3)}, "real floating-point matrices"),
        ({"g": torch.ones(3, 3, dtype=torch.int64)}, "real floating-point matrices"),
        ({"g": torch.full((2, 9), math.nan)}, "NaN or infinite"),
        ({"g": torch.full((2, 2), math.inf)}, "NaN or infinite"),
        ({"g": torch.full((2, 9), math.inf, dtype=torch.float64)}, "NaN or infinite"),
        ({"g": torch.eye(2), "method": "eigh"}, "unknown method 'eigh': possible: auto, svd, gram"),
        ({"g": torch.eye(2), "null": "keep"}, "unknown null 'keep': possible: drop, fill"),
        ({"g": torch.eye(2), "method": "gram", "null": "fill"}, 'use method="svd"'),
        ({"g": torch.eye(2), "rtol": 1.0}, "rtol"),
        ({"g": torch.eye(2), "rtol": -0.1}, "rtol"),
    ],
)
def test_the_polar_factor_refuses_in_words(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        polar(**arguments)


@pytest.mark.parametrize("null", ["drop", "fill"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_several_polar_factors_are_those_of_each(dtype: torch.dtype, null: str) -> None:
    gs = [gaussian(*shape).to(dtype) for shape in ((4, 9), (4, 30), (9, 4), (3, 8), (5, 6), (2, 4, 9))]
    gs += [torch.zeros(4, 9, dtype=dtype), (gaussian(4, 1) @ gaussian(1, 12)).to(dtype)]
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
    for g, factor in zip(gs, polar_each(gs, null), strict=True):
        assert factor.shape == g.shape
        assert factor.dtype == dtype
        assert_close(factor.double(), polar(g, null=null).double(), tolerance)
    assert polar_each([]) == []


def test_one_small_singular_value_among_several_matrices_is_found() -> None:
    g = (orthogonal(4) * torch.tensor([1, 1, 1, 1e-6]).double()) @ orthogonal(12, seed=1)[:4]
    gs = [gaussian(4, 20).float(), g.float(), gaussian(4, 12, seed=3).float()]
    for each, factor in zip(gs, polar_each(gs), strict=True):
        assert_close(factor.double(), polar(each, "svd").double(), 1e-6)


def test_several_matrices_are_refused_as_one_is() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        polar_each([gaussian(2, 9).float(), torch.full((2, 9), math.nan)])
