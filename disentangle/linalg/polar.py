"""The polar factor of a matrix: the nearest one with orthonormal rows or columns."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from disentangle.linalg.checks import a_tensor, full_precision, known
from disentangle.linalg.polar_factors import gram_factors, gram_maps, svd_factors
from disentangle.linalg.polar_iterations import iterate_polar
from disentangle.linalg.roots import matrix_inverse_sqrt

Null = Literal["drop", "fill"]

ITERATIONS = ("newton_schulz", "polar_express")
METHODS = ("auto", "svd", "gram", *ITERATIONS)
NULLS = ("drop", "fill")


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
    directions that were dropped or filled. Of matrices of full rank it may be differentiated once more.

    Args:
        g: matrices of any shape and batch shape. ``"svd"`` and ``"gram"`` compute in float64 and cast back, the
            iterations in float32 for any dtype but float64.
        method: ``"svd"``; ``"gram"``, :math:`(G G^\top)^{-1/2} G` from an eigendecomposition on the smaller side,
            several times as fast for a wide basis (where a singular value is so small that squaring it would cost
            digits, it goes through a QR factorisation instead); ``"newton_schulz"``, the cubic iteration, and
            ``"polar_express"``, its minimax relative, both by matrix products alone and for matrices of full rank:
            every singular value has to be at least 1e-7 (float64; else 1e-4) of the Frobenius norm for the first,
            which is as accurate as an SVD in its dtype, and 1e-3 for the second, which errs by up to 1e-12
            (float64; else 1e-4); ``"auto"``: ``"gram"`` where one side is at least twice the other and
            ``null="drop"``, else ``"svd"``, since matrices near square are rarely conditioned well enough.
        null: what becomes of singular values at or below ``rtol`` times the largest, ``"drop"`` or ``"fill"``. The
            iterations know no small singular values: they give the same for both, or an error; a matrix of zeros alone
            they can drop.
        rtol: **relative** to the largest singular value of each matrix; by default ``4 sqrt(min(m, n))`` machine
            epsilons of the dtype of ``g``. Not for the iterations.

    Returns:
        Shape, dtype and device of ``g``.

    Raises:
        TypeError: ``g`` is not a tensor.
        ValueError: ``g`` is not a batch of real floating-point matrices or not finite; ``method`` or ``null`` is
            unknown; ``null="fill"`` with ``method="gram"``; ``rtol`` outside [0, 1), or given to an iteration; an
            iteration did not reach ``‖P Pᵀ − I‖ ≤ 1e-13 √m`` (float64; else ``1e-5 √m``), m the smaller side.
    """
    _check(g, method, null, rtol)
    if g.numel() == 0:
        return g.clone()
    if g.shape[-2] > g.shape[-1]:
        return polar(g.mT, method, null, rtol=rtol).mT
    differentiable = g.requires_grad and torch.is_grad_enabled()
    with full_precision(g):
        if method in ITERATIONS:
            wide = g if g.dtype == torch.float64 else g.float()
            if differentiable:
                iterated: Tensor = _IteratedPolar.apply(wide, method, null)
                return iterated.to(g.dtype)
            return iterate_polar(wide, method, null).to(g.dtype)
        gram = method == "gram" or (method == "auto" and null == "drop" and g.shape[-1] >= 2 * g.shape[-2])
        if rtol is None:
            rtol = 4 * math.sqrt(g.shape[-2]) * torch.finfo(g.dtype).eps
        with torch.no_grad():
            factor, left, sigma = (gram_factors if gram else svd_factors)(g.double(), null, rtol, g.dtype)
        if differentiable:
            factor = _Polar.apply(g.double(), factor, left, sigma)
    return factor.to(g.dtype)


