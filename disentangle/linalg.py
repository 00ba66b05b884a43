r"""Differentiable functions of symmetric positive semi-definite matrices, and the polar factor: the SVD meta-layer.

The exact backward passes here divide by *sums* of roots of eigenvalues, :math:`\sqrt{\lambda_i} + \sqrt{\lambda_j}`.
Automatic differentiation through ``torch.linalg.eigh`` or ``svd`` divides by the *differences* of eigenvalues, and
gives NaN where two coincide.

Song, Sebe, Wang, "Orthogonal SVD Covariance Conditioning and Latent Disentanglement", TPAMI 2022, arXiv 2212.05599.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Null = Literal["drop", "fill"]

SQRT_METHODS = ("eigh",)
POLAR_METHODS = ("auto", "svd", "gram")
NULLS = ("drop", "fill")

# Entries a_ij and a_ji may differ by this fraction of the largest entry; more is no rounding error but a wrong
# argument.
ASYMMETRY = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-1}


def matrix_sqrt(
    a: Float[Tensor, "*batch n n"], method: str = "eigh", *, eps: float = 0.0
) -> Float[Tensor, "*batch n n"]:
    r"""The symmetric square root :math:`(A + \varepsilon I)^{1/2}` of positive semi-definite matrices.

    The gradient is the exact one, :math:`Q (L \circ Q^\top g Q) Q^\top` with
    :math:`L_{ij} = 1/(\sqrt{\lambda_i} + \sqrt{\lambda_j})`; it is symmetric, finite at equal eigenvalues, and may be
    differentiated once more. Where two eigenvalues are both zero (at most 4 machine epsilons of the largest) the
    derivative is infinite and that part of the gradient is set to zero: what is left is the gradient among matrices of
    the same rank. A ridge avoids the question.

    Args:
        a: symmetric positive semi-definite matrices, any batch shape. bfloat16 and float16 are computed in float32 and
            cast back, also under autocast. Eigenvalues that rounding made slightly negative count as zero.
        method: ``"eigh"``.
        eps: **absolute** ridge, added to every eigenvalue. Multiply by ``trace / n`` for a relative one.

    Returns:
        Shape, dtype and device of ``a``.

    Raises:
        ValueError: ``a`` is not a batch of square, real floating-point matrices, is not symmetric, not finite or has a
            negative eigenvalue; ``method`` is unknown; ``eps`` is negative. On an accelerator the checks wait for the
            device twice, as the eigendecomposition does anyway.
    """
    return _power(a, method, eps, inverse=False)


def matrix_inverse_sqrt(
    a: Float[Tensor, "*batch n n"], method: str = "eigh", *, eps: float = 0.0
) -> Float[Tensor, "*batch n n"]:
    r"""The symmetric inverse square root :math:`(A + \varepsilon I)^{-1/2}` of positive definite matrices.

    The gradient is the exact one, :math:`Q (L \circ Q^\top g Q) Q^\top` with
    :math:`L_{ij} = -1/(\sqrt{\lambda_i} \sqrt{\lambda_j} (\sqrt{\lambda_i} + \sqrt{\lambda_j}))`; it is symmetric,
    finite at equal eigenvalues, and may be differentiated once more.

    Args:
        a: symmetric positive definite matrices; see :func:`matrix_sqrt`.
        method: ``"eigh"``.
        eps: **absolute** ridge, added to every eigenvalue: what makes the inverse root of a singular matrix exist.

    Returns:
        Shape, dtype and device of ``a``.

    Raises:
        ValueError: as :func:`matrix_sqrt`; also where an eigenvalue, ridge included, is at most 4 machine epsilons of
            the largest: the matrix is singular to working precision.
    """
    return _power(a, method, eps, inverse=True)


def polar(
    g: Float[Tensor, "*batch m n"], method: str = "auto", null: Null = "drop", *, rtol: float | None = None
) -> Float[Tensor, "*batch m n"]:
    r"""The orthogonal polar factor :math:`U V^\top` of :math:`G = U S V^\top`: the nearest matrix with orthonormal rows
    (columns, where there are more rows than columns).

    A singular value at rounding level has no direction of its own. ``null="drop"`` leaves such directions out, so that
    the result is a partial isometry (zero for a zero matrix): the smallest of the nearest ones. ``null="fill"`` raises
    them to 1 as well, along directions that the rounding chose, as the published code of the nearest orthogonal
    gradient does.

    The gradient is the exact one; it divides by sums of singular values. It keeps the rank: no gradient flows from
    directions that were dropped or filled. It can be taken once.

    Args:
        g: matrices of any shape and batch shape; computed in float64 and cast back.
        method: ``"svd"``; ``"gram"``, :math:`(G G^\top)^{-1/2} G` from an eigendecomposition on the smaller side,
            several times as fast for a wide basis (where a singular value is so small that squaring it would cost
            digits, it goes through a QR factorisation instead); ``"auto"``: ``"gram"`` where one side is at least twice
            the other and ``null="drop"``, else ``"svd"``, since matrices near square are rarely conditioned well
            enough.
        null: what becomes of singular values at or below ``rtol`` times the largest, ``"drop"`` or ``"fill"``.
        rtol: **relative** to the largest singular value of each matrix; by default ``4 sqrt(min(m, n))`` machine
            epsilons of the dtype of ``g``.

    Returns:
        Shape, dtype and device of ``g``.

    Raises:
        ValueError: ``g`` is not a batch of real floating-point matrices or not finite; ``method`` or ``null`` is
            unknown; ``null="fill"`` with ``method="gram"``; ``rtol`` outside [0, 1).
    """
    _known("method", method, POLAR_METHODS)
    _known("null", null, NULLS)
    if method == "gram" and null == "fill":
        raise ValueError(
            'null="fill" needs singular vectors of zero, which method="gram" does not have: use method="svd"'
        )
    if g.ndim < 2 or not g.is_floating_point():
        raise ValueError(f"g must be real floating-point matrices (..., m, n), got {g.dtype} of shape {tuple(g.shape)}")
    if rtol is None:
        rtol = 4 * math.sqrt(min(g.shape[-2:])) * torch.finfo(g.dtype).eps
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol must lie in [0, 1), got {rtol}")
    if g.numel() == 0:
        return g.clone()
    if g.shape[-2] > g.shape[-1]:
        return polar(g.mT, method, null, rtol=rtol).mT
    wide = g.shape[-1] >= 2 * g.shape[-2]
    gram = method == "gram" or (method == "auto" and null == "drop" and wide)
    decompose = _gram_factors if gram else _svd_factors
    with torch.no_grad(), _full_precision(g):
        factor, left, sigma = decompose(g.double(), null, rtol, g.dtype)
    if not (g.requires_grad and torch.is_grad_enabled()):
        return factor.to(g.dtype)
    differentiable: Tensor = _Polar.apply(g.double(), factor, left, sigma)
    return differentiable.to(g.dtype)


def _known(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}: possible: {', '.join(known)}")


def _power(a: Tensor, method: str, eps: float, inverse: bool) -> Tensor:
    """The square root of ``a + eps I`` or its inverse."""
    _known("method", method, SQRT_METHODS)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2] or a.dtype not in ASYMMETRY:
        possible = ", ".join(str(dtype).removeprefix("torch.") for dtype in ASYMMETRY)
        raise ValueError(f"a must be square matrices (..., n, n) of {possible}, got {a.dtype} of {tuple(a.shape)}")
    if not (math.isfinite(eps) and eps >= 0):
        raise ValueError(f"eps, the ridge, must be finite and at least 0, got {eps}")
    if a.numel() == 0:
        return a.clone()
    with _full_precision(a):
        wide = a if a.dtype == torch.float64 else a.float()
        vectors, roots = _eigen(wide.detach(), eps, inverse, a.dtype)
        power: Tensor = _Power.apply(wide, vectors, roots, inverse)
    return power.to(a.dtype)


@torch.no_grad()
def _eigen(a: Tensor, eps: float, inverse: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Eigenvectors of ``a`` and the roots of its eigenvalues plus ``eps``, after all checks; one wait each side."""
    tiny = torch.finfo(a.dtype).tiny
    asymmetry = float(((a - a.mT).abs().amax((-2, -1)) / a.abs().amax((-2, -1)).clamp_min(tiny)).amax())  # NaN stays
    if not asymmetry <= ASYMMETRY[dtype]:
        if math.isnan(asymmetry):
            raise ValueError("a has NaN or infinite entries")
        raise ValueError(f"a must be symmetric, but a - aᵀ is {asymmetry:.1e} of its largest entry: use (a + a.mT) / 2")
    values, vectors = torch.linalg.eigh(a if asymmetry == 0 else a * 0.5 + a.mT * 0.5)
    values = values + eps if eps else values
    size = torch.maximum(values[..., -1], -values[..., 0]).clamp_min(tiny)
    least = float((values[..., 0] / size).amin())
    # Rounding a PSD matrix's entries makes eigenvalues negative by up to √n ε/2 of the largest, computing them by more.
    rounding = math.sqrt(a.shape[-1]) * (torch.finfo(dtype).eps + 10 * torch.finfo(a.dtype).eps)
    if inverse and not least > 4 * torch.finfo(a.dtype).eps:
        raise ValueError(f"a is singular or negative: {_spectrum(least)}; give a ridge, eps > 0")
    if not inverse and not least >= -rounding:
        raise ValueError(
            f"a is not positive semi-definite: {_spectrum(least)}; give a ridge, eps > 0, if rounding did it"
        )
    return vectors, values.clamp_min(0).sqrt()


