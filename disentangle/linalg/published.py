r"""The published backward passes: each is checked by the Lyapunov equation that the gradient solves.

- ``newton_schulz``: automatic differentiation through the iteration (arXiv 1712.01034).
- ``taylor``, ``pade``: the Lyapunov equation by eight steps of its sign iteration (arXiv 2201.08663).
- ``eigh``: automatic differentiation through the eigendecomposition, which divides by differences of eigenvalues
  (Ionescu, Vantzos, Sminchisescu, "Matrix Backpropagation for Deep Networks with Structured Layers", ICCV 2015).
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from disentangle.linalg.approximate import APPROXIMATIONS, checked, normalised, root_scale
from disentangle.linalg.checks import demand, full_precision
from disentangle.linalg.eigen import decompose
from disentangle.linalg.lyapunov import solve_lyapunov
from disentangle.linalg.newton_schulz import iterates, last, through_iterates

Matrices = Float[Tensor, "*batch n n"]

# ‖Y X + X Y − G‖ / ‖G‖ of the gradient X, given the gradient G with respect to the root Y.
LIMITS = {
    "eigh": {torch.float32: 1e-2, torch.float64: 1e-5},
    "newton_schulz": {torch.float32: 1e-2, torch.float64: 1e-5},
    "taylor": {torch.float32: 1e-2, torch.float64: 1e-2},
    "pade": {torch.float32: 1e-2, torch.float64: 1e-2},
}


def published_root(a: Matrices, method: str, eps: float, inverse: bool, dtype: torch.dtype) -> Matrices:
    """``(a + eps I)`` to the power 1/2, or -1/2, in float32 or float64, with the method's published backward pass.

    Args:
        a: not empty, float32 or float64.
        method: ``"eigh"``, ``"newton_schulz"``, ``"taylor"`` or ``"pade"``.
        eps: absolute ridge.
        inverse: the power -1/2.
        dtype: of the data that ``a`` was cast from.
    """
    function = {"eigh": _ThroughEigh, "newton_schulz": _ThroughIterates}.get(method, _ByLyapunov)
    root: Tensor = function.apply(a, method, eps, inverse, dtype)
    return root


def _verified(x: Tensor, gradient: Tensor, root: Tensor, method: str, inverse: bool) -> Tensor:
    """The gradient ``x`` with respect to A, if it solves the Lyapunov equation of the root.

    Of the inverse root Z, the equation is :math:`Z X + X Z = -Z^2 G Z^2`. A gradient G that is not finite is not for
    this function to judge: mixed precision training makes and catches such.
    """
    with torch.no_grad():
        size = root.abs().amax((-2, -1), keepdim=True)
        root = root / size
        scaled = x / size / size / size if inverse else x * size
        right = _right_side(gradient, root, inverse)
        product = root @ scaled
        norm = torch.linalg.matrix_norm(right)
        error = torch.linalg.matrix_norm(product + product.mT - right) / norm.clamp_min(torch.finfo(norm.dtype).tiny)
        error = torch.where(norm.isfinite(), error.nan_to_num(nan=math.inf), 0)
    message = (
        f'the published backward pass of method="{method}" missed the gradient by a relative {{0:.1e}}: '
        'the condition number is too large, or eigenvalues too close: use backward="exact"'
    )
    return demand(x, error, LIMITS[method][x.dtype], message)


def _right_side(gradient: Tensor, root: Tensor, inverse: bool) -> Tensor:
    gradient = gradient * 0.5 + gradient.mT * 0.5
    if not inverse:
        return gradient
    square = root @ root
    right = -square @ gradient @ square
    return right * 0.5 + right.mT * 0.5


class _ByLyapunov(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, method: str, eps: float, inverse: bool, dtype: torch.dtype) -> Tensor:
        unit, norm = normalised(a.detach(), eps, dtype)
        root = checked(APPROXIMATIONS[method](unit, inverse), unit, method, inverse) * root_scale(norm, inverse)
        ctx.save_for_backward(root)
        ctx.method, ctx.inverse = method, inverse
        return root

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        (root,) = ctx.saved_tensors  # connected to A: the equation is differentiated once more where that is wanted
        with full_precision(root):
            size = root.detach().abs().amax((-2, -1), keepdim=True)
            unit = root / size
            x = solve_lyapunov(unit, _right_side(grads[0], unit, ctx.inverse))
            x = x * size * size * size if ctx.inverse else x / size
            x = _verified(x, grads[0], root, ctx.method, ctx.inverse)
        return x, None, None, None, None


class _ThroughIterates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, method: str, eps: float, inverse: bool, dtype: torch.dtype) -> Tensor:
        unit, norm = normalised(a.detach(), eps, dtype)
        kept = iterates(unit)
        root = checked(last(kept, inverse), unit, method, inverse) * root_scale(norm, inverse)
        ctx.save_for_backward(a, root, norm, *kept)
        ctx.arguments = method, eps, inverse, dtype
        return root

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        a, root, norm, *kept = ctx.saved_tensors
        method, eps, inverse, dtype = ctx.arguments
        with full_precision(a):
            if torch.is_grad_enabled():  # to be differentiated once more, so the iterates have to follow from A
                kept = iterates(normalised(a, eps, dtype)[0])
            gradient = grads[0] * 0.5 + grads[0].mT * 0.5
            x = through_iterates(kept, gradient * root_scale(norm, inverse) / norm, inverse)
            x = _verified(x * 0.5 + x.mT * 0.5, gradient, root, method, inverse)
        return x, None, None, None, None


class _ThroughEigh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, method: str, eps: float, inverse: bool, dtype: torch.dtype) -> Tensor:
        root, spectrum = decompose(a, eps, inverse, dtype)
        ctx.save_for_backward(root, spectrum.vectors, spectrum.roots)
        ctx.inverse = inverse
        return root

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        # Not once_differentiable, which says nothing where the incoming gradient is a constant.
        if torch.is_grad_enabled():
            raise RuntimeError(
                'the published backward of "eigh" is made once: use backward="exact" to differentiate twice'
            )
        root, vectors, roots = ctx.saved_tensors
        with full_precision(vectors):
            gradient = grads[0].reshape(vectors.shape)
            inner = vectors.mT @ (gradient + gradient.mT) @ vectors
            powers = 1 / roots if ctx.inverse else roots
            values = roots * roots
            gaps = values.unsqueeze(1) - values.unsqueeze(2)  # λ_j − λ_i
            # ∂/∂vectors = G V f, then Vᵀ(∂/∂vectors) / (λ_j − λ_i); its symmetric part is f_j − f_i over the difference
            through_vectors = inner * powers.unsqueeze(1) / gaps
            through_vectors.diagonal(dim1=-2, dim2=-1).zero_()
            slopes = -0.5 / (roots * values) if ctx.inverse else 0.5 / roots
            through_values = torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1) * slopes)
            x = vectors @ (through_vectors + through_vectors.mT + through_values) @ vectors.mT * 0.5
            x = _verified(x.reshape(grads[0].shape), grads[0], root, "eigh", ctx.inverse)
        return x, None, None, None, None
