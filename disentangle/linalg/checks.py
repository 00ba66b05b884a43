"""Checks of matrices and of results, in eager mode and inside ``torch.compile``, and precision."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

# Entries a_ij and a_ji may differ by this fraction of the largest entry; more is no rounding error but a wrong
# argument.
ASYMMETRY = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-1}


def known(what: str, name: str, possible: tuple[str, ...]) -> None:
    if name not in possible:
        raise ValueError(f"unknown {what} {name!r}: possible: {', '.join(possible)}")


def a_tensor(what: str, value: object) -> None:
    """Raise ``TypeError`` unless ``value`` is a tensor."""
    if not isinstance(value, Tensor):
        kind = f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
        raise TypeError(f"{what} must be a torch.Tensor, got {kind}: use torch.as_tensor({what})")


_AS_IT_IS = nullcontext()


def full_precision(a: Tensor) -> AbstractContextManager[object]:
    """Switches autocast off: a matrix product in half precision would cost all the digits."""
    device = a.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else _AS_IT_IS


def working_dtype(a: Tensor) -> torch.dtype:
    """What to compute in for a tensor of any floating-point dtype: float64 for float64, else float32."""
    return torch.float64 if a.dtype == torch.float64 else torch.float32


def demand(through: Tensor, measured: Tensor, limit: float, message: str, name: str = "a") -> Tensor:
    """``through``, once every entry of ``measured`` is known to be at most ``limit``.

    Under ``torch.compile`` the comparison is an operator that the compiler does not look into, so that it neither
    breaks the graph nor is left out, as long as ``through`` is used.

    Args:
        through: what is returned; same shape, dtype and device.
        measured: any shape, not empty.
        limit: the largest measured value that is allowed; NaN never is.
        message: of the error, a format string that is given the largest measured value and its negative.
        name: of the argument that is not finite where a measured value is NaN.

    Raises:
        ValueError: a measured value is larger, or NaN.
    """
    if torch.compiler.is_compiling():
        opaque: Tensor = _opaque_demand(through, measured, limit, message, name)
        return opaque
    _compare(measured, limit, message, name)
    return through


def finite(a: Float[Tensor, "*batch m n"], name: str) -> Float[Tensor, "*batch m n"]:
    """``a``, not empty, unless it has entries that are not finite."""
    return demand(a, a.detach().abs().amax((-2, -1)) * 0, 0, "", name)  # infinity times 0 is NaN


def symmetric(a: Float[Tensor, "*batch n n"], tolerance: float) -> Float[Tensor, "*batch n n"]:
    """``a`` itself if it is exactly symmetric, else its symmetric part. No gradient flows through this.

    Raises:
        ValueError: ``a - a.mT`` is more than ``tolerance`` of the largest entry of its matrix.
    """
    if not torch.compiler.is_compiling() and torch.equal(a, a.mT):  # NaN equals nothing
        return a
    skew = a - a.mT
    largest = a.abs().amax((-2, -1))
    asymmetry = skew.abs().amax((-2, -1)) / largest.clamp_min(torch.finfo(a.dtype).tiny)
    message = "a must be symmetric, but a - aᵀ is {0:.1e} of its largest entry: use (a + a.mT) / 2"
    return a - demand(skew, asymmetry, tolerance, message) * 0.5


def _compare(measured: Tensor, limit: float, message: str, name: str) -> None:
    worst = float(measured.max())
    if worst <= limit:
        return
    if math.isnan(worst):
        raise ValueError(f"{name} has NaN or infinite entries")
    raise ValueError(message.format(worst, -worst))


@torch.library.custom_op("disentangle::demand", mutates_args=())
def _opaque_demand(through: Tensor, measured: Tensor, limit: float, message: str, name: str) -> Tensor:
    _compare(measured, limit, message, name)
    return through.clone()


@_opaque_demand.register_fake
def _(through: Tensor, measured: Tensor, limit: float, message: str, name: str) -> Tensor:
    return torch.empty_like(through)


_opaque_demand.register_autograd(lambda context, gradient: (gradient, None, None, None, None))
