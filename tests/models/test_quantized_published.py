"""The published networks of QLAE and Tripod, written out from their papers' programs in plain functions."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from disentangle.models import QLAE, Tripod
from disentangle.models.quantized import QuantizedAutoencoder

State = dict[str, Tensor]
Codes = Callable[[State, Tensor], Tensor]
Layers = Callable[[State, Tensor], list[Tensor]]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scattered(model: QuantizedAutoencoder) -> State:
    """Give every scale, shift and learned constant of a model its own values; all of its weights by name."""
    model.double()
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            if parameter.ndim in (1, 3):
                parameter.add_(0.5 * torch.randn(parameter.shape, generator=seeded(i), dtype=parameter.dtype))
    return model.state_dict()


def pictures() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=seeded(7), dtype=torch.float64) * 2 - 1


def normed(x: Tensor, eps: float) -> Tensor:
    """Each map with mean 0 and variance 1."""
    centred = x - x.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True) + eps).sqrt()


def mapped(vector: Tensor) -> Tensor:
    return vector[..., None, None]


def qlae_codes(state: State, h: Tensor) -> Tensor:
    """Four times two convolutions of 3×3 and one of 4×4, stride 2; each with an instance norm and a leaky ReLU."""
    for i in range(12):
        h = F.conv2d(h, state[f"encoder.{3 * i}.weight"], stride=2 if i % 3 == 2 else 1, padding=1)
        scale, shift = (mapped(state[f"encoder.{3 * i + 1}.{kind}"]) for kind in ("weight", "bias"))
        h = F.leaky_relu(normed(h, 1e-6) * scale + shift, 0.2)
    h = h.reshape(len(h), 256 * 4 * 4)
    h = F.relu(F.linear(h, state["encoder.37.weight"], state["encoder.37.bias"]))
    h = F.relu(F.linear(h, state["encoder.39.weight"], state["encoder.39.bias"]))
    return F.linear(h, state["encoder.41.weight"], state["encoder.41.bias"])


def qlae_logits(state: State, codes: Tensor) -> list[Tensor]:
    """The same the other way round: after the leaky ReLU comes the norm, and scale and shift are ReLUs of the style."""
    style = codes
    for i in (0, 2):
        style = F.relu(F.linear(style, state[f"synthesis.dense.{i}.weight"], state[f"synthesis.dense.{i}.bias"]))
    h, outputs = state["synthesis.seed_features"].repeat(len(codes), 1, 1, 1), [style]
    for i in range(12):
        weight = state[f"synthesis.convolutions.{i}.weight"]
        h = F.leaky_relu(F.conv_transpose2d(h, weight, stride=2 if i % 3 == 2 else 1, padding=1), 0.2)
        layer = f"synthesis.styles.{i}.0"
        scale, shift = F.relu(F.linear(style, state[f"{layer}.weight"], state[f"{layer}.bias"])).chunk(2, dim=1)
        h = normed(h, 1e-6) * mapped(scale) + mapped(shift)
        outputs.append(h)
    return [*outputs, F.conv2d(h, state["synthesis.to_image.weight"], padding=1)]


def tripod_dense(state: State, name: str, first: int, h: Tensor) -> Tensor:
    """A dense layer, a layer norm and a GELU by the hyperbolic tangent."""
    h = F.linear(h, state[f"{name}.{first}.weight"], state[f"{name}.{first}.bias"])
    norm = state[f"{name}.{first + 1}.weight"], state[f"{name}.{first + 1}.bias"]
    return F.gelu(F.layer_norm(h, h.shape[1:], *norm, eps=1e-5), approximate="tanh")


def tripod_block(state: State, name: str, h: Tensor, style: Tensor | None) -> Tensor:
    """Two convolutions, norms and GELUs beside a shortcut; of a style, the scales are 1 + its own."""
    r = h
    for i in range(2):
        r = F.conv2d(r, state[f"{name}.convolutions.{i}.weight"], state[f"{name}.convolutions.{i}.bias"], padding=1)
        if style is None:
            scale, shift = state[f"{name}.norms.{i}.weight"], state[f"{name}.norms.{i}.bias"]
        else:
            layer = f"{name}.styles.{i}"
            scale, shift = F.linear(style, state[f"{layer}.weight"], state[f"{layer}.bias"]).chunk(2, dim=1)
            scale = 1 + scale
        r = F.gelu(normed(r, 1e-5) * mapped(scale) + mapped(shift), approximate="tanh")
    if r.shape != h.shape:
        h = F.conv2d(h, state[f"{name}.shortcut.weight"], state[f"{name}.shortcut.bias"])
    return h + r


def tripod_codes(state: State, h: Tensor) -> Tensor:
    """Four times two blocks and a 1×1 convolution of each 2×2 pixels; their average, and two dense layers."""
    for i in range(0, 16, 4):
        for j in range(2):
            h = tripod_block(state, f"encoder.{i + j}", h, None)
        n, c, height, width = h.shape
        h = h.reshape(n, c, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
        h = h.reshape(n, 4 * c, height // 2, width // 2)
        h = F.conv2d(h, state[f"encoder.{i + 3}.weight"], state[f"encoder.{i + 3}.bias"])
    h = tripod_dense(state, "encoder", 18, h.mean((2, 3)))
    return torch.tanh(F.linear(h, state["encoder.21.weight"], state["encoder.21.bias"]))


def tripod_logits(state: State, codes: Tensor) -> list[Tensor]:
    """Four times two blocks of the codes' style, each pixel doubled and a convolution of 3×3."""
    style = tripod_dense(state, "synthesis.dense", 3, tripod_dense(state, "synthesis.dense", 0, codes))
    h, outputs = state["synthesis.seed_features"].repeat(len(codes), 1, 1, 1), [style]
    for i in range(4):
        for j in range(2):
            h = tripod_block(state, f"synthesis.blocks.{i}.{j}", h, style)
        h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
        h = F.conv2d(h, state[f"synthesis.ups.{i}.1.weight"], state[f"synthesis.ups.{i}.1.bias"], padding=1)
        outputs.append(h)
    return outputs


@pytest.mark.parametrize(
    ("kind", "codes_of", "layers_of", "constant", "channels"),
    [(QLAE, qlae_codes, qlae_logits, 0.1, 256), (Tripod, tripod_codes, tripod_logits, 1.0, 512)],
)
def test_networks_are_the_published_ones_written_out(
    kind: type[QuantizedAutoencoder], codes_of: Codes, layers_of: Layers, constant: float, channels: int
) -> None:
    model = kind(channels=3, decoder="published", latent_size=10)
    assert torch.equal(model.synthesis.seed_features.detach(), torch.full((channels, 4, 4), constant))
    state = scattered(model)
    with torch.no_grad():
        codes = model.codes_of(pictures())
        assert torch.allclose(codes, codes_of(state, pictures()), rtol=0, atol=1e-10)
        assert codes.std(0).max() > 0.01, "the pictures decide"
        snapped = model.snap(codes)
        got, expected = model.synthesis.features(snapped), layers_of(state, snapped)
        for one, other in zip(got, expected, strict=True):
            assert torch.allclose(one, other, rtol=0, atol=1e-10)
        assert torch.equal(model.synthesis(snapped), got[-1])
        assert got[-1].shape == (2, 3, 64, 64)
