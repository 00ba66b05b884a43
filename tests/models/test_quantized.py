"""Codes that are snapped to values: QLAE's and Tripod's."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from disentangle.models import QLAE, Tripod
from disentangle.models.quantized import QuantizedAutoencoder
from disentangle.models.quantizers import nearest, straight_through

SMALL = {"size": 32, "channels": 1, "encoder_channels": 2, "hidden": 8, "base_channels": 2, "max_channels": 4}


def qlae(**changes: int | str) -> QLAE:
    """A QLAE of 3 codes with 4 values, uneven, unsorted and different for each code."""
    model = QLAE(**SMALL | {"decoder": "conv", "latent_size": 3, "values": 4} | changes).double()
    draw = torch.Generator().manual_seed(5)
    model.codebook.data = torch.randn(model.codebook.shape, generator=draw, dtype=torch.float64)
    return model


def tripod(**changes: int | str) -> Tripod:
    return Tripod(**SMALL | {"decoder": "conv", "latent_size": 3, "values": 4} | changes).double()


@pytest.fixture(params=[qlae, tripod])
def build(request: pytest.FixtureRequest) -> Callable[..., QuantizedAutoencoder]:
    return request.param


def pictures(n: int = 6) -> Tensor:
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def test_each_code_takes_the_nearest_of_its_own_values() -> None:
    values = torch.tensor([[3.0, -1.0, 0.0], [10.0, 20.0, 30.0]], requires_grad=True)
    codes = torch.tensor([[-0.6, 14.9], [0.4, 15.1], [99.0, -99.0]], requires_grad=True)
    snapped = nearest(codes, values)
    assert snapped.tolist() == [[-1, 10], [0, 20], [3, 10]]
    snapped.square().sum().backward()
    assert codes.grad is None
    assert values.grad.tolist() == [[6, -2, 0], [40, 40, 0]]


def test_straight_through_is_the_values_with_the_codes_gradient() -> None:
    codes, values = torch.tensor([[0.1, 0.7]], requires_grad=True), torch.tensor([[1 / 3, 1e8]], requires_grad=True)
    through = straight_through(codes, values)
    assert torch.equal(through, values)
    (through * torch.tensor([[2.0, 5.0]])).sum().backward()
    assert codes.grad.tolist() == [[2, 5]]
    assert values.grad is None


def test_the_values_begin_as_published() -> None:
    first = QLAE(**SMALL).values()
    assert first.shape == (9, 10)
    assert torch.allclose(first, torch.linspace(-0.5, 0.5, 10).expand(9, -1))
    grid = Tripod(**SMALL).values()
    assert grid.shape == (9, 12)
    assert torch.allclose(grid[4], -1 + 2 * torch.arange(12) / 11)
    assert QLAE(**SMALL).codebook.ndim == 1, "weight decay spares vectors, and is to spare the values"


def test_latents_are_values_of_unit_variance(build: Callable[..., QuantizedAutoencoder]) -> None:
    model = build()
    values = model.values().detach()
    zero, unit = values.mean(1), values.std(1, correction=0)
    latents = model.sample_latents(4_000, torch.Generator().manual_seed(0))
    for k in range(3):
        found, counts = latents[:, k].unique(return_counts=True)
        assert torch.allclose(found, ((values[k] - zero[k]) / unit[k]).sort().values, rtol=0, atol=1e-12)
        assert (counts - 1_000).abs().max() < 5 * (4_000 * 0.25 * 0.75) ** 0.5


def test_encoding_and_synthesis_use_the_same_units(build: Callable[..., QuantizedAutoencoder]) -> None:
    model, images = build(), pictures()
    codes = model.codes_of(images)
    latents = model.encode(images)
    values = model.values().detach()
    assert torch.allclose(latents * values.std(1, correction=0) + values.mean(1), model.snap(codes), rtol=0, atol=1e-12)
    expected = torch.tanh(model.synthesis(model.snap(codes)) / 2)
    assert torch.allclose(model.synthesize(latents), expected, rtol=0, atol=1e-12)
    assert torch.allclose(model(images), expected, rtol=0, atol=1e-12)
    nudged = latents + 1e-3 * torch.randn_like(latents)
    assert torch.equal(model.synthesize(nudged), model.synthesize(latents)), "between two values nothing changes"


def test_gradients_pass_the_snapping(build: Callable[..., QuantizedAutoencoder]) -> None:
    model, images = build(), pictures()
    latents = model.encode(images).detach().requires_grad_()
    (through,) = torch.autograd.grad(model.logits(latents).sum(), latents)
    values = model.values().detach()
    codes = model.snap(latents.detach() * values.std(1, correction=0) + values.mean(1)).requires_grad_()
    (direct,) = torch.autograd.grad(model.synthesis(codes).sum(), codes)
    assert torch.allclose(through, direct * values.std(1, correction=0), rtol=1e-9, atol=1e-12)
    model.encode(images).sum().backward()
    assert model.encoder[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("decoder", ["conv", "subspace"])
def test_projections_map_latents_in_their_units(build: Callable[..., QuantizedAutoencoder], decoder: str) -> None:
    model = build(decoder=decoder, latent_size=3, rank=1)
    unit = model.values().detach().std(1, correction=0)
    layers = model.projections()
    assert [i for layer in layers for i in range(3)[layer.latents]] == [0, 1, 2]
    for layer in layers:
        weight = model.get_parameter(layer.parameter)
        if decoder == "conv":
            assert torch.allclose(layer.matrix(), weight.detach() * unit, rtol=1e-12)
        else:
            scale = model.get_parameter(layer.parameter.replace("basis", "scale"))
            assert torch.allclose(
                layer.matrix(), (scale[:, None] * weight).mT.detach() * unit[layer.latents], rtol=1e-12
            )


@pytest.mark.parametrize("decoder", ["conv", "subspace"])
def test_a_decoder_starts_from_the_mean_intensity(decoder: str) -> None:
    model = Tripod(**SMALL | {"decoder": decoder, "channels": 3})
    images = torch.tensor([[0.5, -0.5, -1.0], [0.7, -0.7, -1.0]])[:, :, None, None].expand(-1, -1, 32, 32)
    with torch.no_grad():
        before = model.logits(torch.zeros(1, model.latent_size))
        model.start_from(images)
        moved = model.logits(torch.zeros(1, model.latent_size)) - before
    *_, old = (
        p for name, p in Tripod(**SMALL | {"decoder": decoder, "channels": 3}).named_parameters() if p.shape == (3,)
    )
    expected = torch.tensor([2 * torch.atanh(torch.tensor(0.6)), -2 * torch.atanh(torch.tensor(0.6)), math.log(1 / 99)])
    assert torch.allclose(moved, (expected - old.detach())[:, None, None].expand(3, 32, 32), rtol=0, atol=1e-5)


def test_values_that_coincide_make_no_nan() -> None:
    model = qlae()
    model.codebook.data.fill_(0.3)
    latents = model.sample_latents(2)
    assert latents.tolist() == [[0] * 3] * 2
    assert model.synthesize(latents).isfinite().all()
    assert model.encode(pictures()).isfinite().all()


def count(module: torch.nn.Module, kind: type[torch.nn.Module]) -> list[torch.nn.Module]:
    return [m for m in module.modules() if isinstance(m, kind)]


def test_the_published_networks() -> None:
    with torch.device("meta"):
        one, two = QLAE(channels=3, decoder="published", latent_size=12), Tripod(channels=3, decoder="published")
    down = [(c.out_channels, c.stride[0]) for c in count(one.encoder, torch.nn.Conv2d)]
    assert down == [(w, s) for w in (32, 64, 128, 256) for s in (1, 1, 2)]
    up = [(c.out_channels, c.stride[0]) for c in count(one.synthesis, torch.nn.ConvTranspose2d)]
    assert up == [(w, s) for w in (256, 128, 64, 32) for s in (1, 1, 2)]
    assert [f.shape[2:] for f in two.synthesis.features(torch.empty(2, 10, device="meta"))[1:]] == [
        (s, s) for s in (8, 16, 32, 64)
    ]
    assert one.synthesize(torch.empty(2, 12, device="meta")).shape == (2, 3, 64, 64)
    assert one.codes_of(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 12)
    assert two.codes_of(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 10)
    assert one.projections()[0].parameter == "synthesis.dense.0.weight"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 48}, "size must be 32 or 64, got 48"),
        ({"channels": 2}, "channels must be 1"),
        ({"decoder": "dense"}, "unknown decoder 'dense'"),
        ({"decoder": "published"}, "for pictures of 64×64, got size 32"),
        ({"latent_size": 0}, "latent_size must be at least 1, got 0"),
        ({"values": 1}, "values must be at least 2, got 1"),
        ({"hidden": 0}, "at least 1"),
        ({"decoder": "subspace", "rank": 2, "latent_size": 7}, "has 6 codes, 2 a layer, and latent_size is 7"),
    ],
)
def test_impossible_models_are_refused(
    build: Callable[..., QuantizedAutoencoder], changes: dict[str, int | str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        build(**changes)
