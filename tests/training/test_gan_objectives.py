"""The adversarial game against closed forms: losses, gradient penalties, and the generator's penalties."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import RECIPES
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models import Discriminator, EigenGAN, Recogniser, VanillaGAN
from disentangle.penalties import hessian_penalty, orojar
from disentangle.training.draws import Draws
from disentangle.training.networks import build_networks
from disentangle.training.objectives import Batch, GANLoss
from disentangle.training.objectives.adversarial import ADVERSARIAL, one_centred_penalty, zero_centred_penalties
from disentangle.training.objectives.gan import (
    DiscriminatorObjective,
    GeneratorObjective,
    binary_loss,
    steered_latents,
)

REAL = torch.tensor([2.0, 0.5, -1.0], dtype=torch.float64)
FAKE = torch.tensor([-3.0, 0.0, 1.0], dtype=torch.float64)
BATCH = 8


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
        ("wasserstein", (-3 + 0 + 1) / 3 - (2 + 0.5 - 1) / 3, -(-3 + 0 + 1) / 3),
        (
            "relativistic",
            (softplus(-5) + softplus(-0.5) + softplus(2)) / 3,
            (softplus(5) + softplus(0.5) + softplus(-2)) / 3,
        ),
    ],
)
def test_adversarial_losses_are_the_published_ones(name: str, discriminator: float, generator: float) -> None:
    loss = ADVERSARIAL[name]
    assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(discriminator, rel=1e-12)
    assert float(loss.generator(FAKE, REAL)) == pytest.approx(generator, rel=1e-12)
    assert loss.paired == (float(loss.generator(FAKE, REAL + 1)) != float(loss.generator(FAKE, REAL)))


def pictures(n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, 3, 3, generator=generator, dtype=torch.float64).requires_grad_()


def test_zero_centred_penalties_are_squared_gradients() -> None:
    real, fake = pictures(5, 1), pictures(4, 2)
    logits = 0.5 * torch.cat([real, 3 * fake]).square().sum(dim=(1, 2, 3))  # gradients x and 9 x
    r1, r2 = zero_centred_penalties(logits, real, fake)
    assert r1.item() == pytest.approx(float(real.detach().square().sum() / 5), rel=1e-12)
    assert r2.item() == pytest.approx(float(81 * fake.detach().square().sum() / 4), rel=1e-12)
    (slope,) = torch.autograd.grad(r2, fake)  # they are differentiable themselves
    torch.testing.assert_close(slope, 162 * fake.detach() / 4)


def test_the_one_centred_penalty_of_a_quadratic_logit() -> None:
    images = pictures(5, 1)
    penalty = one_centred_penalty(0.5 * images.square().sum(dim=(1, 2, 3)), images)
    norms = images.detach().flatten(1).norm(dim=1)
    assert penalty.item() == pytest.approx(float((norms - 1).square().mean()), rel=1e-12)


class Linear(nn.Module):
    """A discriminator whose gradient is the same everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(32 * 32, generator=torch.Generator().manual_seed(0)).double())

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight


