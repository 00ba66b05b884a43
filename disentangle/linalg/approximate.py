r"""Roots by matrix products, each checked before it is returned."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from disentangle.linalg.checks import ASYMMETRY, demand, finite, symmetric
from disentangle.linalg.eigen import derivative, spectrum_of_root
from disentangle.linalg.newton_schulz import newton_schulz
from disentangle.linalg.series import pade, taylor

Matrices = Float[Tensor, "*batch n n"]

APPROXIMATIONS = {"newton_schulz": newton_schulz, "taylor": taylor, "pade": pade}

# What a root may miss, for A of Frobenius norm 1: ‖Y² − A‖₂ for the root Y, ‖Z A Z − I‖₂ for the inverse root Z. For
# newton_schulz the limits are what rounding leaves up to the κ that the docstrings promise; for the others, whose
# error is that of the truncated series, a choice: wide enough for a use, and narrow enough that no singular matrix
# passes (its zero comes out as 0.18 and 0.09, which leaves residuals of 3e-2 and 8e-3).
LIMITS = {
    "newton_schulz": {
        False: {torch.float32: 1e-4, torch.float64: 1e-10},
        True: {torch.float32: 1e-2, torch.float64: 1e-6},
    },
    "taylor": {False: {torch.float32: 1e-2, torch.float64: 1e-2}, True: {torch.float32: 2e-1, torch.float64: 2e-1}},
    "pade": {False: {torch.float32: 2e-3, torch.float64: 2e-3}, True: {torch.float32: 2e-2, torch.float64: 2e-2}},
}


def approximate_root(a: Matrices, method: str, eps: float, inverse: bool, dtype: torch.dtype) -> Matrices:
    """``(a + eps I)`` to the power 1/2, or -1/2, in float32 or float64, with the exact gradient for what is returned.

    Args:
        a: not empty, float32 or float64.
        method: a key of ``APPROXIMATIONS``.
        eps: absolute ridge.
        inverse: the power -1/2.
        dtype: of the data that ``a`` was cast from, whose rounding the check of symmetry allows for.
    """
    if a.requires_grad and torch.is_grad_enabled():
        root: Tensor = _WithExactDerivative.apply(a, method, eps, inverse, dtype)
        return root
    with torch.no_grad():
        return _root(a, method, eps, inverse, dtype)


def _root(a: Tensor, method: str, eps: float, inverse: bool, dtype: torch.dtype) -> Tensor:
    unit, norm = normalised(a, eps, dtype)
    return checked(APPROXIMATIONS[method](unit, inverse), unit, method, inverse) * root_scale(norm, inverse)


def normalised(a: Matrices, eps: float, dtype: torch.dtype) -> tuple[Matrices, Float[Tensor, "*batch 1 1"]]:
    """``a + eps I`` over its Frobenius norm, and that norm, which counts as a constant in the backward pass: a root is
    homogeneous, so that a change of the norm changes nothing."""
    a = a * 0.5 + a.mT * 0.5 if a.requires_grad else symmetric(a, ASYMMETRY[dtype])
    if eps:
        a = a + eps * torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    with torch.no_grad():
        tiny = torch.finfo(a.dtype).tiny
        largest = finite(a, "a").abs().amax((-2, -1), keepdim=True).clamp_min(tiny)
        norm = largest * torch.linalg.matrix_norm(a / largest, keepdim=True).clamp_min(1)  # it is, but for zero
    return a / norm, norm


def root_scale(norm: Float[Tensor, "*batch 1 1"], inverse: bool) -> Float[Tensor, "*batch 1 1"]:
    return norm.rsqrt() if inverse else norm.sqrt()


def checked(root: Matrices, unit: Matrices, method: str, inverse: bool) -> Matrices:
    """The symmetric part of ``root``, once it is known to be one of ``unit``.

    Raises:
        ValueError: the residual is above the method's limit.
    """
    root = root * 0.5 + root.mT * 0.5
    limit = LIMITS[method][inverse][root.dtype]
    if inverse:
        residual = root @ unit @ root - torch.eye(root.shape[-1], dtype=root.dtype, device=root.device)
        what = "‖Z A Z − I‖₂"
    else:
        residual = root @ root - unit
        what = "‖Y² − A‖₂ / ‖A‖"
    # two upper bounds of the spectral norm: the second is the sharp one near multiples of the identity
    size = torch.minimum(torch.linalg.matrix_norm(residual), torch.linalg.matrix_norm(residual, math.inf))
    size = size.nan_to_num(nan=math.inf)
    message = (
        f'method="{method}" did not reach its accuracy: {what} is {{0:.1e}}, above {limit:.0e}; '
        'a is negative, singular or its condition number too large: give a ridge, eps > 0, or use method="eigh"'
    )
    return demand(root, size, limit, message)


class _WithExactDerivative(torch.autograd.Function):
    """A root by any method, with the derivative that its equation, ``Y Y = A``, has at the root that was found."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, method: str, eps: float, inverse: bool, dtype: torch.dtype) -> Tensor:
        root = _root(a.detach(), method, eps, inverse, dtype)
        ctx.save_for_backward(a, root)
        ctx.inverse = inverse
        return root

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        a, root = ctx.saved_tensors
        spectrum = spectrum_of_root(root.detach(), ctx.inverse)
        return derivative(a, grads[0], spectrum), None, None, None, None
