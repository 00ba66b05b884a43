"""Generators that show what their first layers compute, for penalties of these."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor


class ShowsActivations(ABC):
    """A generator whose convolutions' results can be had, without computing more than asked for."""

    @abstractmethod
    def maps(self, latents: Tensor) -> Iterator[Tensor]:
        """What one convolution after the other computes of latents ``(n, d)``; last the picture before its tanh."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many of :meth:`maps` can be shown: not the picture, nor a map that a later layer changes in place."""

    def activations(self, latents: Tensor, layers: int = 5) -> list[Tensor]:
        """What the first convolutions compute, before any norm and non-linearity; nothing after them is computed.

        Args:
            latents: ``(n, d)``.
            layers: how many, at least 1; where there are fewer, all.

        Returns:
            ``(n, c, s, s)`` each, from coarse to fine.

        Raises:
            ValueError: where ``layers`` is below 1.
        """
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        return list(islice(self.maps(latents), min(layers, self.depth)))

    def picture_and_activations(self, latents: Tensor, layers: int) -> tuple[Tensor, list[Tensor]]:
        """The pictures of latents ``(n, d)`` and, of the same pass, their :meth:`activations`; none for 0 layers."""
        shown: list[Tensor] = []
        for result in self.maps(latents):
            if len(shown) < min(layers, self.depth):
                shown.append(result)
        return torch.tanh(result), shown