def batch(step: int = 1) -> Batch:
    images = torch.rand(BATCH, 1, 32, 32, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    return Batch(images, Draws(0, step, BATCH, dtype=torch.float64))


def gan(kind: str = "relativistic") -> tuple[nn.Module, nn.Module]:
    networks = build_networks(RECIPES[kind], channels=1)
    return networks["generator"].double(), networks["discriminator"].double()


def test_penalties_of_a_linear_discriminator_come_when_they_are_due() -> None:
    generator, _ = gan()
    linear = Linear()
    loss = GANLoss(
        adversarial="relativistic", r1_weight=3.0, r2_weight=5.0, r1_every=2, gp_weight=7.0, gp_every=3, augment=0.0
    )
    square = float(linear.weight.detach().square().sum())
    values = {"r1": square, "r2": square, "gp": (math.sqrt(square) - 1) ** 2}
    for step, due in ((1, {"r1": 3, "r2": 5, "gp": 7}), (2, {}), (3, {"r1": 3, "r2": 5}), (4, {"gp": 7})):
        terms = DiscriminatorObjective(linear, generator, loss)(batch(step))
        fake = generator.synthesize(batch(step).draws.normal("discriminator/latents", generator.latent_size))
        adversarial = nn.functional.softplus(linear(fake) - linear(batch().images)).mean()
        assert terms.keys() - {"real_logit", "fake_logit"} == {"loss", "adversarial", *due}
        assert terms["adversarial"].item() == pytest.approx(float(adversarial), rel=1e-9)
        for name in due:
            assert terms[name].item() == pytest.approx(values[name], rel=1e-9)
        expected = float(adversarial) + sum(weight * values[name] for name, weight in due.items())
        assert terms["loss"].item() == pytest.approx(expected, rel=1e-9)


def test_r2_is_taken_at_generated_pictures_and_the_gradient_penalty_between() -> None:
    class Quadratic(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach())
            return 0.5 * images.square().sum(dim=(1, 2, 3))

    seen: list[Tensor] = []
    generator, _ = gan()
    loss = GANLoss(r1_weight=0.0, r2_weight=1.0, r1_every=1, gp_weight=1.0, augment=0.0)
    terms = DiscriminatorObjective(Quadratic(), generator, loss)(batch())
    real, fake = seen[0].chunk(2)
    assert torch.equal(real, batch().images)
    assert terms["r2"].item() == pytest.approx(float(fake.square().sum() / BATCH), rel=1e-12)
    share = (seen[1] - real) / (fake - real)
    assert torch.allclose(share, share[:, :1, :1, :1].expand_as(share), rtol=0, atol=1e-9), (
        "on the line between the two"
    )
    assert share.min() >= 0
    assert share.max() <= 1
    assert len(share[:, 0, 0, 0].unique()) == BATCH


@pytest.mark.parametrize("kind", ["gan", "relativistic", "vp"])
def test_each_side_of_the_game_moves_only_itself(kind: str) -> None:
    networks = {name: network.double() for name, network in build_networks(RECIPES[kind], channels=1).items()}
    discriminator, generator = RECIPES[kind].loss.updates(networks, 100)
    owned = {"discriminator": {"discriminator"}, "generator": {"generator", "recogniser"} & set(networks)}
    for update in (discriminator, generator):
        for network in networks.values():
            network.zero_grad()
        update.objective(batch())["loss"].backward()
        trained = {id(parameter) for parameter in update.objective.parameters()}
        for name, network in networks.items():
            mine = name in owned[update.name]
            assert {id(parameter) in trained for parameter in network.parameters()} == {mine}
            assert all(parameter.requires_grad for parameter in network.parameters())
            gradients = [parameter.grad for parameter in network.parameters()]
            # Not each of them: a logit's bias that real and generated pictures share may cancel.
            moved = [g is not None and bool(g.abs().sum() > 0) for g in gradients]
            assert (sum(moved) >= len(moved) - 1) if mine else not any(moved), (update.name, name)


def test_the_relativistic_generator_is_paired_with_the_real_pictures() -> None:
    generator, discriminator = gan()
    terms = GeneratorObjective(generator, discriminator, GANLoss(adversarial="relativistic", augment=0.0))(batch())
    fake = generator.synthesize(batch().draws.normal("generator/latents", generator.latent_size))
    expected = nn.functional.softplus(discriminator(batch().images) - discriminator(fake)).mean()
    assert terms["loss"].item() == pytest.approx(float(expected), rel=1e-9)
    assert terms.keys() == {"loss", "adversarial"}


@pytest.mark.parametrize("kind", ["gan", "relativistic"])
@pytest.mark.parametrize(("name", "penalty"), [("hessian", hessian_penalty), ("orojar", orojar)])
def test_penalties_are_of_the_first_activations_in_what_is_steered(kind: str, name: str, penalty) -> None:
    generator, discriminator = gan(kind)
    loss = GANLoss(augment=0.0, penalty=name, penalty_weight=0.3, penalty_layers=3, penalty_samples=3, penalty_every=2)
    terms = GeneratorObjective(generator, discriminator, loss)(batch())
    draws = batch().draws
    latents, steered = draws.normal("generator/latents", generator.latent_size), steered_latents(generator)
    signs = (draws.uniform("penalty/directions", 3, steered) >= 0.5).double() * 2 - 1
    expected = penalty(
        lambda codes: generator.activations(torch.cat([codes, latents[:, steered:]], dim=1), 3),
        latents[:, :steered],
        directions=signs.transpose(0, 1),
    )
    assert terms[name].item() == pytest.approx(float(expected), rel=1e-9)
    assert terms["loss"].item() == pytest.approx(float(terms["adversarial"] + 0.3 * terms[name]), rel=1e-12)
    assert name not in GeneratorObjective(generator, discriminator, loss)(batch(2))
    with torch.autocast("cpu", torch.bfloat16):  # the differences stay exact
        lower = GeneratorObjective(generator, discriminator, loss)(batch())
    assert lower[name].item() == pytest.approx(float(expected), rel=1e-6)


def test_steered_latents_leave_eigengans_noise_out() -> None:
    assert steered_latents(EigenGAN(size=32, rank=3, noise=7, base_channels=2)) == 9
    assert steered_latents(VanillaGAN(size=32, latent_size=5, base_channels=2)) == 5


def test_the_weight_of_a_penalty_starts_late_and_rises() -> None:
    loss = GANLoss(penalty="hessian", penalty_weight=8.0, penalty_start=10, penalty_warmup=4)
    assert [loss.penalty_weight_at(step) for step in (1, 10, 11, 12, 14, 99)] == [0, 0, 2, 4, 8, 8]
    assert [GANLoss(penalty="orojar", penalty_start=2).penalty_weight_at(step) for step in (2, 3)] == [0, 1e-11]
    assert GANLoss(penalty="vp").penalty_weight_at(1) == 0.1
    assert GANLoss(penalty_weight=3.0).penalty_weight_at(1) == 0
    generator, discriminator = gan()
    objective = GeneratorObjective(generator, discriminator, replace(loss, augment=0.0))
    assert "hessian" not in objective(batch(10))
    terms = objective(batch(12))
    assert terms["loss"].item() == pytest.approx(float(terms["adversarial"] + 4 * terms["hessian"]), rel=1e-12)


def test_vp_moves_one_latent_of_each_and_asks_which() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    class Spy(Recogniser):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            seen.append((first, second))
            return super().forward(first, second)

    generator, discriminator = gan()
    moves: list[Tensor] = []
    generator.register_forward_pre_hook(lambda _, inputs: moves.append(inputs[0]))
    recogniser = Spy(32, 1, 4, base_channels=2, hidden=4).double()
    loss = GANLoss(augment=0.0, penalty="vp", penalty_weight=0.5, penalty_start=3)
    terms = GeneratorObjective(generator, discriminator, loss, recogniser)(batch())
    draws = batch().draws
    latents = draws.normal("generator/latents", 4)
    which = (draws.uniform("vp/latent") * 4).floor().long()
    assert len(which.unique()) > 1
    expected = latents.clone()
    expected[torch.arange(BATCH), which] += draws.normal("vp/step", 1)[:, 0]
    assert torch.equal(moves[0], expected)
    assert draws.normal("vp/step", 1).min() < 0, "steps go both ways"
    first, second = seen[0]
    assert torch.allclose(first, generator.synthesize(latents), rtol=0, atol=1e-12)
    assert torch.allclose(second, generator.synthesize(moves[0]), rtol=0, atol=1e-12)
    logits = recogniser(first, second)
    expected = (logits.logsumexp(1) - logits[torch.arange(BATCH), which]).mean()
    assert terms["vp"].item() == pytest.approx(float(expected), rel=1e-9)
    assert terms["vp_accuracy"].item() == pytest.approx(float((logits.argmax(1) == which).double().mean()))
    assert terms["loss"].item() == float(terms["adversarial"])  # not yet
    later = GeneratorObjective(generator, discriminator, loss, recogniser)(batch(4))
    assert later["loss"].item() == pytest.approx(float(later["adversarial"] + 0.5 * later["vp"]), rel=1e-12)


def test_the_binary_loss_is_a_mean_over_pictures_and_latents() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], dtype=torch.float64)
    wrong = [softplus(2.0) + softplus(-1.0) + softplus(-0.5), softplus(0.0) + softplus(-3.0) + softplus(-2.0)]
    got = binary_loss(logits, torch.tensor([2, 1]))  # -log σ(x) of the one that is, -log σ(-x) of the others
    assert got.item() == pytest.approx(sum(wrong) / 6, rel=1e-12)
    assert binary_loss(torch.zeros(5, 7), torch.arange(5)).item() == pytest.approx(math.log(2), rel=1e-6)


