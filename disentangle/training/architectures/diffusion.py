"""The diffusion models that a recipe may name."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import nn

from disentangle.errors import UserError
from disentangle.models import HSpaceDiffusion
from disentangle.training.architectures.base import Architecture
from disentangle.training.objectives.base import STRICT

if TYPE_CHECKING:  # a recipe holds a model
    from disentangle.training.recipe import Recipe

# As in the program of Ho et al. (hojonathanho/diffusion), and in diffusers' own google/ddpm-cifar10-32: TensorFlow's ε
# and padding, at the bottom and the right alone; a timestep's sines before its cosines, frequencies from 1 to 1/10,000.
DDPM: dict[str, Any] = {"norm_eps": 1e-6, "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1}


@dataclass(frozen=True)
class DiffusionConfig(Architecture):
    """A diffusion model whose mid-block is steered by codes.

    Attributes:
        codes: axes of the mid-block's output that codes move along.
        steps: sampling steps.
        steering: whether codes replace what the network says along the axes, or are added to it.
        fitted_to: pictures of the model's own making in which the axes are found, before each checkpoint.
        channels: of each level of the U-Net, each half as large as the one before.
        attention: size of the features, the levels of which attend to themselves; the mid-block does always.
        layers: residual blocks of a level.
        head_channels: of an attention head; 0 for one head.
        groups: of the group norms; must divide all channels.
        dropout: in the residual blocks.
        details: what is left: padding, embedding of the timesteps, the norms' ε and initial weights; diffusers' and
            torch's own, or ddpm, as published for DDPM.
        schedule: how noise grows over 1,000 timesteps: cosine, or DDPM's linear one.
        prediction: what the network predicts; epsilon is the noise, as in DDPM.
        weights: a published pipeline's folder to begin from: its network and its schedule, in place of all that
            follows fitted_to here.
    """

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = ("diffusion",)
    kind: Literal["diffusion"] = "diffusion"
    codes: int = 8
    steps: int = 20
    steering: Literal["replace", "add"] = "replace"
    fitted_to: int = 256
    channels: tuple[int, ...] = (16, 32, 64, 64)
    attention: tuple[int, ...] = ()
    layers: int = 1
    head_channels: int = 16
    groups: int = 8
    dropout: float = 0.0
    details: Literal["diffusers", "ddpm"] = "diffusers"
    schedule: Literal["cosine", "linear"] = "cosine"
    prediction: Literal["epsilon", "v_prediction", "sample"] = "v_prediction"
    weights: Path | None = None

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """The network."""
        steering = {
            "codes": self.codes,
            "steps": self.steps,
            "steering": self.steering,
            "fitted_to": self.fitted_to,
        }
        if self.weights is not None:
            model = HSpaceDiffusion.from_pipeline(self.weights, **steering)
            size = recipe.data.size
            if model.shape != (channels, size, size):
                raise UserError(
                    f"the pipeline in {self.weights} makes pictures of {model.shape[1]} pixels and {model.shape[0]} "
                    f"channels, the data have {size} and {channels}: give --data.size and --data.channels"
                )
            return {"generator": model}
        model = HSpaceDiffusion(
            size=recipe.data.size,
            channels=channels,
            network=self.network(recipe.data.size),
            schedule=self.noise(),
            seed=recipe.seed,
            initialisation="ddpm" if self.details == "ddpm" else "torch",
            **steering,
        )
        return {"generator": model}

    def network(self, size: int) -> dict[str, Any]:
        """Settings of diffusers' ``UNet2DModel`` for pictures of ``size``.

        Raises:
            UserError: where attention is asked for at a size that no level has.
        """
        sizes = [size // 2**level for level in range(len(self.channels))]
        wrong = sorted(set(self.attention) - set(sizes))
        if wrong:
            raise UserError(f"model.attention names {wrong[0]}, but the levels have sizes {', '.join(map(str, sizes))}")
        attends = [level in self.attention for level in sizes]
        return {
            "block_out_channels": list(self.channels),
            "down_block_types": ["AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
            "up_block_types": ["AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
            "layers_per_block": self.layers,
            "attention_head_dim": self.head_channels or None,
            "norm_num_groups": self.groups,
            "dropout": self.dropout,
            **(DDPM if self.details == "ddpm" else {}),
        }

    def noise(self) -> dict[str, Any]:
        """Settings of diffusers' ``DDIMScheduler``."""
        return {
            "beta_schedule": "squaredcos_cap_v2" if self.schedule == "cosine" else "linear",
            "prediction_type": self.prediction,
            # From the noisiest timestep on only where the prediction there says something: of noise, noise does not.
            "timestep_spacing": "leading" if self.prediction == "epsilon" else "trailing",
        }
