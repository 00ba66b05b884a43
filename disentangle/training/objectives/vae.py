"""The variational bound of the Gaussian VAEs, of which each method regularises the codes in its own way.

Here are the β-VAE's and the annealed VAE's; beside this file, ``total_correlation.py`` has β-TCVAE's, ``factor.py``
FactorVAE's and ``dip.py`` DIP-VAE's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.training.objectives.base import STRICT, Batch, Loss, Update, check_weights, whole


class GaussianModel(Protocol):
    """What these objectives ask of a network, an ``nn.Module``."""

    latent_size: int

    def posterior_of(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures to mean and log-variance ``(n, d)`` of their codes."""

    def logits(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to pictures before the last non-linearity."""


@dataclass(frozen=True)
class Codes:
    """Codes of pictures, each tensor ``(n, d)``.

    Attributes:
        mean: of the posterior …
        log_variance: … and its log-variance.
        latents: drawn from it.
    """

    mean: Tensor
    log_variance: Tensor
    latents: Tensor

    @property
    def kl(self) -> Tensor:
        """KL divergence of the posterior from the prior, ``(n, d)``, in nats."""
        return gaussian_kl(self.mean, self.log_variance)

    def whole(self) -> "Codes":
        """Those of the whole batch, where this process has a share of it; see :func:`whole`."""
        return Codes(whole(self.mean), whole(self.log_variance), whole(self.latents))


Regulariser = Callable[[Codes, int], dict[str, Tensor]]
"""Codes of this process's share, and the step, to terms by name, 0-dimensional. ``regulariser`` is what the loss adds
to the reconstruction, the others are its parts."""


def draw_codes(model: GaussianModel, batch: Batch, name: str) -> Codes:
    """Encode a batch and draw from the posterior, in the pictures' precision, the noise by its ``name``."""
    mean, log_variance = (parameter.to(batch.images.dtype) for parameter in model.posterior_of(batch.images))
    noise = batch.draws.normal(name, model.latent_size)
    return Codes(mean, log_variance, mean + noise * torch.exp(0.5 * log_variance))


class VAEObjective(nn.Module):
    r"""A bound :math:`-E_q \log p(x|z) + R`, averaged over pictures, R what a method makes of the codes.

    The logarithm is summed over pixels. The likelihood is Bernoulli over intensities in [0, 1] or Gaussian of unit
    variance over values in [-1, 1].
    """

    def __init__(self, model: GaussianModel, likelihood: str, regularise: Regulariser) -> None:
        super().__init__()
        self.model = model
        self.likelihood = likelihood
        self.regularise = regularise

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name, in nats a picture: ``loss`` is what is minimised, ``reconstruction`` and ``regulariser`` what
        it is the sum of; ``kl`` is the KL divergence from the prior, and ``kl/0`` … that of each code."""
        codes = draw_codes(self.model, batch, "posterior")
        logits = self.model.logits(codes.latents).to(batch.images.dtype)
        reconstruction = reconstruction_loss(logits, batch.images, self.likelihood)
        kl = codes.kl.mean(dim=0)
        terms = self.regularise(codes, batch.draws.step)
        losses = {"loss": reconstruction + terms["regulariser"], "reconstruction": reconstruction, "kl": kl.sum()}
        return losses | terms | {f"kl/{i}": value for i, value in enumerate(kl.unbind())}


@dataclass(frozen=True)
class GaussianVAELoss(Loss):
    """What the losses of the Gaussian VAEs have in common.

    Attributes:
        likelihood: of the pixels.
    """

    family: ClassVar[str] = "vae"
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"

    def update(self, networks: Mapping[str, nn.Module], regularise: Regulariser) -> Update:
        """The update of encoder and decoder together."""
        model: GaussianModel = networks["generator"]  # type: ignore[assignment]
        return Update("vae", VAEObjective(model, self.likelihood, regularise))


@dataclass(frozen=True)
class BetaVAELoss(GaussianVAELoss):
    """The β-VAE's objective: β times the KL divergence from the prior (Higgins et al. 2017).

    Attributes:
        beta: weight of the KL divergence, once the warm-up is over.
        warmup: steps over which the weight moves to beta on a straight line …
        beta_start: … from here. From below (0) the codes are filled before they are regularised; from above each factor
            is given a code of its own before the next is let in, much as with a growing capacity (Burgess et al. 2018,
            arXiv 1804.03599).
    """

    __pydantic_config__ = STRICT
    kind: Literal["beta-vae"] = "beta-vae"
    beta: float = 4.0
    warmup: int = 0
    beta_start: float = 0.0

    def beta_at(self, step: int) -> float:
        """Weight of the KL divergence at ``step``, counted from 1."""
        return ramp(self.beta_start, self.beta, step, self.warmup)

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(beta=self.beta, beta_start=self.beta_start, warmup=self.warmup)

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One, of encoder and decoder together."""
        return [self.update(networks, self.regularise)]

    def regularise(self, codes: Codes, step: int) -> dict[str, Tensor]:
        """The weighted divergence."""
        return {"regulariser": self.beta_at(step) * codes.kl.sum(dim=1).mean()}


@dataclass(frozen=True)
class AnnealedVAELoss(GaussianVAELoss):
    r"""The objective of the β-VAE of growing capacity, :math:`\gamma |KL - C|` (Burgess et al. 2018, arXiv 1804.03599).

    The defaults are those published for dSprites.

    Attributes:
        gamma: weight of the distance.
        capacity: C at the end, in nats; it grows from 0 on a straight line …
        capacity_steps: … over so many steps.
    """

    __pydantic_config__ = STRICT
    kind: Literal["annealed-vae"] = "annealed-vae"
    gamma: float = 1000.0
    capacity: float = 25.0
    capacity_steps: int = 100_000

    def capacity_at(self, step: int) -> float:
        """C at ``step``, counted from 1, in nats."""
        return ramp(0.0, self.capacity, step, self.capacity_steps)

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        check_weights(gamma=self.gamma, capacity=self.capacity, capacity_steps=self.capacity_steps)

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One, of encoder and decoder together."""
        return [self.update(networks, self.regularise)]

    def regularise(self, codes: Codes, step: int) -> dict[str, Tensor]:
        """The weighted distance, and the ``capacity``."""
        # The distance of a mean is not the mean of the distances: all processes take that of the whole batch.
        kl = whole(codes.kl.sum(dim=1)).mean()
        capacity = self.capacity_at(step)
        return {"regulariser": self.gamma * (kl - capacity).abs(), "capacity": torch.full_like(kl, capacity)}


def ramp(start: float, end: float, step: int, steps: int) -> float:
    """What moves from ``start`` on a straight line and is ``end`` from ``steps`` on; ``end`` at once if that is 0."""
    return start + (end - start) * (min(1.0, step / steps) if steps else 1.0)


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
