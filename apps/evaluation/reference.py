"""What scores of pictures are compared with, where that is no set of pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from disentangle.generator import Generator
from disentangle.metrics.common import Result
from disentangle.training.draws import seeded


class Turned:
    """A generator whose latents are those of another one along random directions, at right angles to each other.

    Args:
        model: the other one.
        seed: of the directions.
    """

    def __init__(self, model: Generator, seed: int) -> None:
        self.model, self.latent_size = model, model.latent_size
        draw = seeded(seed, "random directions")
        self.basis: Tensor = torch.linalg.qr(torch.randn(self.latent_size, self.latent_size, generator=draw)).Q

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Latents ``(n, d)``, in units of the directions."""
        latents = self.model.sample_latents(n, generator)
        return latents @ self.basis.to(latents)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Pictures of what the other generator makes of them."""
        return self.model.synthesize(latents @ self.basis.to(latents).T)


@dataclass(frozen=True, eq=False)
class Chance(Result):
    """What guessing gets.

    Attributes:
        value: the score.
    """

    value: float

    @property
    def score(self) -> float:
        """The score."""
        return self.value
