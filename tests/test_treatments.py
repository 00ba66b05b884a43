"""Each treatment by its formula, and in a small loop: that it changed what it says it changes."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.linalg import polar
from disentangle.subspace import SubspaceLayer
from disentangle.treatments import (
    Treatment,
    TreatmentConfig,
    bind,
    nearest_orthogonal_gradient,
    optimal_learning_rate,
    orthogonal_loss,
)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Toy(nn.Module):
    """Two Pre-SVD weights, a dense one and a transposed convolution's, and a parameter that is neither."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = SubspaceLayer(16, 3, torch.Generator().manual_seed(1))
        self.conv = nn.ConvTranspose2d(1, 5, 4)
        self.basis_without_gradient = nn.Parameter(torch.zeros(2, 3), requires_grad=False)
        self.unused = nn.Parameter(torch.zeros(2, 3))
        self.double()
        with torch.no_grad():
            self.conv.weight.copy_(0.1 * gaussian(1, 5, 4, 4, seed=2))
            self.conv.bias.zero_()
            self.layer.basis.add_(0.3 * gaussian(3, 16, seed=3))

    def loss(self, step: int = 0) -> Tensor:
        features = self.layer(gaussian(8, 3, seed=10 + step)).reshape(8, 1, 4, 4)
        return (self.conv(features) - 1).square().mean()


BOUND = ("layer.basis", "conv.weight")


def started(*names: str, lr: float = 0.1, **options) -> tuple[Toy, Treatment, torch.optim.Optimizer]:
    """A toy, its treatment and plain SGD, with the gradients of one backward pass."""
    toy = Toy()
    treatment = bind(TreatmentConfig(names, **options), toy, BOUND)
    trained = [p for p in toy.parameters() if p.requires_grad and p is not toy.unused]
    optimizer = torch.optim.SGD(treatment.param_groups(trained), lr=lr)
    (toy.loss() + treatment.penalty()).backward()
    return toy, treatment, optimizer


# --- nearest orthogonal gradient


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 3, 3, 3), (2, 6, 4, 4), (3, 4, 5)])
@pytest.mark.parametrize("null", ["drop", "fill"])
def test_nog_is_the_polar_factor_of_the_flattened_gradient(shape: tuple[int, ...], null: str) -> None:
    gradient = gaussian(*shape)
    nearest = nearest_orthogonal_gradient(gradient, null)
    left, _, right = torch.linalg.svd(gradient.reshape(shape[0], -1), full_matrices=False)
    assert nearest.shape == gradient.shape
    torch.testing.assert_close(nearest.reshape(shape[0], -1), left @ right, rtol=0, atol=1e-12)


def test_nog_is_the_nearest_of_the_orthogonal_matrices() -> None:
    gradient = gaussian(3, 5)
    nearest = nearest_orthogonal_gradient(gradient)
    for seed in range(200):  # near ones and far ones
        other = polar(nearest + 10 ** -(seed % 4) * gaussian(3, 5, seed=seed))
        assert (nearest - gradient).norm() <= (other - gradient).norm()


@pytest.mark.parametrize(("null", "rank"), [("drop", 2), ("fill", 27)])
def test_nog_of_a_gradient_of_rank_two(null: str, rank: int) -> None:
    gradient = (gaussian(64, 2) @ gaussian(2, 27)).float().reshape(64, 3, 3, 3)
    nearest = nearest_orthogonal_gradient(gradient, null)
    assert nearest.dtype == torch.float32
    sigma = torch.linalg.svdvals(nearest.reshape(64, 27))
    torch.testing.assert_close(sigma, (torch.arange(27) < rank).float(), rtol=0, atol=1e-5)


def test_nog_takes_a_tolerance_for_gradients_rounded_to_bfloat16() -> None:
    gradient = (gaussian(6, 2) @ gaussian(2, 200)).bfloat16().float()
    assert nearest_orthogonal_gradient(gradient).square().sum().round() == 6
    assert nearest_orthogonal_gradient(gradient, rtol=2e-2).square().sum().round() == 2


def test_nog_of_zero_is_zero() -> None:
    assert torch.equal(nearest_orthogonal_gradient(torch.zeros(3, 8)), torch.zeros(3, 8))


def test_nog_refuses_a_vector() -> None:
    with pytest.raises(ValueError, match="at least two dimensions"):
        nearest_orthogonal_gradient(torch.ones(3))


