"""Each treatment alone in a small loop: that it changed what it says it changes."""

import copy
import math

import pytest
import torch
from torch import nn
from treated import BOUND, Toy, gaussian, singular_values, started

from disentangle.errors import UserError
from disentangle.linalg import polar
from disentangle.orthogonal import SkewOrthogonalConv2d, skew_part
from disentangle.subspace import SubspaceLayer
from disentangle.treatments import (
    TreatmentConfig,
    bind,
    nearest_orthogonal_gradient,
    optimal_learning_rate,
    orthogonal_loss,
)


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


# --- wrapped weights


def test_sn_keeps_the_spectral_norm_at_one_in_training() -> None:
    toy, treatment, optimizer = started("sn", lr=0.02)
    for step in range(50):
        optimizer.zero_grad()
        toy.loss(step).backward()
        treatment.step(optimizer)
        toy.loss(step)  # a pass in training moves the power iteration
        assert float(singular_values(toy.layer.basis)[0]) == pytest.approx(1, abs=1e-3)
    assert float(singular_values(toy.layer.parametrizations.basis.original)[0]) > 1.05
    assert treatment.metrics()["orthogonality/conv.weight"] == pytest.approx(0, abs=1e-12)  # one row


def test_ow_keeps_rows_orthonormal_whatever_the_optimiser_does() -> None:
    toy = Toy()
    treatment = bind(TreatmentConfig(("ow",)), toy, BOUND)
    optimizer = torch.optim.Adam(treatment.param_groups(p for p in toy.parameters() if p.requires_grad), lr=0.05)
    toy.unused.requires_grad_(False)
    losses, start = [], toy.layer.basis.detach().clone()
    for _ in range(20):
        optimizer.zero_grad()
        loss = toy.loss()
        loss.backward()
        treatment.step(optimizer)
        losses.append(float(loss.detach()))
        for weight in (toy.layer.basis, toy.conv.weight):
            matrix = weight.detach().flatten(1)
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)).double(), rtol=0, atol=1e-13)
    assert losses[-1] < 0.9 * losses[0]
    assert (toy.layer.basis.detach() - start).norm() > 0.1


def test_metrics_and_penalty_leave_the_training_state_as_it_is() -> None:
    for names in (("ol", "sn"), ("ol", "ow")):
        toy = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 2, 1)).double()
        treatment = bind(TreatmentConfig(names), toy, ["0.weight", "1.weight"])
        with torch.no_grad():
            for parameter in treatment.parameters.values():
                parameter.add_(0.3 * gaussian(*parameter.shape))
        state = copy.deepcopy(toy.state_dict())
        treatment.penalty().backward()
        treatment.metrics()
        assert all(torch.equal(value, state[name]) for name, value in toy.state_dict().items())
        assert all(module.training for module in toy.modules())


def test_nog_of_a_skew_orthogonal_filter_has_no_symmetric_part() -> None:
    for target in ("gradient", "update"):
        net = nn.Sequential(SkewOrthogonalConv2d(2, 16, generator=torch.Generator().manual_seed(0))).double()
        treatment = bind(TreatmentConfig(("ow", "nog"), target=target), net, ["0.weight"])
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        before = net[0].weight.detach().clone()
        (net(gaussian(3, 2, 5, 5)) * gaussian(3, 16, 5, 5, seed=1)).sum().backward()
        published = nearest_orthogonal_gradient(net[0].weight.grad)
        treatment.step(optimizer)
        step = (before - net[0].weight.detach()) / 0.1
        assert float((step + step.transpose(0, 1).flip(2, 3)).norm()) < 1e-13
        torch.testing.assert_close(step, skew_part(published), rtol=0, atol=1e-12)
        # What is left out is large, which is why it matters, and without effect.
        wasted = published - skew_part(published)
        assert float(wasted.norm() / published.norm()) > 0.4
        images = gaussian(1, 2, 4, 4)
        output = net.eval()(images)
        net[0].weight.data.sub_(0.1 * wasted)
        torch.testing.assert_close(net(images), output)


# --- on the optimiser's update


def test_nog_on_the_update_is_muons_rule() -> None:
    # Jordan et al. 2024: M ← μM + G, W ← (1 − ηλ)W − η·polar(M)
    toy = Toy()
    treatment = bind(TreatmentConfig(("nog",), target="update"), toy, BOUND)
    optimizer = torch.optim.SGD(treatment.param_groups(toy.parameters()), lr=0.1, momentum=0.95, weight_decay=0.2)
    momentum, expected = torch.zeros(3, 16).double(), toy.layer.basis.detach().clone()
    for step in range(5):
        optimizer.zero_grad()
        toy.loss(step).backward()
        gradient = toy.layer.basis.grad.clone()
        momentum = 0.95 * momentum + gradient
        expected = (1 - 0.1 * 0.2) * expected - 0.1 * polar(momentum)
        treatment.step(optimizer)
        torch.testing.assert_close(toy.layer.basis.detach(), expected, rtol=0, atol=1e-12)
        assert torch.equal(toy.layer.basis.grad, gradient)


