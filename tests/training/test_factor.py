"""FactorVAE's two sides: the optimum of the discriminator's loss, what it is shown, and who learns from whom."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import RECIPES
from torch import Tensor, nn

from disentangle.training.draws import Draws
from disentangle.training.networks import build_networks
from disentangle.training.objectives import Batch, FactorVAELoss
from disentangle.training.objectives.factor import (
    DISCRIMINATOR,
    DensityRatioObjective,
    density_ratio_loss,
    permute_codes,
)
from disentangle.training.objectives.vae import Codes

RHO = 0.8


def test_the_best_discriminator_knows_the_ratio_of_the_densities() -> None:
    """For Gaussian codes of correlation ρ the log-ratio is a quadratic, and its mean −log(1 − ρ²)/2."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(100_000, 2, generator=generator, dtype=torch.float64)
    joint = torch.stack([noise[:, 0], RHO * noise[:, 0] + math.sqrt(1 - RHO**2) * noise[:, 1]], 1)
    product = permute_codes(joint, torch.rand(joint.shape, generator=generator))

    def logits(latents: Tensor, weights: Tensor) -> Tensor:
        quadratic = torch.stack([torch.ones(len(latents)), latents.square().sum(1), latents.prod(1)], 1)
        return quadratic.double() @ weights

    def loss(weights: Tensor) -> Tensor:
        return density_ratio_loss(logits(joint, weights), logits(product, weights))

    weights = torch.zeros(3, dtype=torch.float64)
    assert float(loss(weights)) == pytest.approx(math.log(2), rel=1e-12)
    for _ in range(8):  # Newton's method
        gradient = torch.autograd.functional.jacobian(loss, weights)
        weights = weights - torch.linalg.solve(torch.autograd.functional.hessian(loss, weights), gradient)
    assert float(gradient.norm()) < 1e-10
    total_correlation = -0.5 * math.log(1 - RHO**2)
    expected = torch.tensor([total_correlation, -0.5 * RHO**2 / (1 - RHO**2), RHO / (1 - RHO**2)]).double()
    assert torch.allclose(weights, expected, rtol=0.03)
    assert float(logits(joint, weights).mean()) == pytest.approx(total_correlation, rel=0.03)


def test_each_code_has_a_permutation_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.arange(2000.0)[:, None].repeat(1, 3)
    permuted = permute_codes(latents, torch.rand(2000, 3, generator=generator))
    assert torch.equal(permuted.sort(0).values, latents)
    correlations = torch.corrcoef(torch.cat([latents[:, :1], permuted], 1).mT) - torch.eye(4)
    assert correlations.abs().max() < 0.1
    assert permute_codes(torch.tensor([[1.0, 10.0], [2.0, 20.0]]), torch.tensor([[0.1, 0.9], [0.2, 0.3]])).tolist() == [
        [1, 20],
        [2, 10],
    ]


def test_the_divergence_and_the_mean_log_odds_are_added() -> None:
    latents = torch.randn(4, 3, dtype=torch.float64)
    codes = Codes(latents, torch.zeros_like(latents), latents)
    judge = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)).double()
    terms = FactorVAELoss(gamma=7.0).regularise(codes, 1, discriminator=judge)
    tc = judge(latents).mean().item()
    assert float(terms["tc"]) == pytest.approx(float(tc), rel=1e-12)
    assert float(terms["regulariser"]) == pytest.approx(float(codes.kl.sum() / 4 + 7 * tc), rel=1e-12)


class Seen(nn.Module):
    """A discriminator that keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, latents: Tensor) -> Tensor:
        self.latents = latents
        return self.scale * latents.sum(1)


def batch(step: int = 1) -> Batch:
    images = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Batch(images, Draws(0, step, 8))


def test_the_discriminator_sees_codes_and_codes_of_other_pictures() -> None:
    model = build_networks(RECIPES["vae"], channels=1)["generator"]
    judge = Seen()
    terms = DensityRatioObjective(judge, model)(batch())
    joint, product = judge.latents.chunk(2)
    mean, log_variance = model.posterior_of(batch().images)
    deviation = (0.5 * log_variance).exp()
    noise = Draws(0, 1, 8).normal("discriminator/posterior", 6)
    assert torch.allclose(joint, mean + noise * deviation, atol=1e-6)
    fresh = mean + Draws(0, 1, 8).normal("discriminator/product", 6) * deviation
    assert torch.allclose(product.sort(0).values, fresh.sort(0).values, atol=1e-6)
    assert not torch.isclose(product, fresh).all(0).any()
    assert not joint.requires_grad
    logits = judge.latents.sum(1)
    right = (logits[:8] > 0).sum() + (logits[8:] <= 0).sum()
    assert float(terms["accuracy"]) == float(right) / 16
    assert terms["loss"].item() == pytest.approx(density_ratio_loss(*logits.chunk(2)).item(), rel=1e-5)
    DensityRatioObjective(judge, model)(batch(step=2))
    assert not torch.equal(judge.latents.chunk(2)[1], product)


def test_each_side_moves_only_itself_and_the_discriminator_has_its_own_optimiser() -> None:
    loss = FactorVAELoss(discriminator_hidden=5, discriminator_layers=2)
    networks = build_networks(replace(RECIPES["vae"], loss=loss), channels=1)
    model, judge = networks["generator"], networks[DISCRIMINATOR]
    vae, discriminator = loss.updates(networks, 100)
    assert vae.optimizer is None
    assert (discriminator.optimizer.learning_rate, discriminator.optimizer.betas) == (1e-4, (0.5, 0.9))
    assert {id(p) for p in vae.objective.parameters()} == {id(p) for p in model.parameters()}
    assert {id(p) for p in discriminator.objective.parameters()} == {id(p) for p in judge.parameters()}
    vae.objective(batch())["loss"].backward()
    assert all(p.grad is None and p.requires_grad for p in judge.parameters())
    model.zero_grad()
    discriminator.objective(batch())["loss"].backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in judge.parameters())
