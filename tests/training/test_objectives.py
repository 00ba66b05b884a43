"""Objectives against closed forms."""

import math

import pytest
import torch
from tiny import RECIPES
from torch import Tensor

from disentangle.models import Discriminator
from disentangle.training.draws import Draws
from disentangle.training.networks import build_networks
from disentangle.training.objectives import Batch, BetaVAELoss, GANLoss
from disentangle.training.objectives.gan import (
    ADVERSARIAL,
    DiscriminatorObjective,
    GeneratorObjective,
    r1_penalty,
)
from disentangle.training.objectives.vae import BetaVAEObjective, gaussian_kl, reconstruction_loss

REAL = torch.tensor([2.0, 0.5, -1.0], dtype=torch.float64)
FAKE = torch.tensor([-3.0, 0.0, 1.0], dtype=torch.float64)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("hinge", (0 + 0.5 + 2) / 3 + (0 + 1 + 2) / 3, -(-3 + 0 + 1) / 3),
        ("eigengan-hinge", (0 + 0.5 + 2) / 3 + (0 + 1 + 2) / 3, (4 + 1 + 0) / 3),
        (
            "non-saturating",
            (softplus(-2) + softplus(-0.5) + softplus(1)) / 3 + (softplus(-3) + softplus(0) + softplus(1)) / 3,
            (softplus(3) + softplus(0) + softplus(-1)) / 3,
        ),
        ("least-squares", (1 + 0.25 + 4) / 3 + (9 + 0 + 1) / 3, (16 + 1 + 0) / 3),
    ],
)
def test_adversarial_losses_are_the_published_ones(name: str, discriminator: float, generator: float) -> None:
    assert float(ADVERSARIAL[name].discriminator(REAL, FAKE)) == pytest.approx(discriminator, rel=1e-12)
    assert float(ADVERSARIAL[name].generator(FAKE)) == pytest.approx(generator, rel=1e-12)


def test_r1_of_a_quadratic_logit_is_its_gradient_squared() -> None:
    images = torch.randn(5, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(0.5 * images.square().sum(dim=(1, 2, 3)), images)
    assert float(penalty.detach()) == pytest.approx(float(images.detach().square().sum() / 5), rel=1e-12)


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
    terms = BetaVAEObjective(model, BetaVAELoss(beta=3.0, warmup=4))(batch(step))
    assert float(terms["loss"]) == pytest.approx(float(terms["reconstruction"] + 3 * weight * terms["kl"]), rel=1e-6)


def gan() -> tuple[torch.nn.Module, Discriminator]:
    networks = build_networks(RECIPES["gan"], channels=1)
    return networks["generator"], networks["discriminator"]


def test_r1_comes_lazily() -> None:
    generator, discriminator = gan()
    objective = DiscriminatorObjective(discriminator, generator, GANLoss(r1_weight=10.0, r1_every=4, augment=0.0))
    terms = {step: objective(batch(step)) for step in range(1, 10)}
    assert [step for step in terms if "r1" in terms[step]] == [1, 5, 9]
    images = batch(1).images.requires_grad_()
    plain = ADVERSARIAL["hinge"].discriminator(discriminator(images), discriminator(fakes(generator, 1)))
    expected = plain + 10 * r1_penalty(discriminator(images), images)
    assert float(terms[1]["loss"]) == pytest.approx(float(expected), rel=1e-5)


def fakes(generator: torch.nn.Module, step: int) -> Tensor:
    return generator.synthesize(Draws(0, step, 8).normal("discriminator/latents", generator.latent_size)).detach()


def test_each_side_of_the_game_moves_only_itself() -> None:
    generator, discriminator = gan()
    loss = GANLoss(augment=0.5)
    DiscriminatorObjective(discriminator, generator, loss)(batch())["loss"].backward()
    assert all(p.grad is None for p in generator.parameters())
    assert all(p.grad is not None for p in discriminator.parameters())
    discriminator.zero_grad()
    GeneratorObjective(generator, discriminator, loss)(batch())["loss"].backward()
    assert all(p.grad is None and p.requires_grad for p in discriminator.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())


def test_an_objective_owns_only_what_it_trains() -> None:
    generator, discriminator = gan()
    assert len(list(DiscriminatorObjective(discriminator, generator, GANLoss()).parameters())) == len(
        list(discriminator.parameters())
    )
    assert len(list(GeneratorObjective(generator, discriminator, GANLoss()).parameters())) == len(
        list(generator.parameters())
    )
