"""The vanilla GAN and the recogniser against their published description."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models import EigenGAN, Recogniser, VanillaDiscriminator, VanillaGAN
from disentangle.models.blocks import instance_norm


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("size", "latents", "generator", "discriminator"),
    [
        (32, 6, [256, 128, 64, 64], [64, 128, 256]),
        (64, 6, [512, 256, 128, 64, 64], [64, 128, 256, 512]),
        (128, 30, [1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024]),
        (256, 30, [1024, 1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024, 1024]),
    ],
)
def test_the_widths_are_the_published_ones(
    size: int, latents: int, generator: list[int], discriminator: list[int]
) -> None:
    with torch.device("meta"):
        model = VanillaGAN(size=size, channels=3, latent_size=latents)
        judge = VanillaDiscriminator(size=size, channels=3)
    assert [conv.out_channels for conv in (model.first, *model.convs)] == generator
    assert [layer.out_channels for layer in judge.features if isinstance(layer, nn.Conv2d)] == discriminator
    (projection,) = model.projections()
    assert projection.matrix().shape == (generator[0] * 16, latents)
    assert (judge.logit[0].out_features, isinstance(judge.logit[1], nn.ReLU)) == (discriminator[-1], size < 128)


def plain_generator(model: VanillaGAN, latents: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The published network written out, with what its convolutions compute."""
    maps = [F.conv_transpose2d(latents[:, :, None, None], model.first.weight, model.first.bias)]
    h = maps[0]
    for conv, norm in zip(model.convs, model.norms, strict=True):
        assert conv.bias is None
        maps.append(F.conv_transpose2d(h, conv.weight, stride=2, padding=1))
        h = F.leaky_relu(F.instance_norm(maps[-1], weight=norm.weight, bias=norm.bias, eps=1e-6), 0.2)
    return torch.tanh(F.conv2d(h, model.to_image.weight, model.to_image.bias, padding=1)), maps


def scatter(model: nn.Module) -> None:
    """Let every scale and shift of a norm be its own."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=seeded(len(name)), dtype=parameter.dtype))


def test_generator_and_activations_are_the_network_written_out() -> None:
    model = VanillaGAN(size=32, channels=3, latent_size=4, base_channels=2, max_channels=4).double()
    scatter(model)
    latents = model.sample_latents(3, seeded())
    images, maps = plain_generator(model, latents)
    assert torch.allclose(model(latents), images, rtol=0, atol=1e-12)
    shown = model.activations(latents, layers=2)
    assert [tuple(a.shape) for a in shown] == [(3, 4, 4, 4), (3, 4, 8, 8)]
    both = model.picture_and_activations(latents, 3)
    assert torch.allclose(both[0], images, rtol=0, atol=1e-12)
    for got in (shown, both[1], model.activations(latents, layers=9)):
        assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(got, maps))
    assert (len(both[1]), len(model.activations(latents))) == (3, 4)
    with pytest.raises(ValueError, match="layers must be at least 1, got 0"):
        model.activations(latents, layers=0)


def test_discriminator_is_the_network_written_out() -> None:
    judge = VanillaDiscriminator(size=32, channels=1, base_channels=2).double()
    scatter(judge)
    images = torch.randn(3, 1, 32, 32, generator=seeded(), dtype=torch.float64)
    state = judge.state_dict()
    h = F.relu(F.conv2d(images, state["features.0.weight"], state["features.0.bias"], stride=2, padding=1))
    for i in (2, 5):
        h = F.conv2d(h, state[f"features.{i}.weight"], stride=2, padding=1)
        norm = {"weight": state[f"features.{i + 1}.weight"], "bias": state[f"features.{i + 1}.bias"]}
        h = F.relu(F.instance_norm(h, **norm, eps=1e-6))
    h = F.relu(F.linear(h.flatten(1), state["logit.0.weight"], state["logit.0.bias"]))
    expected = F.linear(h, state["logit.2.weight"], state["logit.2.bias"])[:, 0]
    assert torch.allclose(judge(images), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_is_that_to_the_second_derivative(form: torch.memory_format) -> None:
    norm = instance_norm(3).double()
    scatter(norm)
    x = torch.randn(2, 3, 4, 4, generator=seeded(), dtype=torch.float64).contiguous(memory_format=form).requires_grad_()
    results = []
    for output in (norm(x), F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-6)):
        inputs = [x, norm.weight, norm.bias]
        first = torch.autograd.grad(output.sin().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        results.append([output, *first, *second])
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-11)


def test_eigengans_activations_are_its_blocks_convolutions() -> None:
    model = EigenGAN(size=32, channels=1, rank=2, noise=4, base_channels=2, max_channels=4).double()
    latents = model.sample_latents(3, seeded())
    seen: list[Tensor] = []
    for block in model.blocks:
        for conv in (block.feature_up, block.feature_same):
            conv.register_forward_hook(lambda _, __, output: seen.append(output))
    images, shown = model.picture_and_activations(latents, 9)
    assert torch.equal(images, model(latents))
    assert len(shown) == 5
    assert all(torch.equal(a, b) for a, b in zip(shown, seen))
    seen.clear()
    assert all(torch.equal(a, b) for a, b in zip(model.activations(latents, 3), shown))
    assert len(seen) == 3, "nothing is computed that was not asked for"


def test_the_recogniser_sees_the_difference_and_learns() -> None:
    model = Recogniser(size=32, channels=1, latents=3, base_channels=2, hidden=4).double()
    first, second = torch.randn(2, 5, 1, 32, 32, generator=seeded(), dtype=torch.float64)
    logits = model(first, second)
    assert logits.shape == (5, 3)
    assert torch.allclose(model(first + 1, second + 1), logits, rtol=0, atol=1e-12)
    assert not torch.allclose(model(second, first), logits)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    published = Recogniser(size=64, channels=1, latents=6, base_channels=4, hidden=16)
    shapes = [tuple(p.shape) for p in published.parameters() if p.ndim > 1]
    assert shapes == [(4, 1, 4, 4), (4, 4, 4, 4), (4, 4, 4, 4), (4, 4, 4, 4), (16, 64), (6, 16)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VanillaGAN(size=48), "power of two, at least 32, got 48"),
        (lambda: VanillaDiscriminator(size=16), "got 16"),
        (lambda: Recogniser(size=100), "got 100"),
        (lambda: VanillaGAN(channels=2), "channels must be 1"),
        (lambda: VanillaDiscriminator(channels=2), "channels must be 1"),
        (lambda: Recogniser(channels=2), "channels must be 1"),
        (lambda: VanillaGAN(latent_size=0), "latent_size must be at least 1, got 0"),
        (lambda: VanillaDiscriminator(base_channels=0), "base_channels must be at least 1, got 0"),
        (lambda: Recogniser(hidden=0), "hidden must be at least 1, got 0"),
    ],
)
def test_impossible_models_are_refused(make, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()
