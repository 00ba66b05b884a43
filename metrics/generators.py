"""What scores of a generator ask of it, and how they call it."""

from typing import Protocol

import torch
from torch import Tensor


class Samples(Protocol):
    """Latents in, pictures out: the part of :class:`disentangle.generator.Generator` that scores need."""

    @property
    def latent_size(self) -> int:
        """``d``, the number of latents of one picture."""

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, d)`` latents from the prior."""

    def synthesize(self, latents: Tensor) -> Tensor:
        """Map latents ``(n, d)`` to pictures ``(n, channels, height, width)`` in [-1, 1]."""


def pictures(generator: Samples, latents: Tensor) -> Tensor:
    """Pictures of latents in full precision, also under autocast, and never quantised: differences are small here."""
    with torch.autocast(latents.device.type, enabled=False):
        images = generator.synthesize(latents)
    return images if images.dtype == torch.float64 else images.float()
