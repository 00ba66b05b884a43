"""The encoder for generators without one: shapes, gradients, round trips, and that nothing in a picture is hidden."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from disentangle.errors import UserError
from disentangle.generator import Encoder
from disentangle.models import LatentEncoder


def small(**changes: int) -> LatentEncoder:
    return LatentEncoder(**{"size": 32, "channels": 3, "codes": 5, "width": 2, "hidden": 6} | changes)


def pictures(n: int = 3, size: int = 32, channels: int = 3) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3), (48, 3), (64, 1), (256, 3)])
def test_pictures_of_any_size_have_codes(size: int, channels: int) -> None:
    model = small(size=size, channels=channels, width=1)
    assert isinstance(model, Encoder)
    codes = model.encode(pictures(2, size, channels))
    assert (codes.shape, codes.dtype) == ((2, 5), torch.float32)
    assert 4 <= model.features(pictures(1, size, channels)).shape[-1] <= 7


def test_the_published_sizes() -> None:
    """At 64×64 four convolutions of stride 2 and a dense layer of 256, as Locatello et al.'s encoder has."""
    shapes = [tuple(p.shape) for p in LatentEncoder(64, 1, 10).parameters() if p.ndim > 1]
    assert shapes == [(32, 1, 4, 4), (64, 32, 4, 4), (128, 64, 4, 4), (128, 128, 4, 4), (256, 128 * 16), (10, 256)]


def test_every_parameter_learns_and_no_picture_sees_another() -> None:
    model = small().double()
    images = pictures().double()
    codes = model.encode(images)
    assert codes.dtype == torch.float64
    codes.square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in model.parameters())
    assert torch.allclose(model.encode(images[1:2]), codes[1:2], rtol=0, atol=1e-13)


def test_brightness_and_contrast_reach_the_codes() -> None:
    model = small().double()
    images = pictures().double()
    codes = model.encode(images)
    for other in (0.5 * images, 0.5 * images + 0.5):
        assert ((model.encode(other) - codes).norm(dim=1) > 0.1 * codes.norm(dim=1)).all()


def test_the_seed_decides_the_weights_and_a_saved_model_is_the_same(tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    one, same, other = small(seed=1), small(seed=1), small(seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one.encode(pictures()), same.encode(pictures()))
    assert not torch.equal(one.encode(pictures()), other.encode(pictures()))
    one.save_pretrained(tmp_path, safe_serialization=True)
    loaded = LatentEncoder.from_pretrained(tmp_path, use_safetensors=True)
    assert torch.equal(loaded.encode(pictures()), one.encode(pictures()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: small(size=7), "size must be at least 8, got 7"),
        (lambda: small(channels=2), "channels must be 1"),
        (lambda: small(codes=0), "codes must be at least 1, got 0"),
        (lambda: small(width=0), "width must be at least 1, got 0"),
    ],
)
def test_impossible_encoders_are_refused(make: Callable[[], LatentEncoder], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()
