"""The GANs that a recipe may name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import nn

from disentangle.models import Discriminator, EigenGAN, VanillaDiscriminator, VanillaGAN
from disentangle.training.architectures.base import Architecture
from disentangle.training.objectives.base import STRICT

if TYPE_CHECKING:  # a recipe holds a model
    from disentangle.training.recipe import Recipe


@dataclass(frozen=True)
class EigenGANConfig(Architecture):
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
        shared = _shared(self, recipe, channels)
        generator = EigenGAN(rank=self.rank, noise=self.noise, **shared)
        return {"generator": generator, "discriminator": Discriminator(**shared)}


@dataclass(frozen=True)
class VanillaGANConfig(Architecture):
    """A GAN of transposed convolutions with instance norm, and its discriminator.

    Attributes:
        latent_size: number of latents; published are 6 at 64×64 and 30 at 128×128.
        base_channels: least number of channels, doubled with each coarser scale …
        max_channels: … up to this many.
    """

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = ("gan",)
    kind: Literal["vanilla-gan"] = "vanilla-gan"
    latent_size: int = 6
    base_channels: int = 64
    max_channels: int = 1024

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """The generator and the discriminator, of as many channels each."""
        shared = _shared(self, recipe, channels)
        generator = VanillaGAN(latent_size=self.latent_size, **shared)
        return {"generator": generator, "discriminator": VanillaDiscriminator(**shared)}


def _shared(model: EigenGANConfig | VanillaGANConfig, recipe: "Recipe", channels: int) -> dict[str, int]:
    """What generator and discriminator have in common."""
    return {
        "size": recipe.data.size,
        "channels": channels,
        "base_channels": model.base_channels,
        "max_channels": model.max_channels,
        "seed": recipe.seed,
    }