@pytest.mark.parametrize("optimiser", ["Adam", "AdamW", "RMSprop", "NAdam", "Muon"])
@pytest.mark.parametrize("names", [("nog",), ("olr",), ("nog", "olr")], ids="+".join)
def test_the_update_is_what_any_optimiser_would_have_done(optimiser: str, names: tuple[str, ...]) -> None:
    def make(parameters: object, decay: float) -> torch.optim.Optimizer:
        return getattr(torch.optim, optimiser)(parameters, lr=0.3, weight_decay=decay)

    layer, plain = SubspaceLayer(20, 4).double(), SubspaceLayer(20, 4).double()
    plain.load_state_dict(layer.state_dict())
    treatment = bind(TreatmentConfig(names, target="update"), layer, ["basis"])
    treated, reference = make([layer.basis], 0.1), make([plain.basis], 0.0)
    for step in range(3):
        old = layer.basis.detach().clone()
        gradient = gaussian(4, 20, seed=step)
        layer.basis.grad, plain.basis.grad = gradient.clone(), gradient.clone()
        before = plain.basis.detach().clone()
        reference.step()
        direction = (before - plain.basis.detach()) / 0.3
        direction = polar(direction) if "nog" in names else direction
        rate = float(optimal_learning_rate(old, direction))
        rate = rate if "olr" in names and 0 < rate < 0.3 else 0.3
        treatment.step(treated)
        torch.testing.assert_close(layer.basis.detach(), (1 - 0.1 * rate) * old - rate * direction, rtol=0, atol=1e-9)
        assert treated.param_groups[0]["lr"] == 0.3


def test_a_small_update_of_a_large_weight_keeps_its_rank() -> None:
    # In float32 the difference of the weights before and after is mostly rounding, of full rank.
    layer = SubspaceLayer(200, 6)
    treatment = bind(TreatmentConfig(("nog",), target="update"), layer, ["basis"])
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    layer.basis.grad = 1e-6 * (gaussian(6, 2) @ gaussian(2, 200)).float()
    before = layer.basis.detach().clone()
    treatment.step(optimizer)
    assert treatment.metrics()["gradient_rank/basis"] == 2
    step = (before - layer.basis.detach()).double() / 1e-3
    torch.testing.assert_close(step, polar(layer.basis.grad.double(), rtol=1e-5), rtol=0, atol=1e-4)


def test_a_rate_of_zero_takes_no_step_on_the_update() -> None:
    layer = SubspaceLayer(20, 4)
    treatment = bind(TreatmentConfig(("nog", "olr"), target="update"), layer, ["basis"])
    optimizer = torch.optim.SGD([layer.basis], lr=0.0, weight_decay=0.1)
    layer.basis.grad = gaussian(4, 20).float()
    before = layer.basis.detach().clone()
    treatment.step(optimizer)
    assert torch.equal(layer.basis, before)


@pytest.mark.parametrize("kind", ["fails", "nan"])
def test_a_step_on_the_update_that_fails_leaves_the_weights(kind: str) -> None:
    toy = Toy()
    treatment = bind(TreatmentConfig(("nog",), target="update"), toy, BOUND)
    optimizer = torch.optim.SGD(treatment.param_groups(toy.parameters()), lr=0.1)
    toy.loss().backward()
    before = toy.layer.basis.detach().clone()
    if kind == "nan":
        toy.conv.weight.grad[0, 0, 0, 0] = math.nan
        words = r"update of 'conv.weight' cannot be made orthogonal: .*NaN"
    else:
        optimizer.register_step_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("no step")))
        words = "no step"
    with pytest.raises((UserError, RuntimeError), match=words):
        treatment.step(optimizer)
    assert torch.equal(toy.layer.basis, before)


def test_on_the_update_one_group_is_enough_and_none_is_an_error() -> None:
    toy = Toy()
    treatment = bind(TreatmentConfig(("nog", "olr"), target="update"), toy, BOUND)
    assert len(treatment.param_groups(toy.parameters())) == 1
    toy.loss().backward()
    with pytest.raises(UserError, match=r"holds 'conv.weight', as a treated update needs"):
        treatment.step(torch.optim.SGD(toy.layer.parameters(), lr=0.1))
    assert torch.equal(toy.layer.basis, Toy().layer.basis)


@pytest.mark.parametrize("target", ["gradient", "update"])
def test_olr_of_a_gradient_that_is_not_finite_is_refused_by_name(target: str) -> None:
    toy, treatment, optimizer = started("olr", target=target)
    toy.conv.weight.grad[0, 0, 0, 0] = math.nan
    before = toy.layer.basis.detach().clone()
    with pytest.raises(UserError, match=f"the {target} of 'conv.weight' has NaN or infinite entries"):
        treatment.step(optimizer)
    assert torch.equal(toy.layer.basis, before)
