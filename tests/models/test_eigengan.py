"""EigenGAN's two networks against their published description, written out in plain functions.

Facts from the programs LynnHo/EigenGAN-Tensorflow (module.py) and bryandlee/eigengan-pytorch (model.py).
"""

import math
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.models import Discriminator, EigenGAN


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scatter(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors, every bias, scale and mean of them moved to a number of its own."""
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded(i), dtype=parameter.dtype))
    return model.state_dict()


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def plain_generator(state: Mapping[str, Tensor], latents: Tensor, blocks: int, rank: int) -> Tensor:
    """Codes of ``rank`` for each of the ``blocks``, then the noise, to what the hyperbolic tangent is taken of."""

    def layer(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def up(x: Tensor, name: str) -> Tensor:
        return F.conv_transpose2d(x, *layer(name), stride=2, padding=1, output_padding=1)

    h = F.linear(latents[:, blocks * rank :], *layer("seed_features")).reshape(len(latents), -1, 4, 4)
    for i in range(blocks):
        z = latents[:, i * rank : (i + 1) * rank]
        subspace = {name: state[f"blocks.{i}.subspace.{name}"] for name in ("basis", "scale", "mean")}
        phi = ((subspace["scale"] * z) @ subspace["basis"] + subspace["mean"]).reshape(h.shape)
        h = up(leaky(h + F.conv2d(phi, *layer(f"blocks.{i}.subspace_same"))), f"blocks.{i}.feature_up")
        h = leaky(h + up(phi, f"blocks.{i}.subspace_up"))
        h = F.conv2d(h, *layer(f"blocks.{i}.feature_same"), padding=1)
    return F.conv2d(leaky(h), *layer("to_image"), padding=3)


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3)])
def test_generator_is_the_network_written_out(size: int, channels: int) -> None:
    model = EigenGAN(size, channels, rank=2, noise=4, base_channels=2, max_channels=6).double()
    state = scatter(model)
    latents = model.sample_latents(3, seeded())
    expected = plain_generator(state, latents, blocks=int(math.log2(size)) - 2, rank=2)
    assert 0.1 < float(expected.std()) < 2, "the tangent hides nothing"
    with torch.no_grad():
        torch.testing.assert_close(model(latents), torch.tanh(expected), rtol=0, atol=1e-10)
        torch.testing.assert_close(model.synthesize(latents), torch.tanh(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3)])
def test_discriminator_is_the_network_written_out(size: int, channels: int) -> None:
    judge = Discriminator(size, channels, base_channels=2, max_channels=6).double()
    weights = list(scatter(judge).values())
    images = torch.randn(3, channels, size, size, generator=seeded(), dtype=torch.float64)
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    h = leaky(F.conv2d(images, *layers.pop(0), padding=3))
    while h.shape[2] > 4:
        h = leaky(F.conv2d(h, *layers.pop(0), padding=1))
        h = leaky(F.conv2d(h, *layers.pop(0), stride=2, padding=1))
    h = leaky(F.conv2d(h, *layers.pop(0), padding=1))
    h = leaky(F.linear(h.flatten(1), *layers.pop(0)))
    expected = F.linear(h, *layers.pop(0))[:, 0]
    assert not layers
    assert float(expected.std()) > 0.01
    with torch.no_grad():
        torch.testing.assert_close(judge(images), expected, rtol=0, atol=1e-10)


def test_initial_weights_of_every_layer() -> None:
    """Normal, of variance 2 / (1 + 0.2²) over the inputs that meet in an output; the last convolution has torch's."""
    generator = EigenGAN(32, 3, rank=2, noise=64, base_channels=16, max_channels=32)
    judge = Discriminator(32, 3, base_channels=16, max_channels=32)
    seen = 0
    for network in (generator, judge):
        for name, layer in network.named_modules():
            if not isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                continue
            weight, bias = layer.weight.detach().double(), layer.bias.detach()
            inputs = weight[0].numel()
            seen += 1
            if name == "to_image":
                bound = 1 / math.sqrt(inputs)
                assert 0.99 * bound < float(weight.abs().max()) <= bound
                assert 0 < float(bias.abs().max()) <= bound
                continue
            if isinstance(layer, nn.ConvTranspose2d):  # 3×3, of stride 2: of nine entries, a quarter meet in a pixel
                inputs = weight.shape[0] * 9 / 4
            error = 5 / math.sqrt(2 * weight.numel())
            assert float(weight.std()) == pytest.approx(math.sqrt(2 / 1.04 / inputs), rel=error), name
            assert float(weight.abs().max()) > 2 * float(weight.std()), name
            assert float(bias.abs().max()) == 0, name
    assert seen == 1 + 3 * 4 + 1 + 1 + 2 * 3 + 1 + 2
