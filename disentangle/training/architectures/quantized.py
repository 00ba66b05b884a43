"""The autoencoders with quantised codes that a recipe may name."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from disentangle.models.quantized import QLAE, QuantizedAutoencoder, Tripod
from disentangle.training.architectures.base import Architecture
from disentangle.training.objectives.base import STRICT

if TYPE_CHECKING:  # a recipe holds a model
    from disentangle.training.recipe import Recipe

PICTURES = 256
"""Pictures that the decoder's first brightness is the mean of."""


@dataclass(frozen=True)
class QuantizedConfig(Architecture):
    """An autoencoder with quantised codes.

    Attributes:
        decoder: subspace, with subspace layers; conv, that of Locatello et al.; or published, the paper's own encoder
            and decoder, for 64×64.
        latent_size: codes, by default 10; published: twice as many as factors. Those of the subspace decoder follow
            from its rank.
        values: that a code may take, by default as published.
        rank: codes of each of the subspace decoder's layers.
        base_channels: the subspace decoder's channels at full resolution, doubled with each coarser scale …
        max_channels: … up to this many.
        encoder_channels: channels of the encoder's first convolutions.
        hidden: size of the encoder's dense layer, and of the convolutional decoder's.
        unit_input: the encoder sees intensities in [0, 1], as published for QLAE, instead of pictures in [-1, 1], as
            published for Tripod.
    """

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]]
    model: ClassVar[type[QuantizedAutoencoder]]
    decoder: Literal["subspace", "conv", "published"] = "subspace"
    latent_size: int | None = None
    values: int | None = None
    rank: int = 3
    base_channels: int = 16
    max_channels: int = 64
    encoder_channels: int = 32
    hidden: int = 256
    unit_input: bool = False

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """Encoder, values and decoder, one network."""
        settings = {name: value for name, value in asdict(self).items() if name != "kind"}
        model = self.model(size=recipe.data.size, channels=channels, seed=recipe.seed, **settings)
        return {"generator": model}

    def start(self, product: nn.Module, draw: Callable[[int], Tensor]) -> None:
        """The decoder begins with the mean picture's brightness."""
        model: QuantizedAutoencoder = product  # type: ignore[assignment]
        model.start_from(draw(PICTURES))


@dataclass(frozen=True)
class QLAEConfig(QuantizedConfig):
    """The quantised-latent autoencoder, whose codes have learnable values."""

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = ("qlae",)
    model: ClassVar[type[QuantizedAutoencoder]] = QLAE
    kind: Literal["qlae"] = "qlae"


@dataclass(frozen=True)
class TripodConfig(QuantizedConfig):
    """Tripod, whose codes have the values of an even grid."""

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = ("tripod",)
    model: ClassVar[type[QuantizedAutoencoder]] = Tripod
    kind: Literal["tripod"] = "tripod"
