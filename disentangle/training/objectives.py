"""What is minimised. Each objective is a module that owns the parameters it trains and returns its losses by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.models import BetaVAE, Discriminator, EigenGAN, ResNet
from disentangle.training.augment import diff_augment
from disentangle.training.draws import Draws
from disentangle.training.recipe import ClassifierLoss, GANLoss, VAELoss


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        images: this process's share of the pictures, ``(n, c, h, w)`` in [-1, 1].
        draws: the step's randomness.
        labels: their classes ``(n,)``, int64, where a classifier is trained.
    """

    images: Tensor
    draws: Draws
    labels: Tensor | None = None


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


class VAEObjective(nn.Module):
    r"""The β-VAE's bound: :math:`-E_q \log p(x|z) + \beta\, KL(q(z|x) \,\|\, N(0, I))`.

    The logarithm is summed over pixels; both terms are averaged over pictures.

    The likelihood is Bernoulli over intensities in [0, 1] or Gaussian of unit variance over values in [-1, 1].
    """

    def __init__(self, model: BetaVAE, loss: VAELoss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised, ``reconstruction`` and ``kl`` its parts, in nats a picture."""
        mean, log_variance = (t.to(batch.images.dtype) for t in self.model.posterior_of(batch.images))
        noise = batch.draws.normal("posterior", self.model.latent_size)
        logits = self.model.logits(mean + noise * torch.exp(0.5 * log_variance)).to(batch.images.dtype)
        reconstruction = reconstruction_loss(logits, batch.images, self.loss.likelihood)
        kl = gaussian_kl(mean, log_variance).sum(dim=1).mean()
        beta = self.loss.beta_at(batch.draws.step)
        return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}


class ClassifierObjective(nn.Module):
    """Cross-entropy of the labels, in nats."""

    def __init__(self, classifier: ResNet, loss: ClassifierLoss) -> None:
        super().__init__()
        self.classifier = classifier
        self.loss = loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised, ``accuracy`` the share of labels that got the most weight."""
        logits = self.classifier(batch.images).to(batch.images.dtype)
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.loss.label_smoothing)
        accuracy = (logits.detach().argmax(1) == batch.labels).to(loss.dtype).mean()
        return {"loss": loss, "accuracy": accuracy}


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), element by element, in nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def reconstruction_loss(logits: Tensor, images: Tensor, likelihood: str) -> Tensor:
    """Negative log-likelihood, summed over pixels and averaged over pictures, constants left out.

    Args:
        logits: ``(n, c, h, w)``; the picture is ``tanh(logits / 2)``.
        images: ``(n, c, h, w)`` in [-1, 1].
        likelihood: ``"bernoulli"``, of intensities ``(images + 1) / 2``, or ``"gaussian"`` of unit variance.
    """
    if likelihood == "bernoulli":
        total = F.binary_cross_entropy_with_logits(logits, (images + 1) / 2, reduction="sum")
    else:
        total = 0.5 * (torch.tanh(logits / 2) - images).square().sum()
    return total / len(images)