# --- optimal learning rate


def test_olr_is_the_published_formula_and_its_cosine_form() -> None:
    for seed in range(20):
        w, g = gaussian(3, 4, 2, 2, seed=seed), gaussian(3, 4, 2, 2, seed=100 + seed)
        ww, lw, ll = (w * w).sum(), (g * w).sum(), (g * g).sum()
        c = lw / (ww * ll).sqrt()
        rate = optimal_learning_rate(w, g)
        assert rate.shape == ()
        torch.testing.assert_close(rate, ww * lw / (ww * ll + 2 * lw**2), rtol=1e-13, atol=0)
        torch.testing.assert_close(rate, w.norm() / g.norm() * c / (1 + 2 * c**2), rtol=1e-13, atol=0)
        assert rate <= w.norm() / g.norm() / math.sqrt(8)


def test_olr_by_hand() -> None:
    w = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert optimal_learning_rate(w, w) == pytest.approx(1 / 3, rel=1e-15)  # 25·25 / (25·25 + 2·25²)
    assert optimal_learning_rate(w, -2 * w) == pytest.approx(-1 / 6, rel=1e-15)
    assert optimal_learning_rate(w, w.flip(0)) == 0  # at right angles


def test_olr_is_the_newton_step_on_the_distance_from_orthogonality() -> None:
    # ‖(w − ηl)(w − ηl)ᵀ − I‖² without η³, η⁴ and the terms of −I, which the paper drops too
    w, gradient = gaussian(40, seed=1), gaussian(40, seed=2)
    rate = torch.zeros((), dtype=torch.float64, requires_grad=True)
    moved = w - rate * gradient
    (first,) = torch.autograd.grad(torch.outer(moved, moved).square().sum(), rate, create_graph=True)
    (second,) = torch.autograd.grad(first, rate)
    torch.testing.assert_close(optimal_learning_rate(w, gradient), (-first / second).detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_olr_of_nothing_is_zero_and_of_extremes_is_finite(dtype: torch.dtype) -> None:
    w, zero = torch.ones(3, 4, dtype=dtype), torch.zeros(3, 4, dtype=dtype)
    for weight, gradient in ((w, zero), (zero, w), (zero, zero)):
        assert optimal_learning_rate(weight, gradient) == 0
    assert optimal_learning_rate(1e30 * w, 1e-30 * w) == pytest.approx(1e60 / 3, rel=2e-2)
    assert optimal_learning_rate(w, w).dtype == torch.float64


def test_olr_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\), \(4, 3\)"):
        optimal_learning_rate(torch.ones(3, 4), torch.ones(4, 3))


# --- orthogonal loss


def test_ol_by_hand() -> None:
    w = torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0]])  # W Wᵀ − I = [[3, 2], [2, 1]]
    assert orthogonal_loss(w) == (9 + 4 + 4 + 1) / 4
    assert orthogonal_loss(w.T) == (9 + 4 + 4 + 1) / 4
    assert orthogonal_loss(w.reshape(2, 3, 1, 1)) == (9 + 4 + 4 + 1) / 4


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (4, 4)])
def test_ol_is_zero_only_at_orthogonal_weights_and_has_the_closed_form_gradient(shape: tuple[int, int]) -> None:
    assert orthogonal_loss(polar(gaussian(*shape))) < 1e-28
    w = gaussian(*shape).requires_grad_()
    (gradient,) = torch.autograd.grad(orthogonal_loss(w), w)
    q = min(shape)
    wide = w.detach() if shape[0] <= shape[1] else w.detach().T
    expected = 4 / q**2 * (wide @ wide.T - torch.eye(q, dtype=w.dtype)) @ wide
    torch.testing.assert_close(gradient, expected if shape[0] <= shape[1] else expected.T, rtol=1e-12, atol=1e-12)


def test_ol_is_computed_in_float32_under_autocast() -> None:
    w = gaussian(6, 100).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(orthogonal_loss(w), orthogonal_loss(w.clone()))
        inside = orthogonal_loss(w)
    assert torch.equal(inside, orthogonal_loss(w))
    assert orthogonal_loss(w.bfloat16()).dtype == torch.float32


def test_ol_refuses_in_words() -> None:
    with pytest.raises(ValueError, match="at least two dimensions"):
        orthogonal_loss(torch.ones(3))
    with pytest.raises(ValueError, match="no entries"):
        orthogonal_loss(torch.ones(0, 3))