def test_vp_takes_the_loss_and_the_recogniser_that_the_recipe_names() -> None:
    loss = replace(RECIPES["vp"].loss, recogniser_loss="binary", recogniser_channels=3, recogniser_hidden=5)
    networks = build_networks(replace(RECIPES["vp"], loss=loss), channels=1)
    generator, discriminator, recogniser = (networks[n].double() for n in ("generator", "discriminator", "recogniser"))
    shapes = [tuple(p.shape) for p in recogniser.parameters() if p.ndim > 1]
    steered = steered_latents(generator)
    assert shapes == [(3, 1, 4, 4), (3, 3, 4, 4), (3, 3, 4, 4), (5, 48), (steered, 5)]
    terms = GeneratorObjective(generator, discriminator, loss, recogniser)(batch())
    draws = batch().draws
    latents = draws.normal("generator/latents", generator.latent_size)
    which = (draws.uniform("vp/latent") * steered).long()
    moved = latents.scatter_add(1, which[:, None], draws.normal("vp/step", 1))
    logits = recogniser(generator(latents), generator(moved))
    target = torch.zeros_like(logits).scatter(1, which[:, None], 1.0)
    expected = -(target * logits.sigmoid().log() + (1 - target) * (1 - logits.sigmoid()).log()).mean()
    assert terms["vp"].item() == pytest.approx(float(expected), rel=1e-9)
    assert build_networks(RECIPES["vp"], channels=1)["recogniser"].config["base_channels"] == 32


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (GANLoss(recogniser_channels=0), "loss.recogniser_channels must be at least 1, got 0"),
        (GANLoss(recogniser_hidden=0), "loss.recogniser_hidden must be at least 1, got 0"),
        (GANLoss(r2_weight=-1.0), "loss.r2_weight must be at least 0 and finite, got -1.0"),
        (GANLoss(gp_weight=math.inf), "loss.gp_weight must be at least 0 and finite"),
        (GANLoss(penalty_weight=math.nan), "loss.penalty_weight"),
        (GANLoss(r1_every=0), "loss.r1_every must be at least 1, got 0"),
        (GANLoss(gp_every=0), "loss.gp_every must be at least 1"),
        (GANLoss(penalty_samples=1), "loss.penalty_samples must be at least 2, got 1"),
        (GANLoss(penalty_start=-1), "loss.penalty_start must be at least 0, got -1"),
        (GANLoss(penalty_epsilon=0.0), "loss.penalty_epsilon must be above 0 and finite, got 0.0"),
        (GANLoss(augment=1.5), "loss.augment is a probability, between 0 and 1, got 1.5"),
        (GANLoss(penalty="vp", penalty_every=2), "loss.penalty_every must be 1 for vp"),
    ],
)
def test_settings_that_make_no_sense_are_refused(loss: GANLoss, words: str) -> None:
    GANLoss().check()
    with pytest.raises(UserError, match=words):
        loss.check()


def test_a_lazy_penalty_equals_the_plain_one_on_a_network() -> None:
    generator, discriminator = gan("gan")
    assert isinstance(discriminator, Discriminator)
    loss = GANLoss(r1_weight=10.0, r1_every=4, augment=0.0)
    terms = DiscriminatorObjective(discriminator, generator, loss)(batch())
    images = batch().images.requires_grad_()
    latents = batch().draws.normal("discriminator/latents", generator.latent_size)
    plain = ADVERSARIAL["hinge"].discriminator(discriminator(images), discriminator(generator.synthesize(latents)))
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images)
    expected = plain + 10 * gradient.square().sum() / BATCH
    assert terms["loss"].item() == pytest.approx(float(expected), rel=1e-9)