def _spectrum(least: float) -> str:
    return f"its least eigenvalue, ridge included, is {least:.1e} times its largest in size"


def _halves_of_sums(roots: Tensor, inverse: bool) -> Tensor:
    """``0.5 / (s_i + s_j)``; for the root, 0 where both are zero to working precision."""
    halves = 0.5 / (roots[..., :, None] + roots[..., None, :])
    if inverse:  # every root has been found positive
        return halves
    null = roots <= 2 * math.sqrt(torch.finfo(roots.dtype).eps) * roots[..., -1:]
    return halves.masked_fill(null[..., :, None] & null[..., None, :], 0)


def _full_precision(a: Tensor) -> AbstractContextManager[object]:
    device = a.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


class _Power(torch.autograd.Function):
    """``A^{1/2}`` or ``A^{-1/2}`` from the eigenvectors of A and the roots of its eigenvalues."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, vectors: Tensor, roots: Tensor, inverse: bool) -> Tensor:
        ctx.save_for_backward(a, vectors, roots)
        ctx.inverse = inverse
        return (vectors * (1 / roots if inverse else roots)[..., None, :]) @ vectors.mT

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        a, vectors, roots = ctx.saved_tensors
        derivative: Tensor = _Derivative.apply(a, grads[0], vectors, roots, ctx.inverse)
        return derivative, None, None, None


class _Derivative(torch.autograd.Function):
    """The derivative of :class:`_Power` at A along a direction. It is its own adjoint, hence also the backward pass."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, direction: Tensor, vectors: Tensor, roots: Tensor, inverse: bool) -> Tensor:
        ctx.save_for_backward(direction, vectors, roots)
        ctx.inverse = inverse
        return _derivative(direction, vectors, roots, inverse)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        direction, vectors, roots = ctx.saved_tensors
        along_a = _second_derivative(direction, grads[0], vectors, roots, ctx.inverse)
        return along_a, _derivative(grads[0], vectors, roots, ctx.inverse), None, None, None


