"""What the Gaussian VAEs make of their codes: closed forms, Monte Carlo, and shares of a batch against the whole."""

import threading
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from tiny import RECIPES
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models import DIPVAE, AnnealedVAE, BetaTCVAE, BetaVAE, FactorVAE
from disentangle.training.draws import Draws
from disentangle.training.networks import build_networks
from disentangle.training.objectives import (
    AnnealedVAELoss,
    Batch,
    BetaTCVAELoss,
    BetaVAELoss,
    DIPVAELoss,
    FactorVAELoss,
    factor,
    vae,
)
from disentangle.training.objectives.dip import code_covariance, distance_to_identity
from disentangle.training.objectives.vae import Codes, GaussianVAELoss, gaussian_kl

Trained = tuple[dict[str, Tensor], dict[str, list[Tensor]]]
SMALL = {"discriminator_hidden": 6, "discriminator_layers": 2}
LOSSES = {
    "beta": (BetaVAELoss(beta=3.0), BetaVAE),
    "annealed": (AnnealedVAELoss(gamma=5.0, capacity=10.19, capacity_steps=0), AnnealedVAE),
    "factor": (FactorVAELoss(gamma=5.0, **SMALL), FactorVAE),
    "tc-weighted": (BetaTCVAELoss(alpha=2.0, beta=5.0, gamma=0.5), BetaTCVAE),
    "tc-stratified": (BetaTCVAELoss(sampling="stratified"), BetaTCVAE),
    "dip-i": (DIPVAELoss(variant="i"), DIPVAE),
    "dip-ii": (DIPVAELoss(variant="ii", lambda_d=3.0), DIPVAE),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_codes(n: int = 6, d: int = 3) -> Codes:
    mean, log_variance = 2 * normal(n, d), normal(n, d, seed=1)
    return Codes(mean, log_variance, mean + normal(n, d, seed=2) * (0.5 * log_variance).exp())


def test_kl_is_the_mean_of_what_the_densities_say() -> None:
    mean, log_variance = torch.tensor([0.7, -1.5, 0.0]).double(), torch.tensor([0.4, -2.0, 1.0]).double()
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    latents = mean + normal(100_000, 3) * posterior.stddev
    samples = posterior.log_prob(latents) - torch.distributions.Normal(0.0, 1.0).log_prob(latents)
    error = samples.std(0) / len(samples) ** 0.5
    assert error.max() < 0.01
    assert ((samples.mean(0) - gaussian_kl(mean, log_variance)).abs() < 4 * error).all()


@pytest.mark.parametrize(("step", "capacity"), [(1, 2.5), (2, 5.0), (4, 10.0), (9, 10.0)])
def test_the_capacity_grows_and_the_distance_from_it_is_penalised(step: int, capacity: float) -> None:
    codes, loss = some_codes(), AnnealedVAELoss(gamma=3.0, capacity=10.0, capacity_steps=4)
    terms = loss.regularise(codes, step)
    kl = float(codes.kl.sum() / 6)
    assert 5 < kl < 10, "the test is of no use: it needs distances of both signs"
    assert float(terms["capacity"]) == capacity
    assert float(terms["regulariser"]) == pytest.approx(3 * abs(kl - capacity), rel=1e-12)


@pytest.mark.parametrize("variant", ["i", "ii"])
def test_dip_takes_the_covariance_over_the_pictures(variant: str) -> None:
    mean = normal(4, 4) * torch.tensor([3.0, 1.0, 0.3, 0.1]) + torch.tensor([5.0, 0.0, -2.0, 1.0])
    log_variance = normal(4, 4, seed=1)
    second = variant == "ii"
    expected, wrong = torch.cov(mean.mT, correction=0), torch.cov(mean, correction=0)
    added = torch.diag(log_variance.exp().mean(0)) if second else torch.zeros(4, 4)
    covariance = code_covariance(mean, log_variance if second else None)
    assert torch.allclose(covariance, expected + added, rtol=1e-12, atol=1e-14)
    assert (expected - wrong).norm() > expected.norm() / 2, "the test is of no use: both axes give the same"

    off = sum(float(covariance[i, j]) ** 2 for i in range(4) for j in range(4) if i != j)
    on = sum((float(covariance[i, i]) - 1) ** 2 for i in range(4))
    codes = Codes(mean, log_variance, mean)
    terms = DIPVAELoss(variant=variant, lambda_od=2.0).regularise(codes, 1)
    assert (float(terms["off_diagonal"]), float(terms["diagonal"])) == pytest.approx((off, on), rel=1e-12)
    kl = float(codes.kl.sum() / 4)
    assert float(terms["regulariser"]) == pytest.approx(kl + 2 * off + (2 if second else 20) * on, rel=1e-12)
    terms = DIPVAELoss(variant=variant, lambda_od=2.0, lambda_d=0.0).regularise(codes, 1)
    assert float(terms["regulariser"]) == pytest.approx(kl + 2 * off, rel=1e-12)


def test_a_covariance_is_as_far_from_the_identity_as_its_entries() -> None:
    off, on = distance_to_identity(torch.tensor([[3.0, -0.5], [-0.5, 0.0]]))
    assert (float(off), float(on)) == (0.5, 5.0)


def test_codes_that_covary_as_they_should_cost_nothing() -> None:
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    terms = DIPVAELoss(variant="i").regularise(Codes(corners, torch.zeros(4, 2), corners), 1)
    assert float(terms["off_diagonal"]) == float(terms["diagonal"]) == 0
    half = Codes(corners * 0.5**0.5, torch.full((4, 2), 0.5).log(), corners)
    assert float(DIPVAELoss(variant="ii").regularise(half, 1)["diagonal"]) == pytest.approx(0, abs=1e-12)


def networks_of(loss: GaussianVAELoss) -> dict[str, nn.Module]:
    networks = build_networks(replace(RECIPES["vae"], loss=loss), channels=1)
    networks["generator"].posterior[2].weight.data.mul_(50)  # so that codes tell pictures apart
    return {name: network.double() for name, network in networks.items()}


def trained(loss: GaussianVAELoss, networks: dict[str, nn.Module], rank: int = 0, world: int = 1) -> Trained:
    """The terms of all updates of a batch's share, in float64, and the parameters that each update trains."""
    images = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images = (2 * images - 1) * torch.linspace(0, 1, 8).view(8, 1, 1, 1)  # the second half has more to tell
    draws = Draws(0, 3, 8, rank, world, dtype=torch.float64)
    terms, weights = {}, {}
    for update in loss.updates(networks, pictures=20):
        found = update.objective(Batch(draws.share(images), draws))
        terms |= {f"{update.name}/{name}": value for name, value in found.items()}
        weights[update.name] = list(update.objective.parameters())
    return terms, weights


@pytest.mark.parametrize("kind", sorted(LOSSES))
def test_the_parts_are_reported_and_every_weight_learns(kind: str) -> None:
    loss, model = LOSSES[kind]
    recipe = replace(RECIPES["vae"], loss=loss)
    recipe.check()
    assert type(recipe).from_dict(recipe.to_dict()) == recipe
    networks = networks_of(loss)
    assert type(networks["generator"]) is model
    terms, weights = trained(loss, networks)
    values = {name: value.item() for name, value in terms.items()}
    assert values["vae/loss"] == pytest.approx(values["vae/reconstruction"] + values["vae/regulariser"], rel=1e-12)
    assert values["vae/kl"] == pytest.approx(sum(values[f"vae/kl/{i}"] for i in range(6)), rel=1e-12)
    assert all(value.ndim == 0 and torch.isfinite(value) for value in terms.values())
    for name, parameters in weights.items():
        gradients = torch.autograd.grad(terms[f"{name}/loss"], parameters)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


class Together:
    """Stands in for the exchange between processes, which are threads here: their shares make one graph."""

    def __init__(self, world: int) -> None:
        self.barrier = threading.Barrier(world, timeout=60)
        self.local = threading.local()
        self.shares: dict[int, Tensor] = {}

    def whole(self, share: Tensor) -> Tensor:
        self.shares[self.local.rank] = share
        self.barrier.wait()
        rows = torch.cat([self.shares[rank] for rank in sorted(self.shares)])
        self.barrier.wait()
        return rows

    def run(self, task: Callable[[int], Trained], world: int) -> list[Trained]:
        results: dict[int, Trained] = {}

        def work(rank: int) -> None:
            self.local.rank = rank
            results[rank] = task(rank)

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [results[rank] for rank in range(world)]


@pytest.mark.parametrize("kind", sorted(LOSSES))
def test_shares_of_a_batch_lose_what_the_whole_does(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a distributed wrapper makes of the gradients, the average over processes, is that of the whole batch."""
    loss = LOSSES[kind][0]
    terms, weights = trained(loss, networks_of(loss))
    together, networks = Together(2), [networks_of(loss) for _ in range(2)]
    modules: tuple[ModuleType, ...] = (vae, factor)
    for module in modules:
        monkeypatch.setattr(module, "whole", together.whole)
    shares = together.run(lambda rank: trained(loss, networks[rank], rank, 2), 2)
    if isinstance(loss, AnnealedVAELoss):
        low, high = sorted(share[0]["vae/kl"].item() for share in shares)
        assert low < loss.capacity < high, "the test is of no use: it needs a capacity between those of the shares"
    for name, value in terms.items():
        mean = sum(share[0][name].item() for share in shares) / 2
        assert mean == pytest.approx(value.item(), rel=1e-10), name
    for update, parameters in weights.items():
        expected = torch.autograd.grad(terms[f"{update}/loss"], parameters)
        # One backward pass through both: the gradient of a share is the sum of what both make of it.
        loss_of_all = sum(share[0][f"{update}/loss"] for share in shares) / 2
        both = [torch.autograd.grad(loss_of_all, share[1][update], retain_graph=True) for share in shares]
        for one, first, second in zip(expected, *both, strict=True):
            assert torch.allclose(first + second, one, rtol=0, atol=1e-9 * (1 + float(one.abs().max())))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (BetaVAELoss(beta=-1.0), r"loss\.beta must be at least 0 and finite, got -1"),
        (AnnealedVAELoss(capacity=float("inf")), r"loss\.capacity must be at least 0 and finite"),
        (FactorVAELoss(gamma=float("nan")), r"loss\.gamma must be"),
        (FactorVAELoss(discriminator_layers=0), r"loss\.discriminator_layers must be at least 1, got 0"),
        (BetaTCVAELoss(gamma=-0.1), r"loss\.gamma must be"),
        (DIPVAELoss(lambda_d=-2.0), r"loss\.lambda_d must be"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(loss: GaussianVAELoss, words: str) -> None:
    with pytest.raises(UserError, match=words):
        loss.check()