# --- each treatment in a loop


def test_without_a_treatment_a_step_is_the_optimisers() -> None:
    toy, treatment, optimizer = started()
    plain = copy.deepcopy(toy)
    for ours, copied in zip(toy.parameters(), plain.parameters()):
        copied.grad = ours.grad
    torch.optim.SGD(plain.parameters(), lr=0.1).step()
    treatment.step(optimizer)
    assert all(torch.equal(ours, copied) for ours, copied in zip(toy.parameters(), plain.parameters()))
    assert not torch.equal(toy.layer.basis, Toy().layer.basis)
    assert treatment.penalty() == 0
    assert treatment.metrics() == {}


def test_ol_drives_the_weights_to_orthogonality_and_its_absence_does_not() -> None:
    errors = {}
    for names in ((), ("ol",)):
        toy, treatment, optimizer = started(*names, lr=1e-3)
        for step in range(300):
            optimizer.zero_grad()
            (1e-3 * toy.loss(step) + treatment.penalty()).backward()
            treatment.step(optimizer)
        watch = bind(TreatmentConfig(("nog",)), toy, BOUND).metrics()
        errors[names] = [watch[f"orthogonality/{name}"] for name in BOUND]
    assert max(errors["ol",]) < 1e-3
    assert min(errors[()]) > 0.1


def test_the_penalty_is_the_mean_over_the_weights_times_its_weight() -> None:
    toy, treatment, _ = started("ol", ol_weight=7.0)
    expected = 7 * (orthogonal_loss(toy.layer.basis) + orthogonal_loss(toy.conv.weight)) / 2
    torch.testing.assert_close(treatment.penalty(), expected)
    zero = started("nog")[1].penalty()
    assert zero.shape == ()
    assert zero == 0


def test_nog_makes_the_step_orthogonal_and_leaves_other_gradients() -> None:
    toy, treatment, optimizer = started("nog")
    before = {name: parameter.detach().clone() for name, parameter in toy.named_parameters()}
    gradients = {name: p.grad.clone() for name, p in toy.named_parameters() if p.grad is not None}
    treatment.step(optimizer)
    after = dict(toy.named_parameters())
    for name in gradients:
        step = (before[name] - after[name].detach()) / 0.1
        if name in BOUND:
            sigma = torch.linalg.svdvals(step.flatten(1))
            torch.testing.assert_close(sigma, torch.ones_like(sigma), rtol=0, atol=1e-10)
            torch.testing.assert_close(step, nearest_orthogonal_gradient(gradients[name]), rtol=0, atol=1e-10)
            assert torch.equal(after[name].grad, nearest_orthogonal_gradient(gradients[name]))
        else:
            torch.testing.assert_close(step, gradients[name], rtol=1e-10, atol=1e-10)
    assert treatment.metrics()["gradient_rank/layer.basis"] == 3


def test_nog_reports_the_rank_of_the_gradient() -> None:
    toy, treatment, optimizer = started("nog")
    toy.layer.basis.grad[2] = toy.layer.basis.grad[0]
    treatment.step(optimizer)
    assert treatment.metrics()["gradient_rank/layer.basis"] == 2


@pytest.mark.parametrize(("options", "rank"), [({}, 2), ({"null": "fill"}, 3), ({"rtol": 0.5}, 1)])
def test_nog_obeys_its_options(options: dict, rank: int) -> None:
    toy, treatment, optimizer = started("nog", **options)
    toy.layer.basis.grad = torch.diag(torch.tensor([1.0, 0.1, 0.0], dtype=torch.float64)) @ polar(gaussian(3, 16))
    treatment.step(optimizer)
    assert treatment.metrics()["gradient_rank/layer.basis"] == rank


