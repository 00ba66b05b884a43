r"""Roots by eigendecomposition, and the exact first and second derivative of a root."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from disentangle.linalg.checks import ASYMMETRY, demand, full_precision, symmetric

Matrices = Float[Tensor, "*batch n n"]


class Spectrum(NamedTuple):
    """What :func:`derivative` needs of ``A`` for the derivative of its root; one batch dimension."""

    vectors: Float[Tensor, "b n n"]
    """Eigenvectors of A, in columns."""
    outer: Float[Tensor, "b n n"]
    """The same, for the inverse root divided by ``roots``."""
    roots: Float[Tensor, "b n"]
    """Square roots of the eigenvalues of A, ascending."""
    inverse: bool
    """Whether the root is the inverse one."""
    positive: bool
    """Whether all roots are known to be above rounding."""


def eigen_root(a: Matrices, eps: float, inverse: bool, dtype: torch.dtype) -> Matrices:
    """``(a + eps I)`` to the power 1/2, or -1/2, in float32 or float64, with the exact gradient.

    Args:
        a: not empty, float32 or float64.
        eps: absolute ridge.
        inverse: the power -1/2.
        dtype: of the data that ``a`` was cast from, whose rounding the checks allow for.
    """
    if a.requires_grad and torch.is_grad_enabled():
        root: Tensor = _EigenRoot.apply(a, eps, inverse, dtype)
        return root
    with torch.no_grad():
        return decompose(a, eps, inverse, dtype)[0]


def spectrum_of_root(root: Matrices, inverse: bool) -> Spectrum:
    """That of the matrix whose root, or inverse root, ``root`` is exactly."""
    values, vectors = torch.linalg.eigh(root.reshape(-1, *root.shape[-2:]))
    if inverse:
        return Spectrum(vectors, vectors * values[:, None, :], 1 / values, True, True)
    return Spectrum(vectors, vectors, values.clamp_min(0), False, False)


def derivative(a: Matrices, direction: Matrices, spectrum: Spectrum) -> Matrices:
    """The derivative of the root at ``a`` along a direction; its own adjoint, hence the backward pass, too. It may be
    differentiated once more, with respect to ``a`` and ``direction``."""
    if torch.is_grad_enabled():  # somebody wants to differentiate the gradient
        result: Tensor = _Derivative.apply(a, direction, *spectrum)
        return result
    return _derivative(direction, spectrum)


def decompose(a: Tensor, eps: float, inverse: bool, dtype: torch.dtype) -> tuple[Tensor, Spectrum]:
    """The root, and the spectrum of a + eps I."""
    matrices = symmetric(a, ASYMMETRY[dtype])
    if a.ndim != 3:
        matrices = matrices.reshape(-1, *a.shape[-2:])
    values, vectors = torch.linalg.eigh(matrices, UPLO="U")  # with MKL some 5% faster than "L" at n = 64
    if eps:
        values = values + eps
    roots, positive = _roots(values, inverse, dtype)
    columns = roots.unsqueeze(1)
    scaled = vectors / columns if inverse else vectors * columns
    root = torch.bmm(scaled, vectors.mT)
    spectrum = Spectrum(vectors, scaled if inverse else vectors, roots, inverse, positive)
    return root if a.ndim == 3 else root.reshape(a.shape), spectrum


def _roots(values: Tensor, inverse: bool, dtype: torch.dtype) -> tuple[Tensor, bool]:
    """Roots of the ascending eigenvalues, checked, and whether all are known to be above rounding."""
    info = torch.finfo(values.dtype)
    roots = values.sqrt()
    if not torch.compiler.is_compiling():  # the usual case in few operations: with small matrices they are the cost
        least, largest = roots.aminmax(dim=-1)
        if float((least / largest).min()) > 2 * math.sqrt(info.eps):  # false for NaN
            return roots, True
    size = torch.linalg.vector_norm(values, math.inf, -1)
    negative = -values[:, 0] / size.clamp_min(info.tiny)
    spectrum = "its least eigenvalue, ridge included, is {1:.1e} times its largest in size"
    if inverse:
        message = f"a is singular or negative: {spectrum}; give a ridge, eps > 0"
        return demand(values, negative, -4 * info.eps, message).sqrt(), True
    # Rounding a PSD matrix's entries makes eigenvalues negative by up to √n ε/2 of the largest, computing them by more.
    rounding = math.sqrt(values.shape[-1]) * (torch.finfo(dtype).eps + 10 * info.eps)
    message = f"a is not positive semi-definite: {spectrum}; give a ridge, eps > 0, if rounding did it"
    return demand(values, negative, rounding, message).clamp_min(0).sqrt(), False


class _EigenRoot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, eps: float, inverse: bool, dtype: torch.dtype) -> Tensor:
        root, (*tensors, ctx.inverse, ctx.positive) = decompose(a, eps, inverse, dtype)
        ctx.save_for_backward(a, *tensors)
        return root

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        a, vectors, outer, roots = ctx.saved_tensors
        spectrum = Spectrum(vectors, outer, roots, ctx.inverse, ctx.positive)
        return derivative(a, grads[0], spectrum), None, None, None


class _Derivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, direction: Tensor, *spectrum: Any) -> Tensor:
        *tensors, ctx.inverse, ctx.positive = spectrum
        ctx.save_for_backward(direction, *tensors)
        return _derivative(direction, Spectrum(*spectrum))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        direction, vectors, outer, roots = ctx.saved_tensors
        spectrum = Spectrum(vectors, outer, roots, ctx.inverse, ctx.positive)
        along_a = _second_derivative(direction, grads[0], spectrum)
        return along_a, _derivative(grads[0], spectrum), *[None] * len(spectrum)


def _sums(spectrum: Spectrum) -> Tensor:
    """``2 (s_i + s_j)``, negative for the inverse root; infinite where both roots are zero to working precision."""
    twice = spectrum.roots * (-2 if spectrum.inverse else 2)
    sums = twice.unsqueeze(2) + twice.unsqueeze(1)
    if spectrum.positive:
        return sums
    null = twice <= 2 * math.sqrt(torch.finfo(twice.dtype).eps) * twice[:, -1:]
    return sums.masked_fill(null.unsqueeze(2) & null.unsqueeze(1), math.inf)


def _in_basis(direction: Tensor, vectors: Tensor) -> Tensor:
    """Twice the symmetric part of ``direction``, in the eigenbasis."""
    if direction.ndim != 3:
        direction = direction.reshape(vectors.shape)
    return torch.bmm(torch.bmm(vectors.mT, direction + direction.mT), vectors)


def _derivative(direction: Tensor, spectrum: Spectrum) -> Tensor:
    """Daleckii and Krein's formula, with divided differences written without a difference."""
    with full_precision(direction):
        outer = spectrum.outer
        inner = _in_basis(direction, spectrum.vectors) / _sums(spectrum)
        result = torch.bmm(torch.bmm(outer, inner), outer.mT)
        return result if direction.ndim == 3 else result.reshape(direction.shape)


def _second_derivative(g: Tensor, h: Tensor, spectrum: Spectrum) -> Tensor:
    r"""The second derivative along g and h, :math:`\sum_k f[\lambda_i, \lambda_k, \lambda_j] (g_{ik} h_{kj} + …)`.

    With :math:`m_{ij} = 1/(s_i + s_j)`, the second divided differences are :math:`-m_{ik} m_{kj} m_{ij}` for the root
    and :math:`(s_i + s_k + s_j) m_{ik} m_{kj} m_{ij} / (s_i s_k s_j)` for its inverse: they factorise into matrix
    products.
    """
    vectors, outer, roots, inverse, _ = spectrum
    with full_precision(vectors):
        sums = _sums(spectrum)
        inner_g, inner_h = _in_basis(g, vectors) / sums, _in_basis(h, vectors) / sums
        inner = -2 * (inner_g @ inner_h + inner_h @ inner_g) / sums
        if inverse:
            columns = roots[:, None, :]
            inner = inner + (inner_g / columns) @ inner_h + (inner_h / columns) @ inner_g
        return (outer @ inner @ outer.mT).reshape(g.shape)
