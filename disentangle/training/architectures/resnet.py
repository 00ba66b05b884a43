"""The classifiers that a recipe may name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import nn

from disentangle.models import ResNet
from disentangle.training.architectures.base import Architecture
from disentangle.training.objectives.base import STRICT

if TYPE_CHECKING:  # a recipe holds a model
    from disentangle.training.recipe import Recipe


STEM = "conv1.weight"
"""The weight of a residual network's first convolution, its only one that can be skew-orthogonal."""


@dataclass(frozen=True)
class ResNetConfig(Architecture):
    """A residual network that classifies pictures, with an SVD meta-layer.

    Attributes:
        depth: layers; small is one for 28×28 and 32×32 on a CPU.
        norm: the first norm: batch, or decorrelated, which whitens the features (an SVD meta-layer).
        pool: how features become a vector: their average, or their covariance's square root (an SVD meta-layer).
        stem: small is a 3×3 convolution of stride 1; large, for 224×224, a 7×7 one of stride 2 and a max-pool.
        groups: of channels that are whitened together.
        eps: the whitening's ridge.
        pool_channels: channels of which the covariance is taken.
        method: how the SVD meta-layer computes its root; see `disentangle.linalg`.
    """

    __pydantic_config__ = STRICT
    losses: ClassVar[tuple[str, ...]] = ("classifier",)
    kind: Literal["resnet"] = "resnet"
    depth: Literal["small", "18", "34", "50"] = "18"
    norm: Literal["batch", "decorrelated"] = "decorrelated"
    pool: Literal["average", "covariance"] = "average"
    stem: Literal["small", "large"] = "small"
    groups: int = 1
    eps: float = 1e-2
    pool_channels: int = 256
    method: Literal["auto", "eigh", "newton_schulz", "taylor", "pade"] = "auto"

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """The classifier."""
        stem = (STEM,) if self.norm == "decorrelated" else ()
        classifier = ResNet(
            depth=self.depth,
            num_classes=classes,
            in_channels=channels,
            norm=self.norm,
            pool=self.pool,
            stem=self.stem,
            groups=self.groups,
            eps=self.eps,
            pool_channels=self.pool_channels,
            # Kept in the network's own configuration: its weights have another shape.
            skew_orthogonal="ow" in recipe.treatment.names and STEM in (recipe.treatment.parameters or stem),
            method=self.method,
            seed=recipe.seed,
        )
        return {"classifier": classifier}