def test_olr_sets_the_length_of_the_step_where_it_lies_below_the_base_rate() -> None:
    toy, treatment, optimizer = started("olr", lr=50.0)
    weight = toy.layer.basis
    gradient = weight.grad = 0.5 * weight.detach() + 0.2 * gaussian(3, 16, seed=5)
    other = toy.layer.mean.detach().clone()
    before = weight.detach().clone()
    rate = optimal_learning_rate(before, gradient)
    assert 0 < rate < 50
    treatment.step(optimizer)
    torch.testing.assert_close(weight.detach(), before - rate * gradient, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(toy.layer.mean.detach(), other - 50 * toy.layer.mean.grad)
    assert treatment.metrics()["rate/layer.basis"] == pytest.approx(float(rate))


@pytest.mark.parametrize("case", ["negative", "above base", "zero"])
def test_olr_falls_back_to_the_base_rate(case: str) -> None:
    toy, treatment, optimizer = started("olr", lr=0.01)
    weight = toy.layer.basis
    direction = {"negative": -1.0, "above base": 1.0, "zero": 0.0}[case]
    gradient = weight.grad = direction * weight.detach().clone()
    toy.conv.weight.grad = 1000 * toy.conv.weight.detach()  # η* = 1/3000
    before = weight.detach().clone()
    treatment.step(optimizer)
    assert torch.equal(weight.detach(), before - 0.01 * gradient)
    metrics = treatment.metrics()
    assert metrics["olr_used"] == 0.5
    assert metrics["rate/conv.weight"] == pytest.approx(1 / 3000)
    assert metrics["rate/layer.basis"] == pytest.approx(direction / 3)


def test_olr_lasts_one_step_and_a_scheduler_sees_only_the_base_rate() -> None:
    toy, treatment, optimizer = started("olr", lr=50.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for step in range(3):
        assert [group["lr"] for group in optimizer.param_groups] == [50 * 0.5**step] * 3
        toy.layer.basis.grad = toy.layer.basis.detach().clone()
        treatment.step(optimizer)
        assert treatment.metrics()["olr_used"] > 0
        scheduler.step()
    assert {group["lr"] for group in optimizer.state_dict()["param_groups"]} == {50 * 0.5**3}


def test_olr_puts_the_base_rate_back_when_the_step_fails() -> None:
    toy, treatment, optimizer = started("olr", lr=50.0)
    toy.layer.basis.grad = toy.layer.basis.detach().clone()
    optimizer.register_step_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("no step")))
    with pytest.raises(RuntimeError, match="no step"):
        treatment.step(optimizer)
    assert {group["lr"] for group in optimizer.param_groups} == {50.0}


def test_olr_goes_on_the_same_after_the_optimiser_was_saved_and_loaded() -> None:
    runs, used = [], 0.0
    for interrupted in (False, True):
        toy, treatment, optimizer = started("nog", "olr", lr=0.2)
        for step in range(6):
            if interrupted and step == 3:
                state, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(toy.state_dict())
                toy, treatment, optimizer = started("nog", "olr", lr=99.0)
                toy.load_state_dict(weights)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            (0.1 * toy.loss(step)).backward()
            treatment.step(optimizer)
            used += treatment.metrics()["olr_used"]
        runs.append(toy.state_dict())
    assert used > 0
    for name, value in runs[0].items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, runs[1][name])


def test_nog_runs_before_olr_which_sees_the_replaced_gradient() -> None:
    toy, treatment, optimizer = started("olr", "nog", lr=50.0)  # the order of the names does not matter
    weight = toy.layer.basis
    gradient = weight.grad.clone()
    before = weight.detach().clone()
    if optimal_learning_rate(before, nearest_orthogonal_gradient(gradient)) < 0:
        gradient = weight.grad = -gradient
    replaced = nearest_orthogonal_gradient(gradient)
    rate = optimal_learning_rate(before, replaced)
    assert 0 < rate < 50
    assert abs(rate / optimal_learning_rate(before, gradient) - 1) > 0.05
    treatment.step(optimizer)
    torch.testing.assert_close(weight.detach(), before - rate * replaced, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("names", [(), ("ol",), ("nog",), ("olr",), ("ol", "nog", "olr")])
def test_every_parameter_is_in_exactly_one_group(names: tuple[str, ...]) -> None:
    toy = Toy()
    treatment = bind(TreatmentConfig(names), toy, BOUND)
    groups = treatment.param_groups(p for p in toy.parameters() if p.requires_grad)
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in toy.parameters() if p.requires_grad)
    assert len(groups) == (3 if "olr" in names else 1)


