"""All treatments together, on the gradient and on the update, against a step written out by hand."""

import warnings

import pytest
import torch
from treated import COMBINATIONS, DECAY, KINDS, MOMENTUM, RATE, ConvToy, by_hand, gaussian, singular_values

from disentangle.errors import DisentangleWarning
from disentangle.orthogonal import SkewOrthogonalConv2d
from disentangle.treatments import Treatment, TreatmentConfig, bind, orthogonal_loss


def bound(names: tuple[str, ...], **options) -> tuple[ConvToy, Treatment, torch.optim.Optimizer]:
    toy = ConvToy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisentangleWarning)  # that olr has no say: tested elsewhere
        treatment = bind(TreatmentConfig(names, ol_weight=0.1, **options), toy, KINDS)
    if "ow" in names:
        toy.stem.weight.data.add_(1.0)  # which has no skew-symmetric part, so that nothing may depend on it
    groups = treatment.param_groups(toy.parameters())
    return toy, treatment, torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)


@pytest.mark.parametrize("target", ["gradient", "update"])
@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_every_combination_takes_the_step_that_it_should(names: tuple[str, ...], target: str) -> None:
    toy, treatment, optimizer = bound(names, target=target)
    raw = treatment.parameters
    assert set(raw) == (set(KINDS) if names else set())
    momenta = {name: torch.zeros_like(parameter) for name, parameter in raw.items()}
    bias, bias_momentum = toy.dense.bias, torch.zeros_like(toy.dense.bias)
    rates: list[float] = []
    for step in range(4):
        optimizer.zero_grad()
        (toy.loss(step) + treatment.penalty()).backward()
        expected, optimal = {}, {}
        for name, parameter in raw.items():
            convolution = name == "stem.weight" and "ow" in names
            assert parameter.grad is not None
            values = parameter.detach(), parameter.grad.clone(), momenta[name]
            expected[name], rate, optimal[name] = by_hand(names, target, *values, convolution)
            rates.append(rate)
        bias_momentum.mul_(MOMENTUM).add_(bias.grad + DECAY * bias.detach())  # always the optimiser's
        expected_bias = bias.detach() - RATE * bias_momentum
        treatment.step(optimizer)
        for name, parameter in raw.items():
            torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-9, atol=1e-11, msg=name)
        torch.testing.assert_close(bias.detach(), expected_bias, rtol=1e-12, atol=1e-14)
    found = {key: value for key, value in treatment.metrics().items() if key.startswith("rate/")}
    wanted = {f"rate/{name}": rate for name, rate in optimal.items()} if "olr" in names else {}
    assert found == pytest.approx(wanted, rel=1e-6)
    assert {group["lr"] for group in optimizer.param_groups} == {RATE}
    wrapped, used = bool({"sn", "ow"} & set(names)), min(rates, default=RATE) < RATE
    if "olr" not in names or (wrapped and "nog" not in names):
        assert not used
    elif not wrapped or target == "gradient":  # momentum alone lengthens a scale-free weight
        assert used
    check_weights_and_penalty(names, toy, treatment)


def check_weights_and_penalty(names: tuple[str, ...], toy: ConvToy, treatment: Treatment) -> None:
    """What the network computes with is normalised or orthogonal, and the orthogonal loss is of that."""
    with torch.no_grad():
        for _ in range(200):  # until the power iterations have converged
            for weight in treatment.weights.values() if "sn" in names else ():
                getattr(weight.module, weight.attribute)
            toy.stem(gaussian(1, 1, 1, 1))
    toy.eval()
    effective = {name: weight.effective().detach() for name, weight in treatment.weights.items()}
    for name, weight in effective.items():
        sigma = singular_values(weight)
        raw = treatment.parameters[name]
        if "ow" in names:
            torch.testing.assert_close(sigma, torch.ones_like(sigma), rtol=0, atol=1e-8)
        elif "sn" in names:
            assert float(sigma[0]) == pytest.approx(1, rel=1e-6)
            torch.testing.assert_close(sigma / sigma[0], singular_values(raw) / singular_values(raw)[0])
        else:
            assert torch.equal(weight, raw.detach())
    if names and not {"sn", "ow"} & set(names):
        assert not any("parametrizations" in name for name, _ in toy.named_parameters())
    assert isinstance(toy.stem, SkewOrthogonalConv2d) == ("ow" in names)
    mean = torch.stack([orthogonal_loss(w) for w in effective.values()]).mean() if effective else torch.zeros(())
    expected = 0.1 * mean if "ol" in names else torch.zeros(())
    torch.testing.assert_close(treatment.penalty().detach(), expected, check_dtype=False)
    metrics = treatment.metrics()
    assert sum(key.startswith("orthogonality/") for key in metrics) == len(effective)
    assert any(key.startswith("gradient_rank/") for key in metrics) == ("nog" in names)
    assert ("olr_used" in metrics) == ("olr" in names)


@pytest.mark.parametrize("names", [("ol", "nog", "olr", "sn"), ("ol", "nog", "olr", "ow")])
@pytest.mark.parametrize("target", ["gradient", "update"])
def test_the_order_of_the_names_does_not_matter(names: tuple[str, ...], target: str) -> None:
    states = []
    for order in (names, names[::-1], names[2:] + names[:2]):
        toy, treatment, optimizer = bound(order, target=target)
        for step in range(2):
            optimizer.zero_grad()
            (toy.loss(step) + treatment.penalty()).backward()
            treatment.step(optimizer)
        states.append(toy.state_dict())
    for state in states[1:]:
        assert list(state) == list(states[0])
        assert all(torch.equal(value, states[0][name]) for name, value in state.items())


@pytest.mark.parametrize("names", [("sn",), ("ow",), ("ol", "ow"), ("nog", "ow"), ("nog", "olr", "sn")], ids="+".join)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_wrapped_weights_train_under_adam_in_single_precision_and_autocast(
    names: tuple[str, ...], dtype: torch.dtype
) -> None:
    toy = ConvToy().float()
    treatment = bind(TreatmentConfig(names), toy, KINDS)
    optimizer = torch.optim.AdamW(treatment.param_groups(toy.parameters()), lr=0.02)
    images = torch.randn(16, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = (toy(images) - 1).square().mean()
        (loss + treatment.penalty()).backward()
        treatment.step(optimizer)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    for weight in treatment.weights.values():
        sigma = singular_values(weight.effective())
        if "ow" in names:
            torch.testing.assert_close(sigma, torch.ones_like(sigma), rtol=0, atol=5e-4)  # 5 terms in training
        else:
            assert float(sigma[0]) == pytest.approx(1, rel=0.02)
