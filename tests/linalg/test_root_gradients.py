"""Exact gradients of the default square root and inverse square root, and gradients of these."""

import pytest
import torch
from matrices import assert_close, gaussian, spd, with_spectrum
from torch.autograd import gradcheck, gradgradcheck

from disentangle.linalg import matrix_inverse_sqrt, matrix_sqrt, polar

ROOTS = [matrix_sqrt, matrix_inverse_sqrt]
SPECTRA = {
    "repeated": [2.0, 2.0, 2.0, 2.0],
    "pairs": [3.0, 3.0, 0.5, 0.5],
    "nearly repeated": [1.0, 1.0 + 1e-13, 1.0 - 1e-13, 2.0],
    "spread": [4.0, 1.0, 0.3, 0.05],
    "n = 1": [0.7],
}


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
