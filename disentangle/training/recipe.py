"""What a recipe holds: everything that decides how a run comes out."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from disentangle.data import SETS, ImageSet, load
from disentangle.errors import UserError, check_seed
from disentangle.training.optimizers import AdamConfig, SGDConfig
from disentangle.treatments import TreatmentConfig

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class DataConfig:
    """Which pictures.

    Attributes:
        name: name of the data set; `disentangle data` lists them.
        size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB); by default what the set has.
        root: where its files are: the folder of pictures, or of the set's own files.
        pictures: train on so many pictures, drawn at random; by default on all.
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
        return load(self.name, size=size, channels=self.channels, root=self.root, split=split)


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
    kind: Literal["eigengan"] = "eigengan"
    rank: int = 6
    noise: int = 512
    base_channels: int = 16
    max_channels: int = 512


@dataclass(frozen=True)
class BetaVAEConfig:
    """A β-VAE with subspace layers in its decoder.

    Attributes:
        rank: codes of each of the decoder's layers.
        base_channels: the decoder's channels at full resolution, doubled with each coarser scale …
        max_channels: … up to this many.
        encoder_channels: channels of the encoder's first convolutions.
        hidden: size of the encoder's dense layer.
    """

    __pydantic_config__ = STRICT
    kind: Literal["beta-vae"] = "beta-vae"
    rank: int = 3
    base_channels: int = 16
    max_channels: int = 64
    encoder_channels: int = 32
    hidden: int = 256


@dataclass(frozen=True)
class ResNetConfig:
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
    kind: Literal["resnet"] = "resnet"
    depth: Literal["small", "18", "34", "50"] = "18"
    norm: Literal["batch", "decorrelated"] = "decorrelated"
    pool: Literal["average", "covariance"] = "average"
    stem: Literal["small", "large"] = "small"
    groups: int = 1
    eps: float = 1e-2
    pool_channels: int = 256
    method: Literal["auto", "eigh", "newton_schulz", "taylor", "pade"] = "auto"


@dataclass(frozen=True)
class GANLoss:
    """An adversarial objective.

    Attributes:
        adversarial: which losses of the logits; see ``ADVERSARIAL`` in ``training/objectives.py``.
        r1_weight: weight of the R1 penalty on real pictures; 0 for none.
        r1_every: steps from one R1 penalty to the next.
        augment: probability of each differentiable augmentation of what the discriminator sees; 0 for none.
    """

    __pydantic_config__ = STRICT
    kind: Literal["gan"] = "gan"
    adversarial: Literal["hinge", "eigengan-hinge", "non-saturating", "least-squares"] = "hinge"
    r1_weight: float = 10.0
    r1_every: int = 16
    augment: float = 0.6

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        _check_weights(r1_weight=self.r1_weight)
        if self.r1_every < 1:
            raise UserError(f"loss.r1_every must be at least 1, got {self.r1_every}")
        if not 0 <= self.augment <= 1:
            raise UserError(f"loss.augment is a probability, between 0 and 1, got {self.augment}")


@dataclass(frozen=True)
class VAELoss:
    """The β-VAE's objective.

    Attributes:
        beta: weight of the KL divergence, once the warm-up is over.
        warmup: steps over which the weight moves to beta on a straight line …
        beta_start: … from here. From below (0) the codes are filled before they are regularised; from above each factor
            is given a code of its own before the next is let in, much as with a growing capacity (Burgess et al. 2018,
            arXiv 1804.03599).
        likelihood: of the pixels.
    """

    __pydantic_config__ = STRICT
    kind: Literal["vae"] = "vae"
    beta: float = 4.0
    warmup: int = 0
    beta_start: float = 0.0
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"

    def beta_at(self, step: int) -> float:
        """Weight of the KL divergence at ``step``, counted from 1."""
        done = min(1.0, step / self.warmup) if self.warmup else 1.0
        return self.beta_start + (self.beta - self.beta_start) * done

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        _check_weights(beta=self.beta, beta_start=self.beta_start, warmup=self.warmup)


@dataclass(frozen=True)
class ClassifierLoss:
    """Cross-entropy of a label.

    Attributes:
        factor: which factor of the data set is the label; by default its class.
        label_smoothing: share of a label that is spread evenly over all classes.
    """

    __pydantic_config__ = STRICT
    kind: Literal["classifier"] = "classifier"
    factor: str | None = None
    label_smoothing: float = 0.0

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"loss.label_smoothing must lie between 0 and 1, 1 excluded, got {self.label_smoothing}")


def _check_weights(**weights: float) -> None:
    for name, value in weights.items():
        if not 0 <= value < math.inf:
            raise UserError(f"loss.{name} must be at least 0 and finite, got {value}")


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
    model: EigenGANConfig | BetaVAEConfig | ResNetConfig = field(default_factory=EigenGANConfig)
    loss: GANLoss | VAELoss | ClassifierLoss = field(default_factory=GANLoss)
    optimizer: AdamConfig | SGDConfig = field(default_factory=AdamConfig)
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
        if self.loss.kind != FAMILIES[self.model.kind]:
            raise UserError(f"a {self.model.kind} model does not train with a {self.loss.kind} loss")
        self.optimizer.check()
        self.loss.check()


FAMILIES = {"eigengan": "gan", "beta-vae": "vae", "resnet": "classifier"}
"""The loss that each kind of model trains with."""

_ADAPTER = TypeAdapter(Recipe)
