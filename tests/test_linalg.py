"""Laws of the matrix functions, in float64 against closed forms and 50-digit references."""

import itertools
import math

import mpmath
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from disentangle.linalg import matrix_inverse_sqrt, matrix_sqrt, polar

EPS = torch.finfo(torch.float64).eps
ROOTS = [matrix_sqrt, matrix_inverse_sqrt]
SPECTRA = {
    "repeated": [2.0, 2.0, 2.0, 2.0],
    "pairs": [3.0, 3.0, 0.5, 0.5],
    "nearly repeated": [1.0, 1.0 + 1e-13, 1.0 - 1e-13, 2.0],
    "spread": [4.0, 1.0, 0.3, 0.05],
    "n = 1": [0.7],
}


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def orthogonal(n: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(gaussian(n, n, seed=seed)).Q


def with_spectrum(values: list[float] | Tensor, seed: int = 0) -> Tensor:
    values = torch.as_tensor(values, dtype=torch.float64)
    q = orthogonal(len(values), seed)
    a = (q * values) @ q.mT
    return (a + a.mT) / 2


def spd(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """A random positive definite matrix of moderate condition."""
    x = gaussian(*shape[:-1], 2 * shape[-1], seed=seed)
    return (x @ x.mT / (2 * shape[-1])).to(dtype)


def assert_close(got: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Within ``tolerance`` of the largest entry."""
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= tolerance * expected.abs().max()


# --- square root and inverse square root: values


@pytest.mark.parametrize("n", [1, 2, 3, 17, 64, 256])
def test_the_root_is_symmetric_positive_and_squares_to_the_matrix(n: int) -> None:
    a = spd(n, n)
    root, inverse = matrix_sqrt(a), matrix_inverse_sqrt(a)
    assert_close(root @ root, a)
    assert_close(inverse @ a @ inverse, torch.eye(n, dtype=a.dtype))
    assert_close(inverse @ root, torch.eye(n, dtype=a.dtype))
    assert_close(root, root.mT)
    assert torch.linalg.eigvalsh(root).min() > 0


def test_two_by_two_closed_form() -> None:
    # Cayley and Hamilton: √A = (A + √det A · I) / √(tr A + 2 √det A); its inverse is the adjugate over the determinant
    a = spd(50, 2, 2, seed=3)
    det = (a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] ** 2)[:, None, None]
    trace = (a[:, 0, 0] + a[:, 1, 1])[:, None, None]
    root = (a + det.sqrt() * torch.eye(2, dtype=a.dtype)) / (trace + 2 * det.sqrt()).sqrt()
    adjugate = torch.stack([root[:, 1, 1], -root[:, 0, 1], -root[:, 1, 0], root[:, 0, 0]], -1).reshape(-1, 2, 2)
    inverse = adjugate / det.sqrt()
    assert_close(matrix_sqrt(a), root)
    assert_close(matrix_inverse_sqrt(a), inverse, 1e-11)


def test_agrees_with_scipy() -> None:
    a = spd(12, 12)
    assert_close(matrix_sqrt(a), torch.from_numpy(scipy.linalg.sqrtm(a.numpy())))


@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3)])
@pytest.mark.parametrize("root", ROOTS)
def test_a_batch_is_its_matrices_one_by_one(root, batch: tuple[int, ...]) -> None:
    a = spd(*batch, 4, 4)
    each = torch.stack([root(x) for x in a.reshape(-1, 4, 4)]).reshape(a.shape)
    assert_close(root(a), each, 1e-14)


@pytest.mark.parametrize("shape", [(0, 4, 4), (2, 0, 3, 3), (0, 0), (3, 0, 0)])
@pytest.mark.parametrize("root", ROOTS)
def test_nothing_gives_nothing(root, shape: tuple[int, ...]) -> None:
    a = torch.zeros(shape, requires_grad=True)
    result = root(a)
    result.sum().backward()
    assert result.shape == shape
    assert a.grad is not None
    assert a.grad.shape == shape


@pytest.mark.parametrize("root", ROOTS)
def test_turns_with_its_argument(root) -> None:
    a, q = spd(9, 9), orthogonal(9, seed=5)
    turned = q @ a @ q.mT
    assert_close(root((turned + turned.mT) / 2), q @ root(a) @ q.mT)


def reference_roots(a: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """√A, A^{-1/2} and their gradients along a symmetric direction, all in 80 digits: by eigenvalues the values, by the
    linear system ``S X + X S = direction`` the gradients."""
    with mpmath.workdps(80):
        matrix = mpmath.matrix(a.tolist())
        n = matrix.rows
        values, vectors = mpmath.eigsy(matrix)
        root = vectors * mpmath.diag([mpmath.sqrt(v) for v in values]) * vectors.T
        inverse = vectors * mpmath.diag([1 / mpmath.sqrt(v) for v in values]) * vectors.T
        sylvester = mpmath.zeros(n * n)
        for i, j, k in itertools.product(range(n), repeat=3):
            sylvester[i * n + j, k * n + j] += root[i, k]
            sylvester[i * n + j, i * n + k] += root[k, j]

        def lyapunov(right: mpmath.matrix) -> mpmath.matrix:
            solution = mpmath.lu_solve(sylvester, mpmath.matrix([right[i, j] for i in range(n) for j in range(n)]))
            return mpmath.matrix(n, n) + mpmath.matrix([[solution[i * n + j] for j in range(n)] for i in range(n)])

        g = mpmath.matrix(direction.tolist())
        found = root, inverse, lyapunov(g), -lyapunov(inverse * g * inverse)
        return tuple(torch.tensor([[float(x) for x in row] for row in m.tolist()], dtype=torch.float64) for m in found)


@pytest.mark.parametrize(
    "values",
    [[1.0, 1.0, 1.0], [1.0, 1.0 + 1e-15, 2.0], [5.0, 1e-3, 1e-3], [1.0, 1e-6, 1e-12], [1e-200, 2e-200, 1e-201]],
)
def test_values_and_gradients_against_80_digits(values: list[float]) -> None:
    a = with_spectrum(values)
    direction = gaussian(3, 3, seed=8)
    direction = direction + direction.mT
    root, inverse, root_gradient, inverse_gradient = reference_roots(a, direction)
    kappa = max(values) / min(values)
    # A's own rounding, ε‖A‖, moves the root by ε √κ and its inverse by ε κ: no algorithm on float64 input does better.
    for function, value, gradient, loss in (
        (matrix_sqrt, root, root_gradient, math.sqrt(kappa)),
        (matrix_inverse_sqrt, inverse, inverse_gradient, kappa),
    ):
        x = a.clone().requires_grad_()
        result = function(x)
        (got,) = torch.autograd.grad(result, x, direction)
        assert_close(result.detach(), value, 20 * EPS * loss)
        assert_close(got, gradient, 50 * EPS * max(kappa, loss))


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
@pytest.mark.parametrize(("root", "power"), [(matrix_sqrt, 0.5), (matrix_inverse_sqrt, -0.5)])
def test_scales_by_the_power(root, power: float, scale: float) -> None:
    a, direction = spd(5, 5), gaussian(5, 5, seed=1)
    unit, scaled = a.clone().requires_grad_(), (a * scale).requires_grad_()
    (unit_gradient,) = torch.autograd.grad(root(unit), unit, direction)
    (gradient,) = torch.autograd.grad(root(scaled), scaled, direction)
    assert_close(root(scaled), root(unit) * scale**power)
    assert_close(gradient, unit_gradient * scale ** (power - 1))


def test_float32_far_from_one() -> None:
    a = spd(5, 5)
    for scale, root in itertools.product([1e-20, 1e20], ROOTS):
        x = (a * scale).float().requires_grad_()
        result = root(x)
        result.sum().backward()
        assert result.dtype == x.dtype
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()
        assert_close(result.double(), root(x.detach().double()), 1e-5)


def test_float32_at_condition_one_million() -> None:
    a = with_spectrum(torch.logspace(0, -6, 32)).float()
    root = matrix_sqrt(a)
    assert_close(root @ root, a, 1e-5)
    inverse = matrix_inverse_sqrt(a)
    # cond · ε = 0.1: the residual on the side of the large eigenvalues is what float32 can promise
    assert_close(a @ inverse, root, 1e-3)


# --- square root and inverse square root: gradients


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("root", ROOTS)
def test_gradient_and_its_gradient(root, spectrum: str) -> None:
    a = with_spectrum(SPECTRA[spectrum]).requires_grad_()
    assert gradcheck(root, (a,), rtol=1e-5)
    assert gradgradcheck(root, (a,), rtol=1e-4)


@pytest.mark.parametrize("root", ROOTS)
def test_gradients_of_batches_with_a_ridge(root) -> None:
    a = spd(2, 2, 3, 3).requires_grad_()
    assert gradcheck(lambda x: root(x, eps=0.3), (a,))
    assert gradgradcheck(lambda x: root(x, eps=0.3), (a,))


@pytest.mark.parametrize("root", ROOTS)
def test_automatic_differentiation_through_eigh_fails_where_this_does_not(root) -> None:
    naive, exact = (torch.eye(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    values, vectors = torch.linalg.eigh(naive)
    direction = gaussian(4, 4)
    ((vectors * values.sqrt()) @ vectors.mT * direction).sum().backward()
    (root(exact) * direction).sum().backward()
    assert naive.grad is not None
    assert exact.grad is not None
    assert not torch.isfinite(naive.grad).all()
    sign = 1 if root is matrix_sqrt else -1
    assert_close(exact.grad, sign * (direction + direction.mT) / 4)


@pytest.mark.parametrize("root", ROOTS)
def test_the_gradient_is_symmetric(root) -> None:
    a = spd(3, 6, 6).requires_grad_()
    (gradient,) = torch.autograd.grad(root(a), a, gaussian(3, 6, 6, seed=2))
    assert_close(gradient, gradient.mT, 1e-14)


def test_the_third_derivative_says_that_there_is_none() -> None:
    a = spd(3, 3).requires_grad_()
    (first,) = torch.autograd.grad(matrix_sqrt(a).sum(), a, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(root, dtype: torch.dtype) -> None:
    a = (spd(6, 6) + torch.eye(6)).to(dtype)
    a = ((a + a.mT) / 2).requires_grad_()
    wide = a.detach().float().requires_grad_()
    narrow_result, wide_result = root(a), root(wide)
    narrow_result.float().sum().backward()
    wide_result.sum().backward()
    assert narrow_result.dtype == dtype
    assert torch.equal(narrow_result, wide_result.to(dtype))
    assert a.grad is not None
    assert wide.grad is not None
    assert a.grad.dtype == dtype
    assert_close(a.grad.float(), wide.grad, 2 * torch.finfo(dtype).eps)


def test_autocast_changes_nothing() -> None:
    a, g = spd(8, 8, dtype=torch.float32), gaussian(4, 9, dtype=torch.float32)
    for function, argument in ((matrix_sqrt, a), (matrix_inverse_sqrt, a), (polar, g)):
        plain, cast = argument.clone().requires_grad_(), argument.clone().requires_grad_()
        expected = function(plain)
        expected.square().sum().backward()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = function(cast)
            result.square().sum().backward()
        assert torch.equal(result, expected)
        assert torch.equal(cast.grad, plain.grad)


# --- singular and wrong input


def test_the_ridge_is_absolute() -> None:
    a = 100 * spd(5, 5)
    shifted = a + 0.5 * torch.eye(5, dtype=a.dtype)
    assert_close(matrix_sqrt(a, eps=0.5), matrix_sqrt(shifted))
    assert_close(matrix_inverse_sqrt(a, eps=0.5), matrix_inverse_sqrt(shifted))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_ridge_makes_a_singular_matrix_usable(dtype: torch.dtype) -> None:
    x = gaussian(10, 4, dtype=dtype)
    a = (x @ x.mT).requires_grad_()
    with pytest.raises(ValueError, match=r"singular.*give a ridge, eps > 0"):
        matrix_inverse_sqrt(a)
    for root in ROOTS:
        (gradient,) = torch.autograd.grad(root(a, eps=1e-3).sum(), a)
        assert torch.isfinite(gradient).all()
    assert_close(
        torch.linalg.eigvalsh(matrix_inverse_sqrt(a, eps=1e-3))[-6:], torch.full((6,), 1e3**0.5).to(dtype), 1e-2
    )


def test_the_root_of_a_singular_matrix_has_the_gradient_along_its_rank() -> None:
    # √(u uᵀ) = u uᵀ / ‖u‖, whose gradient needs no root of zero
    u, weight = gaussian(5, seed=1).requires_grad_(), gaussian(5, 5, seed=2)
    (expected,) = torch.autograd.grad((weight * torch.outer(u, u) / u.norm()).sum(), u)
    root = matrix_sqrt(torch.outer(u, u))
    (got,) = torch.autograd.grad((weight * root).sum(), u)
    assert_close(root.detach(), (torch.outer(u, u) / u.norm()).detach(), 1e-7)
    assert_close(got, expected, 1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_covariance_of_few_samples_is_not_called_negative(dtype: torch.dtype) -> None:
    for seed in range(10):
        x = gaussian(64, 20, seed=seed, dtype=dtype)
        a = (x @ x.mT / 20).requires_grad_()
        root = matrix_sqrt(a)
        (gradient,) = torch.autograd.grad(root.sum(), a)
        assert_close(root @ root, a, 100 * torch.finfo(dtype).eps)
        assert torch.isfinite(gradient).all()


def test_an_eigenvalue_that_rounding_made_negative_counts_as_zero() -> None:
    a = torch.diag(torch.tensor([1.0, -1e-16], dtype=torch.float64))
    assert torch.equal(matrix_sqrt(a), torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64)))


def test_the_root_of_zero_is_zero_with_zero_gradient() -> None:
    a = torch.zeros(2, 3, 3, requires_grad=True)
    root = matrix_sqrt(a)
    root.sum().backward()
    assert torch.equal(root, torch.zeros(2, 3, 3))
    assert torch.equal(a.grad, torch.zeros(2, 3, 3))


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    ("a", "words"),
    [
        (torch.eye(3)[:2], "square"),
        (torch.ones(3), "square"),
        (torch.eye(3, dtype=torch.int64), "square matrices .* of float64, float32, float16, bfloat16, got torch.int64"),
        (torch.eye(3, dtype=torch.complex64), "got torch.complex64"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), r"symmetric.*5\.0e-01.*use \(a \+ a.mT\) / 2"),
        (torch.eye(3) * math.nan, "NaN or infinite"),
        (torch.eye(3) * math.inf, "NaN or infinite"),
        (torch.stack([torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, -0.1]])]), r"-1\.0e-01 times its largest"),
        (-torch.eye(2), r"-1\.0e\+00 times its largest"),
    ],
)
def test_wrong_matrices_are_refused_in_words(root, a: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        root(a)


@pytest.mark.parametrize("root", ROOTS)
def test_wrong_options_are_refused_in_words(root) -> None:
    with pytest.raises(ValueError, match="unknown method 'svd': possible: auto, eigh"):
        root(torch.eye(2), method="svd")
    for eps in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="ridge"):
            root(torch.eye(2), eps=eps)


def test_zero_has_no_inverse_root() -> None:
    with pytest.raises(ValueError, match="singular"):
        matrix_inverse_sqrt(torch.zeros(3, 3))


def test_rounding_level_asymmetry_is_symmetrised() -> None:
    a = spd(4, 4)
    skew = torch.triu(torch.full_like(a, 1e-7), 1)
    assert_close(matrix_sqrt(a + skew), matrix_sqrt(a + (skew + skew.mT) / 2), 1e-14)


# --- polar factor

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


def test_the_polar_factor_has_one_derivative_and_says_so() -> None:
    g = gaussian(3, 7).requires_grad_()
    (first,) = torch.autograd.grad(polar(g).square().sum() + polar(g)[0, 0], g, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


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
