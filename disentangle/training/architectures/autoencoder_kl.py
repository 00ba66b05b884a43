"""diffusers' AutoencoderKL with a subspace layer, as a recipe may name it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models.autoencoder_kl import AutoencoderKLSubspace
from disentangle.training.architectures.base import Architecture
from disentangle.training.architectures.vae import MODELS
from disentangle.training.objectives.base import STRICT

if TYPE_CHECKING:  # a recipe holds a model
    from disentangle.training.recipe import Recipe

FIT = 1_000
"""Pictures, at most, that the first subspace of a published autoencoder is fitted to."""


@dataclass(frozen=True)
class AutoencoderKLConfig(Architecture):
    """diffusers' AutoencoderKL with a subspace layer on its latent, new or around published weights.

    Attributes:
        latent_size: codes.
        weights: folder of a published autoencoder, or of a pipeline with one, in safetensors; by default a new one is
            trained, of the sizes below. The first subspace is that of its latents' principal components.
        freeze: train only the subspace layer and the posterior around published weights.
        block_out_channels: channels at each scale, the picture's first; each next one has half the height and width.
        layers_per_block: residual blocks at each scale.
        latent_channels: channels of the latent.
        norm_groups: of the group norms; divides all channels.
        attention: whether the coarsest features attend to each other.
    """

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = tuple(MODELS)
    kind: Literal["autoencoder-kl"] = "autoencoder-kl"
    latent_size: int = 10
    weights: Path | None = None
    freeze: bool = True
    block_out_channels: tuple[int, ...] = (32, 64, 64)
    layers_per_block: int = 1
    latent_channels: int = 4
    norm_groups: int = 8
    attention: bool = False

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """The autoencoder, with the subspace layer and the posterior of its codes.

        Raises:
            UserError: where ``weights`` is no folder of an autoencoder, or a size does not fit it.
        """
        size, seed = recipe.data.size, recipe.seed
        if self.weights is None:
            model = AutoencoderKLSubspace(
                size=size,
                channels=channels,
                latent_size=self.latent_size,
                block_out_channels=self.block_out_channels,
                layers_per_block=self.layers_per_block,
                latent_channels=self.latent_channels,
                norm_groups=self.norm_groups,
                attention=self.attention,
                seed=seed,
            )
            return {"generator": model}
        if recipe.data.crop == "resized":
            raise UserError("published weights are fitted to whole pictures: leave --data.crop resized out")
        model = AutoencoderKLSubspace.from_autoencoder(
            self.weights, size, channels, self.latent_size, freeze=self.freeze, seed=seed
        )
        return {"generator": model}

    def start(self, product: nn.Module, draw: Callable[[int], Tensor]) -> None:
        """The subspace around published weights begins with the principal components of their latents."""
        model: AutoencoderKLSubspace = product  # type: ignore[assignment]
        if self.weights is not None:
            model.fit_subspace(draw(FIT))