def _derivative(direction: Tensor, vectors: Tensor, roots: Tensor, inverse: bool) -> Tensor:
    """Daleckii and Krein's formula, with divided differences written without a difference."""
    with _full_precision(vectors):
        inner = vectors.mT @ (direction + direction.mT) @ vectors * _halves_of_sums(roots, inverse)
        outer = vectors / roots[..., None, :] if inverse else vectors
        return outer @ (-inner if inverse else inner) @ outer.mT


def _second_derivative(g: Tensor, h: Tensor, vectors: Tensor, roots: Tensor, inverse: bool) -> Tensor:
    r"""The second derivative along g and h, :math:`\sum_k f[\lambda_i, \lambda_k, \lambda_j] (g_{ik} h_{kj} + …)`.

    With :math:`m_{ij} = 1/(s_i + s_j)`, the second divided differences are :math:`-m_{ik} m_{kj} m_{ij}` for the root
    and :math:`(s_i + s_k + s_j) m_{ik} m_{kj} m_{ij} / (s_i s_k s_j)` for its inverse: they factorise into matrix
    products.
    """
    with _full_precision(vectors):
        halves = _halves_of_sums(roots, inverse)
        g = vectors.mT @ (g + g.mT) @ vectors * halves
        h = vectors.mT @ (h + h.mT) @ vectors * halves
        inner = 2 * halves * (g @ h + h @ g)
        if not inverse:
            return -vectors @ inner @ vectors.mT
        columns = roots[..., None, :]
        outer = vectors / columns
        return outer @ (inner + (g / columns) @ h + (h / columns) @ g) @ outer.mT


