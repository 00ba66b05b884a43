"""Objectives against closed forms."""

import math

import pytest
import torch
from tiny import RECIPES

from disentangle.training.draws import Draws
from disentangle.training.networks import build_networks
from disentangle.training.objectives import Batch, BetaVAELoss
from disentangle.training.objectives.vae import VAEObjective, gaussian_kl, reconstruction_loss


def test_kl_is_that_of_two_gaussians() -> None:
    mean, log_variance = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(posterior, prior)
    assert torch.allclose(gaussian_kl(mean, log_variance), expected, rtol=1e-12, atol=1e-12)


def test_reconstruction_is_the_negative_log_likelihood_of_a_picture() -> None:
    logits, images = torch.randn(4, 1, 2, 2, dtype=torch.float64), torch.rand(4, 1, 2, 2, dtype=torch.float64) * 2 - 1
    p, intensity = torch.sigmoid(logits), (images + 1) / 2
    bernoulli = -(intensity * p.log() + (1 - intensity) * (1 - p).log()).sum() / 4
    assert float(reconstruction_loss(logits, images, "bernoulli")) == pytest.approx(float(bernoulli), rel=1e-12)
    gaussian = torch.distributions.Normal(2 * p - 1, 1.0).log_prob(images) + 0.5 * math.log(2 * math.pi)
    assert float(reconstruction_loss(logits, images, "gaussian")) == pytest.approx(
        -float(gaussian.sum() / 4), rel=1e-12
    )


def batch(step: int = 1) -> Batch:
    images = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Batch(images, Draws(0, step, 8))


@pytest.mark.parametrize(("step", "weight"), [(1, 0.25), (2, 0.5), (4, 1.0), (9, 1.0)])
def test_beta_rises_over_the_warm_up(step: int, weight: float) -> None:
    model = build_networks(RECIPES["vae"], channels=1)["generator"]
    loss = BetaVAELoss(beta=3.0, warmup=4)
    terms = VAEObjective(model, loss.likelihood, loss.regularise)(batch(step))
    assert float(terms["loss"]) == pytest.approx(float(terms["reconstruction"] + 3 * weight * terms["kl"]), rel=1e-6)
