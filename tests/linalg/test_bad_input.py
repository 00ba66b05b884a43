"""Singular and wrong matrices, and wrong options."""

import math

import numpy as np
import pytest
import torch
from matrices import assert_close, gaussian, spd
from torch import Tensor

from disentangle.linalg import matrix_inverse_sqrt, matrix_sqrt, polar

ROOTS = [matrix_sqrt, matrix_inverse_sqrt]
METHODS = ["auto", "eigh", "newton_schulz", "taylor", "pade"]


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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backward", ["exact", "published"])
@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    ("a", "words"),
    [
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), r"symmetric.*use \(a \+ a.mT\) / 2"),
        (torch.full((2, 2), math.nan), "NaN or infinite"),
        (torch.full((2, 2), math.inf), "NaN or infinite"),
        (torch.diag(torch.tensor([math.inf, 1.0])), "NaN or infinite"),
        (torch.stack([torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, -0.3]])]), "negative|semi-definite"),
        (-torch.eye(2), "negative|semi-definite"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "negative|semi-definite"),
    ],
)
def test_every_method_refuses_wrong_matrices(root, method: str, backward: str, a: Tensor, words: str) -> None:
    for dtype in (torch.float32, torch.float64):
        for differentiable in (False, True):
            with pytest.raises(ValueError, match=words):
                root(a.to(dtype, copy=True).requires_grad_(differentiable), method, backward=backward)


@pytest.mark.parametrize("function", [*ROOTS, polar])
@pytest.mark.parametrize(
    ("value", "kind"), [(np.eye(2), "numpy.ndarray"), (3, "int"), ([[1.0]], "list"), (None, "None")]
)
def test_what_is_no_tensor_is_refused_in_words(function, value: object, kind: str) -> None:
    with pytest.raises(TypeError, match=rf"must be a torch\.Tensor, got {kind}.*: use torch\.as_tensor\("):
        function(value)


@pytest.mark.parametrize("root", ROOTS)
def test_wrong_options_are_refused_in_words(root) -> None:
    with pytest.raises(ValueError, match="unknown backward 'lyapunov': possible: exact, published"):
        root(torch.eye(2), backward="lyapunov")
    with pytest.raises(ValueError, match="unknown method 'svd': possible: auto, eigh, newton_schulz, taylor, pade"):
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