@torch.no_grad()
def polar_each(gs: Sequence[Tensor], null: Null = "drop", *, rtol: float | None = None) -> list[Tensor]:
    """What :func:`polar` gives for each of several matrices, without gradient.

    Small matrices cost the calls more than the numbers, so those for which ``"auto"`` is ``"gram"`` and whose smaller
    side is the same go through one eigendecomposition together.

    Args:
        gs: matrices, each of its own shape.
        null: see :func:`polar`.
        rtol: see :func:`polar`.

    Raises:
        TypeError, ValueError: as :func:`polar`.
    """
    together: dict[tuple[int, torch.dtype, torch.device], list[int]] = {}
    for i, g in enumerate(gs):
        _check(g, "auto", null, rtol)
        small, large = sorted(g.shape[-2:])
        if null == "drop" and g.ndim == 2 and 0 < 2 * small <= large and g.dtype != torch.float64:
            together.setdefault((small, g.dtype, g.device), []).append(i)
    found: dict[int, Tensor] = {}
    for (small, dtype, _), group in together.items():
        wide = [(gs[i] if len(gs[i]) == small else gs[i].mT).double() for i in group]
        limit = 4 * math.sqrt(small) * torch.finfo(dtype).eps if rtol is None else rtol
        with full_precision(wide[0]):
            maps = gram_maps(torch.stack([g @ g.mT for g in wide]), limit, dtype)
            for i, g, to_orthogonal in zip(group, wide, maps if maps is not None else ()):
                factor = (to_orthogonal @ g).to(dtype)
                found[i] = factor if len(gs[i]) == small else factor.mT
    return [found[i] if i in found else polar(g, null=null, rtol=rtol) for i, g in enumerate(gs)]


def _check(g: Tensor, method: str, null: str, rtol: float | None) -> None:
    a_tensor("g", g)
    known("method", method, METHODS)
    known("null", null, NULLS)
    if method == "gram" and null == "fill":
        raise ValueError(
            'null="fill" needs singular vectors of zero, which method="gram" does not have: use method="svd"'
        )
    if g.ndim < 2 or not g.is_floating_point():
        raise ValueError(f"g must be real floating-point matrices (..., m, n), got {g.dtype} of shape {tuple(g.shape)}")
    if rtol is not None and method in ITERATIONS:
        raise ValueError(f'rtol, got {rtol}, has no meaning for method="{method}", which knows no singular values')
    if rtol is not None and not 0 <= rtol < 1:
        raise ValueError(f"rtol must lie in [0, 1), got {rtol}")


class _Polar(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, factor: Tensor, left: Tensor, sigma: Tensor) -> Tensor:
        ctx.save_for_backward(g, factor, left, sigma)
        return factor.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        g, *factors = ctx.saved_tensors
        with full_precision(g):
            if torch.is_grad_enabled():
                return _differentiable_gradient(grads[0], g), None, None, None
            return _gradient(grads[0], *factors), None, None, None


class _IteratedPolar(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, method: str, null: str) -> Tensor:
        factor = iterate_polar(g.detach(), method, null)
        ctx.save_for_backward(g, factor)
        return factor

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        g, factor = (tensor.double() for tensor in ctx.saved_tensors)
        with full_precision(g):
            if torch.is_grad_enabled():
                return _differentiable_gradient(grads[0].double(), g).to(grads[0].dtype), None, None
            symmetric = g @ factor.mT  # the other factor, whose eigenvalues are the singular values
            sigma, left = torch.linalg.eigh(symmetric * 0.5 + symmetric.mT * 0.5)
            return _gradient(grads[0].double(), factor, left, sigma).to(grads[0].dtype), None, None


def _gradient(gradient: Tensor, factor: Tensor, left: Tensor, sigma: Tensor) -> Tensor:
    r"""The derivative of the polar factor among matrices of the same rank; it is its own adjoint.

    With :math:`A = U^\top g V`: :math:`U ((A - A^\top) \circ 1/(\sigma_i + \sigma_j)) V^\top + U \Sigma^{-1} U^\top g
    (I - V V^\top) + (I - U U^\top) g V \Sigma^{-1} V^\top`, over the directions that were kept.
    """
    kept = sigma > 0
    left = left * kept[..., None, :]
    right = left.mT @ factor
    both = kept[..., :, None] & kept[..., None, :]
    sums = torch.where(both, 1 / (sigma[..., :, None] + sigma[..., None, :]), 0)
    inverse = torch.where(kept, 1 / sigma, 0)[..., None, :]
    rows, columns = left.mT @ gradient, gradient @ right.mT
    inner = left.mT @ columns
    return (
        left @ ((inner - inner.mT) * sums) @ right
        + (left * inverse) @ (rows - inner @ right)
        + ((columns - left @ inner) * inverse) @ right
    )


def _differentiable_gradient(gradient: Tensor, g: Tensor) -> Tensor:
    r"""The derivative by way of :math:`(G G^\top)^{-1/2} G`, so that it can be differentiated itself."""
    try:
        factor = matrix_inverse_sqrt(g @ g.mT) @ g
    except ValueError as error:
        raise ValueError(f"the polar factor has a second derivative at full rank only: of g gᵀ, {error}") from error
    return torch.autograd.grad(factor, g, gradient, create_graph=True)[0]
