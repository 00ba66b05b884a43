"""The objectives of QLAE and Tripod against closed forms and independent references."""

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from tiny import RECIPES, make_trainer
from torch import Tensor

from disentangle.errors import UserError
from disentangle.training.draws import Draws
from disentangle.training.networks import build_networks
from disentangle.training.objectives import Batch, QLAELoss, TripodLoss
from disentangle.training.objectives.quantized import (
    QLAEObjective,
    TripodObjective,
    commitment_loss,
    curvatures,
    multi_information,
    normalized_hessian_penalty,
    pixel_loss,
    quantization_loss,
    silverman,
)


def points(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_multi_information_is_the_mean_of_log_density_ratios() -> None:
    z, joint, marginal = points(7, 3), torch.tensor([0.3, 0.5, 2.0]).double(), torch.tensor([1.0, 0.2, 0.7]).double()
    total = 0.0
    for i in range(7):
        kernels = [sum(norm.logpdf(z[i, k], z[j, k], joint[k]) for k in range(3)) for j in range(7)]
        total += logsumexp(kernels) - math.log(7)
        for k in range(3):
            total -= logsumexp([norm.logpdf(z[i, k], z[j, k], marginal[k]) for j in range(7)]) - math.log(7)
    assert float(multi_information(z, joint, marginal)) == pytest.approx(total / 7, rel=1e-12)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_multi_information_of_a_gaussian(correlation: float) -> None:
    """With bandwidth h, the densities of a large sample of N(0, S) tend to N(0, S + h²)."""
    h = torch.tensor([0.4, 0.8], dtype=torch.float64)
    covariance = torch.tensor([[1.0, 2 * correlation], [2 * correlation, 4.0]], dtype=torch.float64)
    sample = points(1_500, 2) @ torch.linalg.cholesky(covariance).mT
    smooth = covariance + torch.diag(h.square())
    joint = torch.distributions.MultivariateNormal(torch.zeros(2).double(), smooth).log_prob(sample)
    single = torch.distributions.Normal(0, smooth.diagonal().sqrt()).log_prob(sample).sum(1)
    variances = smooth.diagonal()
    expected = 0.5 * (variances.log().sum() - torch.logdet(smooth))
    expected += 0.5 * ((covariance.diagonal() / variances).sum() - torch.trace(torch.linalg.solve(smooth, covariance)))
    error = float((joint - single).std() / math.sqrt(1_500))
    got = multi_information(sample, h, h)
    assert abs(float(got - expected)) < 3 * error + 0.02  # each point is in its own density


def test_independent_codes_share_nothing_and_copies_much() -> None:
    codes = torch.tensor(list(product(range(5), range(5))), dtype=torch.float64)  # a full grid is independent exactly
    copies = codes[:, :1].expand(-1, 2)
    width = silverman(25, 2) * codes.std(0, correction=0)
    assert abs(float(multi_information(codes, width, width))) < 1e-12
    assert float(multi_information(copies, width, width)) > 0.3
    spread = codes.std(0, correction=0)
    assert float(multi_information(copies, width, spread)) > float(multi_information(codes, width, spread)) + 0.3


def test_silverman_is_the_rule() -> None:
    assert silverman(64, 1) == pytest.approx((4 / (3 * 64)) ** 0.2, rel=1e-12)
    assert silverman(64, 12) == pytest.approx((4 / 14) ** (1 / 16) * 64 ** (-1 / 16), rel=1e-12)


SIGNS = torch.tensor(list(product([-1.0, 1.0], repeat=2)), dtype=torch.float64)
# Points of equal weight with the moments of a standard normal up to the fourth order: the origin, and a pentagon.
ANGLES = torch.arange(5, dtype=torch.float64) * 2 * math.pi / 5
NORMAL = torch.cat([torch.zeros(5, 2).double(), 2 * torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)])


def hessian_penalty(hessians: list[Tensor], unit: Tensor) -> float:
    """The penalty of layers of quadratic forms ``(m, 2, 2)``, all signs and a cubature for directions."""

    def layers(z: Tensor) -> list[Tensor]:
        return [0.5 * torch.einsum("ni,mij,nj->nm", z, h, z) + z.sum(1, keepdim=True) for h in hessians]

    signs, normal = (v.repeat_interleave(m, 0).expand(3, -1, -1) * unit for v, m in ((SIGNS, 5), (NORMAL, 2)))
    found = curvatures(layers, points(3, 2), signs, normal, epsilon=0.1)
    penalties = [float(normalized_hessian_penalty(found, ratio)) for ratio in ("batch", "picture")]
    assert penalties[0] == pytest.approx(penalties[1], rel=1e-8, abs=1e-12), "every picture has the same curvature"
    return penalties[0]


