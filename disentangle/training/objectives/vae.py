"""The variational bound of a β-VAE."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.models import BetaVAE
from disentangle.training.objectives.base import STRICT, Batch, Loss, Update, check_weights


@dataclass(frozen=True)
class BetaVAELoss(Loss):
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
    family: ClassVar[str] = "vae"
    kind: Literal["beta-vae"] = "beta-vae"
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
        check_weights(beta=self.beta, beta_start=self.beta_start, warmup=self.warmup)

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One, of encoder and decoder together."""
        model: BetaVAE = networks["generator"]  # type: ignore[assignment]
        return [Update("vae", BetaVAEObjective(model, self))]


class BetaVAEObjective(nn.Module):
    r"""The β-VAE's bound: :math:`-E_q \log p(x|z) + \beta\, KL(q(z|x) \,\|\, N(0, I))`.

    The logarithm is summed over pixels; both terms are averaged over pictures.

    The likelihood is Bernoulli over intensities in [0, 1] or Gaussian of unit variance over values in [-1, 1].
    """

    def __init__(self, model: BetaVAE, loss: BetaVAELoss) -> None:
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
