"""The Gaussian VAEs are the published networks, and a treatment can be put on either decoder."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from disentangle import models
from disentangle.errors import UserError
from disentangle.models import BetaVAE, FactorVAE, LatentDiscriminator
from disentangle.treatments import TreatmentConfig, bind

NAMES = ["BetaVAE", "AnnealedVAE", "FactorVAE", "BetaTCVAE", "DIPVAE"]


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    """Inputs, outputs and, of convolutions, kernel and stride, in order."""
    found: list[tuple[int, ...]] = []
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            found.append((layer.in_features, layer.out_features))
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            found.append((layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]))
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_the_conv_networks_are_those_of_locatello_et_al(channels: int) -> None:
    model = BetaVAE(size=64, channels=channels, decoder="conv")
    assert model.latent_size == 10
    assert shapes(model.encoder) == [(channels, 32, 4, 2), (32, 32, 4, 2), (32, 64, 2, 2), (64, 64, 2, 2)]
    assert shapes(model.posterior) == [(64 * 4 * 4, 256), (256, 20)]
    assert shapes(model.synthesis) == [
        (10, 256), (256, 1024), (64, 64, 4, 2), (64, 32, 4, 2), (32, 32, 4, 2), (32, channels, 4, 2)
    ]  # fmt: skip
    activations = [type(m).__name__ for m in model.modules() if type(m).__module__.endswith("activation")]
    assert activations == ["ReLU"] * (4 + 1 + 2 + 3)
    # Glorot's uniform weights, those of mean and of log-variance as of two layers.
    for layer, inputs, outputs in ((model.posterior[2], 256, 10), (model.synthesis.dense[0], 10, 256)):
        bound = (6 / (inputs + outputs)) ** 0.5
        assert 0.995 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert float(layer.bias.detach().abs().max()) == 0


def test_at_half_the_size_a_convolution_is_left_out() -> None:
    model = BetaVAE(size=32, channels=3, decoder="conv", latent_size=7)
    assert shapes(model.encoder) == [(3, 32, 4, 2), (32, 32, 4, 2), (32, 64, 2, 2)]
    assert shapes(model.synthesis) == [(7, 256), (256, 1024), (64, 64, 4, 2), (64, 32, 4, 2), (32, 3, 4, 2)]


def test_the_latent_discriminator_is_that_of_kim_and_mnih() -> None:
    judge = LatentDiscriminator()
    assert shapes(judge) == [(10, 1000), *[(1000, 1000)] * 5, (1000, 2)]
    assert {m.negative_slope for m in judge.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    latents = torch.randn(5, 10)
    together, apart = judge.network(latents).mT
    probability = torch.softmax(torch.stack([together, apart]), 0)[0]
    assert torch.allclose(torch.sigmoid(judge(latents)), probability, atol=1e-6)
    weights = [LatentDiscriminator(3, 4, 1, seed).network[0].weight for seed in (5, 5, 6)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    with pytest.raises(UserError, match="hidden must be at least 1, got 0"):
        LatentDiscriminator(hidden=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_network_tells_its_method(name: str, tmp_path: Path) -> None:
    model = getattr(models, name)(size=32, decoder="conv", latent_size=4, encoder_channels=2, hidden=4, seed=1)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["_class_name"] == name
    loaded = type(model).from_pretrained(tmp_path, use_safetensors=True)
    assert loaded.latent_size == 4
    latents = torch.randn(2, 4)
    assert torch.equal(loaded.synthesize(latents), model.synthesize(latents))


@pytest.mark.parametrize("decoder", ["subspace", "conv"])
@pytest.mark.parametrize("name", ["ol", "nog", "olr", "sn", "ow"])
def test_every_treatment_binds_to_either_decoder(decoder: str, name: str) -> None:
    model = FactorVAE(size=32, decoder=decoder, rank=2, base_channels=2, max_channels=4, encoder_channels=2, hidden=16)
    layers = model.projections()
    before = [layer.matrix() for layer in layers]
    treatment = bind(TreatmentConfig((name,)), model, [layer.parameter for layer in layers])
    latents = model.sample_latents(3, torch.Generator().manual_seed(0))
    images = torch.rand(3, 1, 32, 32) * 2 - 1
    reconstruction = (model(images) - images).square().mean() + model.synthesize(latents).square().mean()
    (reconstruction + treatment.penalty()).backward()
    optimizer = torch.optim.SGD(treatment.param_groups(model.parameters()), lr=0.1)
    treatment.step(optimizer)
    if decoder == "conv" and name in ("sn", "ow"):
        values = torch.linalg.svdvals(layers[0].matrix())
        assert torch.allclose(values if name == "ow" else values[0], torch.ones(()), atol=1e-4)
    else:
        assert all((layer.matrix() - old).norm() > 0 for layer, old in zip(layers, before, strict=True))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"decoder": "deconv"}, "unknown decoder 'deconv'"),
        ({"latent_size": 10}, "the subspace decoder has 12 codes, 3 a layer, and latent_size is 10"),
        ({"decoder": "conv", "latent_size": 0}, "latent_size must be at least 1, got 0"),
        ({"decoder": "conv", "hidden": 0}, "at least 1"),
        ({"decoder": "conv", "size": 128}, "size must be 32 or 64, got 128"),
    ],
)
def test_impossible_networks_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        BetaVAE(**settings)
    assert BetaVAE(rank=4, latent_size=16).latent_size == 16
