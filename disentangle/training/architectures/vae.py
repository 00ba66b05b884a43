"""The VAEs that a recipe may name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import nn

from disentangle.models import DIPVAE, AnnealedVAE, BetaTCVAE, BetaVAE, FactorVAE
from disentangle.training.architectures.base import Architecture
from disentangle.training.objectives.base import STRICT

if TYPE_CHECKING:  # a recipe holds a model
    from disentangle.training.recipe import Recipe

MODELS = {
    "beta-vae": BetaVAE,
    "annealed-vae": AnnealedVAE,
    "factor-vae": FactorVAE,
    "beta-tcvae": BetaTCVAE,
    "dip-vae": DIPVAE,
}
"""The class that a loss makes of the network, by the loss's kind."""


@dataclass(frozen=True)
class VAEConfig(Architecture):
    """A Gaussian VAE.

    Attributes:
        decoder: subspace has a subspace layer at each of its scales; conv is the published one, with its encoder.
        latent_size: codes of the conv decoder, by default 10; those of the subspace decoder follow from its rank.
        rank: codes of each of the subspace decoder's layers.
        base_channels: the subspace decoder's channels at full resolution, doubled with each coarser scale …
        max_channels: … up to this many.
        encoder_channels: channels of the encoder's first convolutions, and of the conv decoder's last.
        hidden: size of the encoder's dense layer, and of the conv decoder's first.
        unit_input: the encoder sees intensities in [0, 1], as published, instead of pictures in [-1, 1].
    """

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = tuple(MODELS)
    kind: Literal["vae"] = "vae"
    decoder: Literal["subspace", "conv"] = "subspace"
    latent_size: int | None = None
    rank: int = 3
    base_channels: int = 16
    max_channels: int = 64
    encoder_channels: int = 32
    hidden: int = 256
    unit_input: bool = False

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """Encoder and decoder, one network, of the class that the recipe's loss names."""
        model = MODELS[recipe.loss.kind](
            size=recipe.data.size,
            channels=channels,
            decoder=self.decoder,
            latent_size=self.latent_size,
            rank=self.rank,
            base_channels=self.base_channels,
            max_channels=self.max_channels,
            encoder_channels=self.encoder_channels,
            hidden=self.hidden,
            seed=recipe.seed,
            unit_input=self.unit_input,
        )
        return {"generator": model}
