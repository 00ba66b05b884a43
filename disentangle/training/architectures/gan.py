"""The GANs that a recipe may name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import nn

from disentangle.models import Discriminator, EigenGAN
from disentangle.training.objectives.base import STRICT

if TYPE_CHECKING:  # a recipe holds a model
    from disentangle.training.recipe import Recipe


@dataclass(frozen=True)
class EigenGANConfig:
    """An EigenGAN generator and its discriminator.

    Attributes:
        rank: latents of each subspace layer.
        noise: size of the noise that enters the first dense layer.
        base_channels: channels at full resolution, doubled with each coarser scale …
        max_channels: … up to this many.
    """

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = ("gan",)
    kind: Literal["eigengan"] = "eigengan"
    rank: int = 6
    noise: int = 512
    base_channels: int = 16
    max_channels: int = 512

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """The generator and the discriminator, of as many channels each."""
        shared = {
            "size": recipe.data.size,
            "channels": channels,
            "base_channels": self.base_channels,
            "max_channels": self.max_channels,
            "seed": recipe.seed,
        }
        generator = EigenGAN(rank=self.rank, noise=self.noise, **shared)
        return {"generator": generator, "discriminator": Discriminator(**shared)}
