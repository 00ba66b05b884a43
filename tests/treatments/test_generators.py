"""Every combination of treatments on the Pre-SVD layers of the GANs does what it says."""

import warnings

import pytest
import torch
from torch import nn
from treated import COMBINATIONS, DECAY, MOMENTUM, RATE, by_hand, gaussian, singular_values

from disentangle.errors import DisentangleWarning
from disentangle.models import EigenGAN, VanillaGAN
from disentangle.treatments import TreatmentConfig, bind, orthogonal_loss


def eigengan() -> nn.Module:
    return EigenGAN(size=32, channels=1, rank=2, noise=4, base_channels=2, max_channels=4)


def vanilla_gan() -> nn.Module:
    return VanillaGAN(size=32, channels=1, latent_size=3, base_channels=2, max_channels=4)


@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("make", [eigengan, vanilla_gan])
def test_a_generators_first_layers_take_the_step_that_they_should(make, names: tuple[str, ...]) -> None:
    model = make().double()
    layers = {projection.parameter for projection in model.projections()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisentangleWarning)  # that olr has no say: tested elsewhere
        treatment = bind(TreatmentConfig(names, ol_weight=0.1), model, layers)
    raw = treatment.parameters
    assert set(raw) == (layers if names else set())
    groups = treatment.param_groups(model.parameters())
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    momenta = {name: torch.zeros_like(parameter) for name, parameter in raw.items()}
    for step in range(2):
        optimizer.zero_grad()
        loss = (model(gaussian(4, model.latent_size, seed=step)) - 0.5).square().mean()
        (loss + treatment.penalty()).backward()
        before = {name: parameter.detach().clone() for name, parameter in raw.items()}
        expected = {
            name: by_hand(names, "gradient", before[name], parameter.grad.clone(), momenta[name], convolution=False)[0]
            for name, parameter in raw.items()
        }
        treatment.step(optimizer)
        for name, parameter in raw.items():
            assert not torch.equal(parameter, before[name])
            torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-9, atol=1e-11)
    for weight in treatment.weights.values() if "sn" in names else ():
        for _ in range(200):  # until the power iteration has converged, slowly where values are close
            getattr(weight.module, weight.attribute)
    model.eval()  # in which it makes no step
    effective = {name: weight.effective().detach() for name, weight in treatment.weights.items()}
    for name, weight in effective.items():
        sigma = singular_values(weight)
        if "ow" in names:
            torch.testing.assert_close(sigma, torch.ones_like(sigma), rtol=0, atol=1e-12)
        elif "sn" in names:
            assert float(sigma[0]) == pytest.approx(1, rel=0.02)
        if names:  # what discovery sees is what the network computes with
            matrix = next(p.matrix() for p in model.projections() if p.parameter == name)
            module = model.get_submodule(name.rpartition(".")[0])
            scale = module.scale.detach() if isinstance(model, EigenGAN) else torch.ones(len(weight)).double()
            torch.testing.assert_close(matrix, weight.flatten(1).mT * scale)
    if "ol" in names:
        mean = torch.stack([orthogonal_loss(weight) for weight in effective.values()]).mean()
        torch.testing.assert_close(treatment.penalty().detach(), 0.1 * mean)
