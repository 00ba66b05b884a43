"""Values of the default square root and inverse square root, against closed forms and 80-digit references."""

import itertools
import math

import mpmath
import pytest
import scipy.linalg
import torch
from matrices import assert_close, gaussian, orthogonal, spd, with_spectrum
from torch import Tensor

from disentangle.linalg import matrix_inverse_sqrt, matrix_sqrt

EPS = torch.finfo(torch.float64).eps
ROOTS = [matrix_sqrt, matrix_inverse_sqrt]


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