def _svd_factors(g: Tensor, null: str, rtol: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Polar factor (m, n), left singular vectors (m, m) and singular values (m), 0 where negligible; m ≤ n."""
    if not bool(torch.isfinite(g).all()):
        raise ValueError("g has NaN or infinite entries")
    left, sigma, right = torch.linalg.svd(g, full_matrices=False)
    sigma = sigma.where(sigma > rtol * sigma[..., :1], 0)
    return (left * (sigma > 0)[..., None, :] if null == "drop" else left) @ right, left, sigma


def _gram_factors(g: Tensor, null: str, rtol: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`_svd_factors`, from the eigenvectors of the Gram matrix."""
    if dtype == torch.float64:  # whose squares may leave float64's range, as those of float32 cannot
        largest = torch.linalg.vector_norm(g, math.inf, (-2, -1), keepdim=True)
        factor, left, sigma = _unit_gram_factors(g / largest.where(largest > 0, 1), null, rtol, dtype)
        return factor, left, sigma * largest[..., 0]
    return _unit_gram_factors(g, null, rtol, dtype)


def _unit_gram_factors(g: Tensor, null: str, rtol: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    gram = g @ g.mT
    if not bool(torch.isfinite(gram).all()):
        raise ValueError("g has NaN or infinite entries")
    squares, left = torch.linalg.eigh(gram)
    largest = squares[..., -1:]
    eps = torch.finfo(torch.float64).eps
    # An eigenvalue of the Gram matrix has an absolute error of some eps times the largest. Where that is too much for
    # the result's dtype, or hides whether the direction is to be kept, the QR factor, whose condition is g's own,
    # decides.
    needed = 100 * eps / max(torch.finfo(dtype).eps, 1e-12)
    negligible = squares <= rtol**2 * largest if rtol**2 > 100 * eps * g.shape[-2] else torch.zeros_like(squares).bool()
    if bool(((squares < needed * largest) & ~negligible).any()):
        orthonormal, triangular = torch.linalg.qr(g.mT)
        factor, left, sigma = _svd_factors(triangular.mT, null, rtol, dtype)
        return factor @ orthonormal.mT, left, sigma
    sigma = squares.where(~negligible, 0).clamp_min(0).sqrt()
    inverse = torch.where(sigma > 0, 1 / sigma, 0)
    return ((left * inverse[..., None, :]) @ left.mT) @ g, left, sigma


class _Polar(torch.autograd.Function):
    r"""The derivative of the polar factor among matrices of the same rank; it is its own adjoint.

    With :math:`A = U^\top g V`: :math:`U ((A - A^\top) \circ 1/(\sigma_i + \sigma_j)) V^\top + U \Sigma^{-1} U^\top g
    (I - V V^\top) + (I - U U^\top) g V \Sigma^{-1} V^\top`, over the directions that were kept.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, factor: Tensor, left: Tensor, sigma: Tensor) -> Tensor:
        ctx.save_for_backward(factor, left, sigma)
        return factor.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        factor, left, sigma = ctx.saved_tensors
        with _full_precision(factor):
            kept = sigma > 0
            left = left * kept[..., None, :]
            right = left.mT @ factor
            both = kept[..., :, None] & kept[..., None, :]
            sums = torch.where(both, 1 / (sigma[..., :, None] + sigma[..., None, :]), 0)
            inverse = torch.where(kept, 1 / sigma, 0)[..., None, :]
            rows, columns = left.mT @ grads[0], grads[0] @ right.mT
            inner = left.mT @ columns
            gradient = left @ ((inner - inner.mT) * sums) @ right
            gradient = gradient + (left * inverse) @ (rows - inner @ right)
            gradient = gradient + ((columns - left @ inner) * inverse) @ right
        return gradient, None, None, None
