"""The adversarial game: losses of logits, gradient penalties, and the objectives of the two players."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models import Discriminator, EigenGAN
from disentangle.training.augment import diff_augment
from disentangle.training.objectives.base import STRICT, Batch, Loss, Update, check_weights


@dataclass(frozen=True)
class AdversarialLoss:
    """Losses of logits ``(n,)``: what the discriminator minimises, and what the generator does."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


ADVERSARIAL = {
    "hinge": AdversarialLoss(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
    ),
    "eigengan-hinge": AdversarialLoss(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda fake: F.relu(1 - fake).mean(),
    ),
    "non-saturating": AdversarialLoss(
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
        lambda fake: F.softplus(-fake).mean(),
    ),
    "least-squares": AdversarialLoss(
        lambda real, fake: (real - 1).square().mean() + fake.square().mean(),
        lambda fake: (fake - 1).square().mean(),
    ),
}
"""Hinge: Lim and Ye 2017, arXiv 1705.02894; EigenGAN's own stops the generator, too, at the margin. Non-saturating:
Goodfellow et al. 2014, arXiv 1406.2661. Least squares: Mao et al. 2017, arXiv 1611.04076."""


@dataclass(frozen=True)
class GANLoss(Loss):
    """An adversarial objective.

    Attributes:
        adversarial: which losses of the logits; see :data:`ADVERSARIAL`.
        r1_weight: weight of the R1 penalty on real pictures; 0 for none.
        r1_every: steps from one R1 penalty to the next.
        augment: probability of each differentiable augmentation of what the discriminator sees; 0 for none.
    """

    __pydantic_config__ = STRICT
    family: ClassVar[str] = "gan"
    kind: Literal["gan"] = "gan"
    adversarial: Literal["hinge", "eigengan-hinge", "non-saturating", "least-squares"] = "hinge"
    r1_weight: float = 10.0
    r1_every: int = 16
    augment: float = 0.6

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(r1_weight=self.r1_weight)
        if self.r1_every < 1:
            raise UserError(f"loss.r1_every must be at least 1, got {self.r1_every}")
        if not 0 <= self.augment <= 1:
            raise UserError(f"loss.augment is a probability, between 0 and 1, got {self.augment}")

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """The discriminator's, then the generator's."""
        generator: EigenGAN = networks["generator"]  # type: ignore[assignment]
        discriminator: Discriminator = networks["discriminator"]  # type: ignore[assignment]
        return [
            Update("discriminator", DiscriminatorObjective(discriminator, generator, self)),
            Update("generator", GeneratorObjective(generator, discriminator, self)),
        ]


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Mean over pictures of the squared norm of the logit's gradient (Mescheder et al. 2018, arXiv 1801.04406).

    Args:
        logits: ``(n,)``, computed from ``images``.
        images: ``(n, c, h, w)``, requiring gradients.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


class DiscriminatorObjective(nn.Module):
    """The discriminator's side of the game, with the lazy R1 penalty.

    Every ``r1_every`` steps the loss gains ``r1_weight · E‖∇D(x)‖²``, the gradient taken through the augmentation; it
    is part of that step's update, not an update of its own.
    """

    def __init__(self, discriminator: Discriminator, generator: EigenGAN, loss: GANLoss) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.loss = loss
        # In a tuple, so that it is no sub-module: a distributed wrapper must see only what this objective trains.
        self._opponent = (generator,)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised, the others are its parts."""
        (generator,) = self._opponent
        with torch.no_grad():
            fake = generator(batch.draws.normal("discriminator/latents", generator.latent_size)).to(batch.images.dtype)
        penalised = self.loss.r1_weight > 0 and (batch.draws.step - 1) % self.loss.r1_every == 0
        images = batch.images.detach().requires_grad_() if penalised else batch.images
        real = diff_augment(images, batch.draws, "augment/real", self.loss.augment)
        fake = diff_augment(fake, batch.draws, "augment/fake", self.loss.augment)
        logits = self.discriminator(torch.cat([real, fake])).to(batch.images.dtype)
        real_logits, fake_logits = logits.chunk(2)
        losses = {"loss": ADVERSARIAL[self.loss.adversarial].discriminator(real_logits, fake_logits)}
        if penalised:
            losses["r1"] = r1_penalty(real_logits, images)
            losses["loss"] = losses["loss"] + self.loss.r1_weight * losses["r1"]
        return losses | {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}


class GeneratorObjective(nn.Module):
    """The generator's side of the game."""

    def __init__(self, generator: EigenGAN, discriminator: Discriminator, loss: GANLoss) -> None:
        super().__init__()
        self.generator = generator
        self.loss = loss
        self._opponent = (discriminator,)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised."""
        (discriminator,) = self._opponent
        # The discriminator passes gradients on but needs none of its own: a third of its backward pass.
        discriminator.requires_grad_(False)
        try:
            fake = self.generator(batch.draws.normal("generator/latents", self.generator.latent_size))
            fake = diff_augment(fake.to(batch.images.dtype), batch.draws, "augment/generator", self.loss.augment)
            logits = discriminator(fake).to(batch.images.dtype)
        finally:
            discriminator.requires_grad_(True)
        return {"loss": ADVERSARIAL[self.loss.adversarial].generator(logits)}