def test_the_hessian_penalty_is_the_share_of_mixed_curvature() -> None:
    hessians = [torch.randn(m, 2, 2, generator=torch.Generator().manual_seed(m)).double() for m in (1, 4)]
    hessians = [h + h.mT for h in hessians]
    unit = torch.tensor([0.5, 2.0], dtype=torch.float64)
    scaled = [h * unit[:, None] * unit for h in hessians]
    expected = sum(float(2 * h[:, 0, 1].square().sum() / h.square().sum()) for h in scaled)
    assert hessian_penalty(hessians, unit) == pytest.approx(expected, rel=1e-8)


def test_inputs_that_act_alone_cost_nothing() -> None:
    unit = torch.ones(2, dtype=torch.float64)
    diagonal = torch.diag(torch.tensor([3.0, -1.0])).double()[None]
    assert hessian_penalty([diagonal], unit) == pytest.approx(0, abs=1e-9)
    assert hessian_penalty([torch.zeros(2, 2, 2).double()], unit) == pytest.approx(0, abs=1e-9)
    assert hessian_penalty([torch.ones(2, 2).fill_diagonal_(0).double()[None]], unit) == pytest.approx(1, rel=1e-8)


def test_the_ratio_is_of_averages_or_the_average_of_ratios() -> None:
    layers = [
        (torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0])),
        (torch.tensor([1.0, 0.0]), torch.tensor([1.0, 9.0])),
    ]
    assert float(normalized_hessian_penalty(layers, "batch")) == pytest.approx(2 / 3 + 1 / 10)
    assert float(normalized_hessian_penalty(layers, "picture")) == pytest.approx(5 / 8 + 1 / 2)


def test_quantization_moves_the_values_and_commitment_the_codes() -> None:
    codes, values = points(4, 3).requires_grad_(), points(4, 3, seed=1).requires_grad_()
    difference = (values - codes).detach()
    for loss, moved, still, sign in (
        (quantization_loss, values, codes, 1),
        (commitment_loss, codes, values, -1),
    ):
        value = loss(codes, values)
        assert float(value.detach()) == pytest.approx(float(difference.square().mean()), rel=1e-12)
        gradient, none = torch.autograd.grad(value, (moved, still), allow_unused=True)
        assert none is None
        assert torch.allclose(gradient, sign * 2 * difference / 12, rtol=1e-12)


def test_the_pixel_loss_is_a_mean() -> None:
    images, logits = points(3, 8).tanh().view(3, 2, 2, 2), points(3, 8, seed=1).view(3, 2, 2, 2)
    p, x = torch.sigmoid(logits), (images + 1) / 2
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).mean()
    assert float(pixel_loss(logits, images, "bernoulli")) == pytest.approx(float(expected), rel=1e-12)


def batch(step: int = 1) -> Batch:
    images = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Batch(images.double(), Draws(0, step, 8, dtype=torch.float64))


def test_qlae_adds_its_terms_and_moves_its_values_by_quantization_only() -> None:
    model = build_networks(RECIPES["qlae"], channels=1)["generator"].double()
    for loss in (QLAELoss(quantization=0.3, commitment=0.7), QLAELoss(quantization=0.0, commitment=0.7)):
        model.zero_grad()
        terms = QLAEObjective(model, loss)(batch())
        expected = terms["reconstruction"] + loss.quantization * terms["quantization"] + 0.7 * terms["commitment"]
        assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-12)
        terms["loss"].backward()
        assert (model.codebook.grad.abs().sum() > 0) == (loss.quantization > 0)
        assert model.encoder[0].weight.grad.abs().sum() > 0
    latents = model.encode(batch().images).detach()
    assert terms["reconstruction"].item() == pytest.approx(
        pixel_loss(model.logits(latents), batch().images, "bernoulli").item(), rel=1e-9
    )


def test_tripod_adds_its_terms_on_the_steps_that_they_are_due() -> None:
    model = build_networks(RECIPES["tripod"], channels=1)["generator"].double()
    loss = TripodLoss(multi_information=0.5, hessian=0.25, hessian_every=3, marginals="silverman")
    for step, weight in ((1, 0.75), (2, 0.0), (4, 0.75)):
        terms = TripodObjective(model, loss)(batch(step))
        assert ("hessian" in terms) == (weight > 0)
        expected = terms["reconstruction"] + 0.5 * terms["multi_information"] + weight * terms.get("hessian", 0)
        assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-12)
    codes = model.codes_of(batch().images).detach()
    spread = (codes.var(0, correction=0) + 1e-12).sqrt()
    wide = silverman(8, model.latent_size) * spread
    snapped = model.snap(codes)
    assert terms["multi_information"].item() == pytest.approx(float(multi_information(snapped, wide, wide)), rel=1e-9)
    published = TripodObjective(model, TripodLoss())(batch(2))["multi_information"]
    assert published.item() == pytest.approx(float(multi_information(snapped, wide, spread)), rel=1e-9)


