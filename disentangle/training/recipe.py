"""What a recipe holds: everything that decides how a run comes out."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from disentangle.errors import UserError, check_seed
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
    """

    __pydantic_config__ = STRICT
    name: str = "sprites"
    size: int = 64
    channels: int | None = None
    root: Path | None = None
    pictures: int | None = None
    flip: bool = False


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


@dataclass(frozen=True)
class AdamConfig:
    """The optimiser, Adam with decoupled weight decay.

    Attributes:
        learning_rate: initial learning rate.
        betas: decay of the moments.
        weight_decay: decoupled weight decay.
        decay: fraction of the steps, at the end, over which the rate falls linearly to 0.
    """

    __pydantic_config__ = STRICT
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.99)
    weight_decay: float = 0.0
    decay: float = 0.0


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
        sample_every: steps from one sample grid to the next.
        checkpoint_every: steps from one checkpoint to the next.
        tensorboard: write the metrics for TensorBoard, too (needs the extra `tensorboard`).
    """

    __pydantic_config__ = STRICT
    summary: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    model: EigenGANConfig | BetaVAEConfig = field(default_factory=EigenGANConfig)
    loss: GANLoss | VAELoss = field(default_factory=GANLoss)
    optimizer: AdamConfig = field(default_factory=AdamConfig)
    treatment: TreatmentConfig = field(default_factory=TreatmentConfig)
    steps: int = 500_000
    batch_size: int = 64
    seed: int = 0
    ema_pictures: int = 10_000
    precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto"
    channels_last: Literal["auto", "yes", "no"] = "auto"
    log_every: int = 50
    sample_every: int = 1_000
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
        if self.ema_pictures < 0:
            raise UserError(f"ema_pictures must be at least 0, got {self.ema_pictures}")
        if isinstance(self.model, EigenGANConfig) != isinstance(self.loss, GANLoss):
            raise UserError(f"a {self.model.kind} model does not train with a {self.loss.kind} loss")
        if isinstance(self.loss, GANLoss) and self.loss.r1_every < 1:
            raise UserError(f"loss.r1_every must be at least 1, got {self.loss.r1_every}")
        if isinstance(self.loss, GANLoss) and not 0 <= self.loss.augment <= 1:
            raise UserError(f"loss.augment is a probability, between 0 and 1, got {self.loss.augment}")
        if not 0 <= self.optimizer.decay <= 1:
            raise UserError(f"optimizer.decay is a fraction of the steps, between 0 and 1, got {self.optimizer.decay}")
        if not 0 < self.optimizer.learning_rate < math.inf:
            raise UserError(f"optimizer.learning_rate must be above 0 and finite, got {self.optimizer.learning_rate}")
        if not all(0 <= beta < 1 for beta in self.optimizer.betas):
            raise UserError(f"optimizer.betas must lie between 0 and 1, 1 excluded, got {self.optimizer.betas}")
        weights = {"optimizer.weight_decay": self.optimizer.weight_decay}
        if isinstance(self.loss, GANLoss):
            weights["loss.r1_weight"] = self.loss.r1_weight
        else:
            weights |= {"loss.beta": self.loss.beta, "loss.beta_start": self.loss.beta_start}
            weights["loss.warmup"] = self.loss.warmup
        for name, value in weights.items():
            if not 0 <= value < math.inf:
                raise UserError(f"{name} must be at least 0 and finite, got {value}")


_ADAPTER = TypeAdapter(Recipe)