@pytest.mark.parametrize("names", [("ol",), ("nog",), ("olr",), ("ol", "nog", "olr")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_treatments_keep_the_dtype_under_adam(names: tuple[str, ...], dtype: torch.dtype) -> None:
    layer = SubspaceLayer(20, 4).to(dtype)
    treatment = bind(TreatmentConfig(names), layer, ["basis"])
    optimizer = torch.optim.Adam(treatment.param_groups(layer.parameters()), lr=1e-3)
    before = layer.basis.detach().clone()
    (layer(torch.ones(2, 4, dtype=dtype)).square().mean() + treatment.penalty()).backward()
    treatment.step(optimizer)
    assert layer.basis.dtype == layer.basis.grad.dtype == dtype
    assert not torch.equal(layer.basis, before)
    assert all(math.isfinite(value) for value in treatment.metrics().values())


def test_metrics_measure_the_weights_as_they_are() -> None:
    toy, treatment, _ = started("nog")
    basis, row = toy.layer.basis.detach(), toy.conv.weight.detach().flatten()
    gram = basis @ basis.T - torch.eye(3, dtype=torch.float64)
    metrics = treatment.metrics()
    assert metrics["orthogonality/layer.basis"] == pytest.approx(float(gram.norm()) / math.sqrt(3))
    assert metrics["orthogonality/conv.weight"] == pytest.approx(abs(float(row @ row) - 1))


# --- a treatment that would do nothing, or something else, is an error


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TreatmentConfig(("nogg",)), "unknown treatment 'nogg': did you mean nog"),
        (TreatmentConfig(("sn",)), "possible: nog, ol, olr"),
        (TreatmentConfig(("nog", "ol", "nog")), "'nog' is named twice"),
        (TreatmentConfig(("ol",), ol_weight=-1.0), "ol_weight"),
        (TreatmentConfig(("ol",), ol_weight=math.nan), "ol_weight"),
        (TreatmentConfig(null="keep"), "unknown null 'keep'"),
        (TreatmentConfig(rtol=2.0), "rtol"),
    ],
)
def test_wrong_configurations_are_refused(config: TreatmentConfig, words: str) -> None:
    with pytest.raises(UserError, match=words):
        bind(config, Toy(), BOUND)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "nog is bound to no parameter"),
        (["layer.bass"], "unknown parameter 'layer.bass': did you mean layer.basis"),
        (["layer.basis", "layer.basis"], "'layer.basis' is to be treated twice"),
        (["basis_without_gradient"], "'basis_without_gradient' is frozen"),
        (["layer.mean"], r"'layer.mean' has shape \(16,\)"),
    ],
)
def test_wrong_bindings_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        bind(TreatmentConfig(), Toy(), names)


@pytest.mark.parametrize("name", ["nog", "olr"])
def test_a_weight_without_gradient_is_refused_before_anything_changed(name: str) -> None:
    toy = Toy()
    treatment = bind(TreatmentConfig((name,)), toy, ["layer.basis", "unused"])
    optimizer = torch.optim.SGD(treatment.param_groups(p for p in toy.parameters() if p.requires_grad), lr=0.1)
    toy.loss().backward()
    gradient, before = toy.layer.basis.grad.clone(), toy.layer.basis.detach().clone()
    with pytest.raises(UserError, match="'unused' has no gradient"):
        treatment.step(optimizer)
    assert torch.equal(toy.layer.basis.grad, gradient)
    assert torch.equal(toy.layer.basis, before)


def test_a_gradient_that_is_not_finite_is_refused_by_name() -> None:
    toy, treatment, optimizer = started("nog")
    toy.conv.weight.grad[0, 0, 0, 0] = math.nan
    with pytest.raises(UserError, match=r"gradient of 'conv.weight'.*NaN or infinite"):
        treatment.step(optimizer)


def test_olr_refuses_an_optimiser_whose_groups_do_not_single_out_the_weight() -> None:
    toy = Toy()
    treatment = bind(TreatmentConfig(("olr",)), toy, BOUND)
    toy.loss().backward()
    with pytest.raises(UserError, match=r"'layer.basis' alone.*treatment.param_groups"):
        treatment.step(torch.optim.SGD(toy.parameters(), lr=0.1))


def test_a_weight_that_the_optimiser_never_gets_is_refused() -> None:
    toy = Toy()
    for name in ("ol", "nog", "olr"):
        with pytest.raises(UserError, match=r"'conv.weight' is not among those given to the optimiser"):
            bind(TreatmentConfig((name,)), toy, BOUND).param_groups(toy.layer.parameters())


def test_the_configuration_is_frozen_and_survives_its_dictionary() -> None:
    config = TreatmentConfig(("ol", "olr"), rtol=1e-3)
    assert TreatmentConfig(**dataclasses.asdict(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.null = "fill"  # type: ignore[misc]