@pytest.mark.parametrize("ratio", ["batch", "picture"])
def test_the_hessian_term_is_the_published_one_on_every_layer_but_the_picture(ratio: str) -> None:
    """Written out picture by picture, with the same draws: of the snapped codes, in steps of each code's spread."""
    model = build_networks(RECIPES["tripod"], channels=1)["generator"].double()
    loss = TripodLoss(ratio=ratio, samples=3, epsilon=0.2)
    got = TripodObjective(model, loss)(batch())["hessian"].item()
    with torch.no_grad():
        codes = model.codes_of(batch().images)
        spread = (codes - codes.mean(0)).square().mean(0).add(1e-12).sqrt()
        draws = batch().draws
        signs = torch.where(draws.uniform("hessian/rademacher", 3, model.latent_size) < 0.5, -1.0, 1.0).double()
        normal = draws.normal("hessian/gaussian", 3, model.latent_size)
        variances: list[list[list[float]]] = []  # of each picture and kind of direction, layer by layer
        for i, z in enumerate(model.snap(codes)):
            variances.append([])
            for directions in (signs[i], normal[i]):
                steps = 0.2 * directions * spread
                here = model.synthesis.features(z[None])
                there, back = (model.synthesis.features(z + sign * steps) for sign in (1, -1))
                assert here[-1].shape == batch().images[:1].shape, "the last layer is the picture"
                seconds = [(a - 2 * h + b) / 0.2**2 for a, h, b in zip(there[:-1], here[:-1], back[:-1], strict=True)]
                layers = [(v - v.mean(0)).square().mean(0).mean().item() for v in seconds]
                variances[-1].append(layers)
    assert len(variances[0][0]) == 3
    expected = 0.0
    for mixed, every in zip(*torch.tensor(variances, dtype=torch.float64).permute(1, 2, 0), strict=True):
        ratios = mixed / (every + 1e-10) if ratio == "picture" else mixed.mean() / (every.mean() + 1e-10)
        expected += float(ratios.mean())
    assert got == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("ratio", ["batch", "picture"])
def test_the_hessian_penalty_of_a_batch_leaves_the_codes_alone(ratio: str) -> None:
    model = build_networks(RECIPES["tripod"], channels=1)["generator"].double()
    hessian = TripodObjective(model, TripodLoss(ratio=ratio))(batch())["hessian"]
    weights = [model.encoder[0].weight, model.synthesis.blocks[0].feature_up.weight]
    encoder, decoder = torch.autograd.grad(hessian, weights, allow_unused=True)
    assert decoder.abs().sum() > 0
    assert (encoder is not None and bool(encoder.abs().sum() > 0)) is (ratio == "picture")


def test_second_differences_keep_their_digits_under_autocast() -> None:
    model = build_networks(RECIPES["tripod"], channels=1)["generator"]
    images = Batch(batch().images.float(), Draws(0, 1, 8))
    terms = TripodObjective(model, TripodLoss())(images)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = TripodObjective(model, TripodLoss())(images)
    assert narrow["hessian"].item() == pytest.approx(terms["hessian"].item(), rel=0.05)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (QLAELoss(quantization=-1), "loss.quantization must be at least 0"),
        (QLAELoss(commitment=math.inf), "loss.commitment must be at least 0 and finite"),
        (TripodLoss(multi_information=-1), "loss.multi_information"),
        (TripodLoss(hessian=math.nan), "loss.hessian"),
        (TripodLoss(hessian_every=0), "loss.hessian_every must be at least 1, got 0"),
        (TripodLoss(samples=1), "loss.samples must be at least 2"),
        (TripodLoss(epsilon=0), "loss.epsilon must be above 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(loss: QLAELoss | TripodLoss, words: str) -> None:
    with pytest.raises(UserError, match=words):
        loss.check()


@pytest.mark.parametrize("kind", ["qlae", "tripod"])
def test_a_training_begins_with_the_mean_intensity_of_its_pictures(tmp_path: Path, kind: str) -> None:
    trainer = make_trainer(tmp_path, RECIPES[kind])
    images = trainer.pictures.batch(torch.arange(len(trainer.pictures)), torch.device("cpu"), torch.float32)
    bias = trainer.product.synthesis.to_image.bias
    assert torch.sigmoid(bias).item() == pytest.approx(float((images.mean() + 1) / 2), abs=0.02)
    assert torch.equal(trainer.ema.model.synthesis.to_image.bias, bias)
