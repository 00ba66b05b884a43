"""The fast forms of EigenGAN's layers equal the published, direct ones, first and second derivatives included."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.models.blocks import SLOPE, EigenBlock, ToImage, add_and_activate, keep_variance

FORMATS = [torch.contiguous_format, torch.channels_last]


def direct_block(block: EigenBlock, latents: Tensor, features: Tensor) -> Tensor:
    """EigenGAN's block as published: the subspace's features of every picture, then the convolutions of these."""
    phi = block.subspace(latents).unflatten(1, block.shape)
    h = block.feature_up(F.leaky_relu(features + block.subspace_same(phi), SLOPE))
    return block.feature_same(F.leaky_relu(h + block.subspace_up(phi), SLOPE))


def derivatives(output: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The output, the gradients of a non-linear function of it, and the gradients of their squared norm."""
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    first = torch.autograd.grad((weights * output.sin()).sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
    return [output, *first, *second]


def assert_all_equal(got: list[Tensor], expected: list[Tensor]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert b.abs().max() > 0
        assert (a - b).abs().max() <= 1e-12 * b.abs().max()


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("n", [1, 5])
def test_block_equals_the_direct_form(n: int, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    block = EigenBlock(6, 4, 8, rank=3).double().to(memory_format=memory_format)
    block.subspace.mean.data.normal_()
    latents = torch.randn(n, 3, dtype=torch.float64, requires_grad=True)
    features = torch.randn(n, 6, 8, 8, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    inputs = [latents, features, *block.parameters()]
    before = features.detach().clone()
    got = derivatives(block(latents, features), inputs)
    assert_all_equal(got, derivatives(direct_block(block, latents, features), inputs))
    assert torch.equal(features, before), "a block must not change what it is given"


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("kernel_size", [3, 7])
@pytest.mark.parametrize(("channels", "h", "w"), [(1, 8, 12), (1, 6, 6), (3, 8, 6), (3, 7, 9), (5, 8, 8)])
def test_to_image_equals_a_convolution(
    channels: int, h: int, w: int, kernel_size: int, memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = ToImage(4, channels, kernel_size).double().to(memory_format=memory_format)
    features = torch.randn(2, 4, h, w, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    inputs = [features, *layer.parameters()]
    got = derivatives(layer(features), inputs)
    assert_all_equal(got, derivatives(nn.Conv2d.forward(layer, features), inputs))


def test_to_image_is_saved_as_a_convolution() -> None:
    shapes = {name: tensor.shape for name, tensor in ToImage(4, 3, 7).state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in nn.Conv2d(4, 3, 7).state_dict().items()}


def test_to_image_refuses_an_even_kernel() -> None:
    with pytest.raises(ValueError, match="odd, got 4"):
        ToImage(4, 3, 4)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(48, 48, 3, padding=1),
        nn.Conv2d(48, 96, 3, stride=2, padding=1),
        nn.ConvTranspose2d(48, 24, 3, stride=2, padding=1, output_padding=1),
        nn.Conv2d(48, 48, 1),
    ],
)
def test_initial_weights_keep_the_variance(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    torch.manual_seed(0)
    keep_variance(layer)
    features = torch.randn(8, 48, 16, 16)
    for _ in range(3):  # away from the border, where zeros come in
        image = layer(F.leaky_relu(features, SLOPE))[..., 2:-2, 2:-2]
        assert abs(float(image.detach().var()) - 1) < 0.15
        features = torch.randn(8, 48, 16, 16)
    assert float(layer.bias.detach().abs().sum()) == 0


@pytest.mark.parametrize("form", FORMATS)
def test_biases_cost_the_directions_no_digits_in_bfloat16(form: torch.memory_format) -> None:
    block = EigenBlock(32, 16, 32, 4, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for conv in (block.subspace_same, block.subspace_up):
            conv.bias.fill_(0.7)
    features = torch.zeros(2, 32, 32, 32).contiguous(memory_format=form)
    latents = torch.zeros(2, 4)
    latents[1, 3] = 0.5

    def effect(bfloat16: bool) -> Tensor:
        """What moving one latent does to the features before the second activation."""
        span = torch.cat([block.subspace.basis, torch.zeros_like(block.subspace.mean)[None]]).unflatten(1, block.shape)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16), torch.no_grad():
            coordinates = F.pad(latents * block.subspace.scale * 20, (0, 1), value=0.0)
            moved = add_and_activate(features, coordinates, block.subspace_same, span.contiguous(memory_format=form))
        return moved[1].float()

    exact = effect(bfloat16=False)
    assert float((effect(bfloat16=True) - exact).norm() / exact.norm()) < 0.02
