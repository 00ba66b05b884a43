"""The VAEs that a recipe may name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import nn

from disentangle.models import BetaVAE
from disentangle.training.objectives.base import STRICT

if TYPE_CHECKING:  # a recipe holds a model
    from disentangle.training.recipe import Recipe


@dataclass(frozen=True)
class VAEConfig:
    """A Gaussian VAE with subspace layers in its decoder.

    Attributes:
        rank: codes of each of the decoder's layers.
        base_channels: the decoder's channels at full resolution, doubled with each coarser scale …
        max_channels: … up to this many.
        encoder_channels: channels of the encoder's first convolutions.
        hidden: size of the encoder's dense layer.
    """

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = ("beta-vae",)
    kind: Literal["vae"] = "vae"
    rank: int = 3
    base_channels: int = 16
    max_channels: int = 64
    encoder_channels: int = 32
    hidden: int = 256

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """Encoder and decoder, one network."""
        model = BetaVAE(
            size=recipe.data.size,
            channels=channels,
            rank=self.rank,
            base_channels=self.base_channels,
            max_channels=self.max_channels,
            encoder_channels=self.encoder_channels,
            hidden=self.hidden,
            seed=recipe.seed,
        )
        return {"generator": model}
