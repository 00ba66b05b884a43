"""Products with the Jacobian of a generator's pictures, which is never formed."""

import math
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from disentangle.errors import UserError
from disentangle.generator import Generator

_ONE_AT_A_TIME = threading.Lock()
"""Torch has one level of forward mode for all threads."""


class Derivative:
    """``J = dG/dz`` at many latents at once, a picture depending on its own latents alone.

    Products with vectors are computed in forward mode. Fused attention has none: then with torch's plain attention,
    and where an operation has no forward mode at all, by differentiating twice in reverse, which takes twice as long.
    What has worked is kept to. Quantised latents have the derivative that they train with. Several threads may
    differentiate one generator, and others make pictures with it meanwhile, which are the same to the last bit.

    Args:
        generator: whose pictures.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._ways: list[Callable[[Tensor, Tensor], Tensor]] = [self._forward, self._plain_forward, self._twice_back]

    def along(self, latents: Tensor, tangents: Tensor) -> Tensor:
        """``J v``: how the pictures change when the latents move.

        Args:
            latents: ``(n, d)``.
            tangents: ``(n, d)``.

        Returns:
            ``(n, features)``, the pictures' numbers flattened.

        Raises:
            UserError: where there is no derivative.
        """
        while True:
            try:
                return self._ways[0](latents, tangents).flatten(1)
            except RuntimeError as error:  # as what cannot be differentiated raises: NotImplementedError is one, too
                if len(self._ways) == 1:
                    raise self._refused(error) from error
                del self._ways[0]

    def back(self, latents: Tensor, cotangents: Tensor) -> Tensor:
        """``Jᵀ u``: latents ``(n, d)`` and ``(n, features)`` to ``(n, d)``.

        Raises:
            UserError: where there is no derivative.
        """
        with torch.enable_grad():
            start = latents.detach().clone().requires_grad_()
            try:
                images = self._generator.synthesize(start)
                if not images.requires_grad:
                    return torch.zeros_like(latents)
                (pulled,) = torch.autograd.grad(images, start, cotangents.view_as(images), materialize_grads=True)
            except RuntimeError as error:
                raise self._refused(error) from error
        return pulled

    def _forward(self, latents: Tensor, tangents: Tensor) -> Tensor:
        with _ONE_AT_A_TIME:
            return self._pushed(latents, tangents)

    @torch.no_grad()
    def _pushed(self, latents: Tensor, tangents: Tensor) -> Tensor:
        with warnings.catch_warnings(), forward_ad.dual_level():
            # Torch's own rules of forward mode call what torch no longer recommends.
            warnings.filterwarnings("ignore", ".*torch.jit.script", FutureWarning)
            images = self._generator.synthesize(forward_ad.make_dual(latents.detach().clone(), tangents))
            image, tangent = forward_ad.unpack_dual(images)
        return torch.zeros_like(image) if tangent is None else tangent

    def _plain_forward(self, latents: Tensor, tangents: Tensor) -> Tensor:
        with _ONE_AT_A_TIME, PlainAttention():
            return self._pushed(latents, tangents)

    def _twice_back(self, latents: Tensor, tangents: Tensor) -> Tensor:
        """``Jᵀ u`` is linear in ``u``, and its derivative by ``u`` along ``v`` is ``J v``, whatever ``u`` is."""
        with torch.enable_grad(), PlainAttention():
            start = latents.detach().clone().requires_grad_()
            images = self._generator.synthesize(start)
            if not images.requires_grad:
                return torch.zeros_like(images)
            u = torch.zeros_like(images, requires_grad=True)
            (pulled,) = torch.autograd.grad(images, start, u, create_graph=True, materialize_grads=True)
            if not pulled.requires_grad:
                return torch.zeros_like(images)
            (pushed,) = torch.autograd.grad(pulled, u, tangents)  # raises where nothing leads back to u
        return pushed.detach()

    def _refused(self, error: RuntimeError) -> UserError:
        reason = " ".join(str(error).split())[:200]
        return UserError(
            f"the pictures of {type(self._generator).__name__} cannot be differentiated by its latents ({reason}): "
            "possible here: activations, weights, coordinate, random"
        )


class PlainAttention(TorchFunctionMode):
    """Attention by products and a softmax, in this thread alone, instead of the fused kernels, which have no derivative
    in forward mode and no second one. (Torch's own choice of a kernel is one for all threads.)"""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of each of its functions."""
        attends = func is F.scaled_dot_product_attention
        return (_plain_attention if attends else func)(*args, **(kwargs or {}))


def _plain_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *args: Any, **kwargs: Any
) -> Tensor:
    """As :func:`torch.nn.functional.scaled_dot_product_attention`, by what that falls back to."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(~attn_mask, -math.inf)
    attended: Tensor = torch.ops.aten._scaled_dot_product_attention_math(query, key, value, attn_mask, *args, **kwargs)[
        0
    ]
    return attended
