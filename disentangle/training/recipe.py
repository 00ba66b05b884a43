"""What a recipe holds: everything that decides how a run comes out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from disentangle.data import SETS, ImageSet, load
from disentangle.errors import UserError, check_seed
from disentangle.training.architectures import (
    AutoencoderKLConfig,
    DiffusionConfig,
    EigenGANConfig,
    QLAEConfig,
    ResNetConfig,
    TripodConfig,
    VAEConfig,
    VanillaGANConfig,
)
from disentangle.training.objectives import (
    AnnealedVAELoss,
    BetaTCVAELoss,
    BetaVAELoss,
    ClassifierLoss,
    DiffusionLoss,
    DIPVAELoss,
    FactorVAELoss,
    GANLoss,
    QLAELoss,
    TripodLoss,
)
from disentangle.training.objectives.base import STRICT
from disentangle.training.optimizers import AdamConfig, SGDConfig
from disentangle.treatments import TreatmentConfig

# A new model or loss is a configuration in `architectures` or `objectives`, and its place here.
AutoencoderConfig = VAEConfig | QLAEConfig | TripodConfig | AutoencoderKLConfig
ModelConfig = EigenGANConfig | VanillaGANConfig | AutoencoderConfig | DiffusionConfig | ResNetConfig
GaussianLoss = BetaVAELoss | AnnealedVAELoss | FactorVAELoss | BetaTCVAELoss | DIPVAELoss
LossConfig = GANLoss | GaussianLoss | QLAELoss | TripodLoss | DiffusionLoss | ClassifierLoss


@dataclass(frozen=True)
class DataConfig:
    """Which pictures.

    Attributes:
        name: name of the data set; `disentangle data` lists them.
        size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB); by default what the set has.
        root: where its files are: the folder of pictures, or of the set's own files.
        pictures: train on so many pictures, drawn at random; by default on all.
        frame: what is loaded of a picture that is not square: middle is cut out; whole is squeezed to a square; wide is
            a larger middle, of celeba only.
        flip: mirror half of the pictures, left to right.
        crop: what a training step sees of a picture: none is all of it; shift is a window of its size, moved by up to 4
            pixels; resized is a part of 8 to 100% of its area, of any shape between 3:4 and 4:3, resized. The whole
            picture of resized is loaded an eighth larger, as ImageNet's are (256 for 224), and tested on its middle.
    """

    __pydantic_config__ = STRICT
    name: str = "sprites"
    size: int = 64
    channels: int | None = None
    root: Path | None = None
    pictures: int | None = None
    frame: Literal["middle", "wide", "whole"] = "middle"
    flip: bool = False
    crop: Literal["none", "shift", "resized"] = "none"

    def open(self, split: str | None = None) -> ImageSet:
        """Load the set.

        Raises:
            UserError: where it is not to be found, or not in this size or with these channels.
        """
        if split is not None and self.name in SETS and not SETS[self.name].factors:
            raise UserError(f"the data set {self.name!r} has no labels, which a classifier needs: take another set")
        size = self.size * 8 // 7 if self.crop == "resized" else self.size
        frame = None if self.frame == "middle" else self.frame  # of most sets there is no other
        return load(self.name, size=size, channels=self.channels, root=self.root, split=split, frame=frame)


@dataclass(frozen=True)
class Recipe:
    """A complete training.

    Attributes:
        summary: what it is, in a line.
        data: the pictures.
        model: the networks.
        loss: what is minimised.
        optimizer: how.
        treatment: the orthogonal treatment of the Pre-SVD layers.
        steps: training steps.
        batch_size: pictures of a step, over all processes.
        seed: decides the initial weights, the order of the pictures and all noise.
        ema_pictures: half-life of the exponential moving average of the weights, in pictures seen; 0 for none.
        precision: type of the arithmetic; auto is bfloat16 autocast where the processor has units for it, else float32.
        channels_last: memory format of the pictures; auto is channels-last.
        log_every: steps from one row of metrics to the next.
        sample_every: steps from one of a generator's sample grids to the next.
        conditioning_every: steps from one condition number of the SVD meta-layers' covariances to the next; 0 for none.
        test_every: steps from one test of a classifier to the next; 0 for none.
        checkpoint_every: steps from one checkpoint to the next.
        tensorboard: write the metrics for TensorBoard, too (needs the extra `tensorboard`).
    """

    __pydantic_config__ = STRICT
    summary: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    model: Annotated[ModelConfig, Field(discriminator="kind")] = field(default_factory=EigenGANConfig)
    loss: Annotated[LossConfig, Field(discriminator="kind")] = field(default_factory=GANLoss)
    optimizer: Annotated[AdamConfig | SGDConfig, Field(discriminator="kind")] = field(default_factory=AdamConfig)
    treatment: TreatmentConfig = field(default_factory=TreatmentConfig)
    steps: int = 500_000
    batch_size: int = 64
    seed: int = 0
    ema_pictures: int = 10_000
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    channels_last: Literal["auto", "yes", "no"] = "auto"
    log_every: int = 50
    sample_every: int = 1_000
    conditioning_every: int = 0
    test_every: int = 0
    checkpoint_every: int = 1_000
    tensorboard: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, ready for JSON; :meth:`from_dict` is its inverse."""
        return _ADAPTER.dump_python(self, mode="json")  # type: ignore[no-any-return]

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "Recipe":
        """The recipe that :meth:`to_dict` described.

        Raises:
            UserError: where a value is missing, unknown or of the wrong type.
        """
        try:
            return _ADAPTER.validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(f"not a recipe of this version: {where}: {first['msg']}") from None

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense or do not fit together."""
        check_seed(self.seed)
        for name in ("steps", "batch_size", "log_every", "sample_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("ema_pictures", "conditioning_every", "test_every"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.loss.kind not in self.model.losses:
            raise UserError(
                f"a {self.model.kind} model does not train with a {self.loss.kind} loss: "
                f"possible: {', '.join(self.model.losses)}"
            )
        self.optimizer.check()
        self.loss.check()


_ADAPTER = TypeAdapter(Recipe)
