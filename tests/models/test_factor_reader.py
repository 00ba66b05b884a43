"""The reader of factors: shapes, gradients, round trips, and that nothing in a picture is hidden."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from disentangle.errors import UserError
from disentangle.models import FactorReader


def small(**changes: object) -> FactorReader:
    return FactorReader(**{"size": 32, "channels": 3, "classes": (3, 5), "width": 2, "hidden": 6} | changes)


def pictures(n: int = 3, size: int = 32, channels: int = 3) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3), (48, 3), (64, 1), (250, 3)])
def test_pictures_of_any_size_are_read(size: int, channels: int) -> None:
    model = small(size=size, channels=channels)
    read = model.read(pictures(2, size, channels))
    assert [tuple(each.shape) for each in read] == [(2, 3), (2, 5)]
    for each in read:
        assert (each > 0).all()
        torch.testing.assert_close(each.sum(1), torch.ones(2))


def test_large_pictures_are_averaged_first() -> None:
    large, half = small(size=64), small(size=32)
    images = pictures(size=64)
    halved = torch.nn.functional.avg_pool2d(images, 2)
    for one, other in zip(large(images), half(halved), strict=True):
        assert torch.equal(one, other)


def test_every_parameter_learns_and_no_picture_sees_another() -> None:
    model = small().double()
    images = pictures().double()
    logits = torch.cat(model(images), dim=1)
    logits.square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in model.parameters())
    assert torch.allclose(torch.cat(model(images[1:2]), dim=1), logits[1:2], rtol=0, atol=1e-13)
    brighter = torch.cat(model(0.5 * images + 0.5), dim=1)
    assert ((brighter - logits).norm(dim=1) > 0.1 * logits.norm(dim=1)).all()


def test_the_seed_decides_the_weights_and_a_saved_model_is_the_same(tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    one, same, other = (torch.cat(small(seed=seed)(pictures()), dim=1) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    small(seed=1).save_pretrained(tmp_path, safe_serialization=True)
    loaded = FactorReader.from_pretrained(tmp_path, use_safetensors=True)
    assert torch.equal(torch.cat(loaded(pictures()), dim=1), one)
    assert loaded.classes == (3, 5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: small(size=7), "size must be at least 8, got 7"),
        (lambda: small(channels=2), "channels must be 1"),
        (lambda: small(classes=()), "needs a factor to read"),
        (lambda: small(classes=(2, 0)), "classes must be at least 1, got 0"),
        (lambda: small(width=0), "width must be at least 1, got 0"),
    ],
)
def test_impossible_readers_are_refused(make: Callable[[], FactorReader], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()
