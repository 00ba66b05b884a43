"""Tensors become exactly the pictures they say."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from disentangle.pictures import from_uint8, grid, png_bytes, to_pil, to_uint8


def test_to_uint8_rounds_and_clips() -> None:
    values = torch.tensor([-1.0, 1.0, 0.0, -7.0, 7.0, float("nan"), float("inf"), -1.0 + 0.9 / 127.5])
    assert to_uint8(values).tolist() == [0, 255, 128, 0, 255, 0, 255, 1]


def test_to_uint8_inverts_the_scaling_of_every_grey() -> None:
    greys = torch.arange(256)
    assert torch.equal(to_uint8(greys / 127.5 - 1.0), greys.to(torch.uint8))


def test_to_uint8_refuses_integers() -> None:
    with pytest.raises(TypeError, match="uint8"):
        to_uint8(torch.zeros(2, dtype=torch.uint8))


def test_grid_puts_every_picture_in_its_place() -> None:
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 2, 3) * 10
    sheet = np.asarray(grid(images, columns=3, pad=1, scale=2))
    assert sheet.shape == (2 * 5 + 1, 3 * 7 + 1)
    for i in range(5):
        top, left = 1 + (i // 3) * 5, 1 + (i % 3) * 7
        assert (sheet[top : top + 4, left : left + 6] == 10 * i).all()
    assert (sheet[6:, 15:] == 255).all(), "the missing sixth picture stays white"
    assert (sheet[0] == 255).all()


def test_grid_keeps_colours_and_orientation() -> None:
    image = torch.randint(0, 256, (3, 4, 5), dtype=torch.uint8)
    assert np.array_equal(np.asarray(to_pil(image)), image.permute(1, 2, 0).numpy())
    assert np.array_equal(np.asarray(grid(image[None], 1, pad=0)), image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("shape", [(0, 1, 2, 2), (1, 2, 2), (1, 2, 2, 2)])
def test_grid_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        grid(torch.zeros(shape, dtype=torch.uint8), 1)


def test_png_bytes_is_lossless() -> None:
    image = to_pil(torch.randint(0, 256, (1, 8, 8), dtype=torch.uint8))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(image)))), np.asarray(image))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_eight_bits_lie_between_black_and_white(dtype: torch.dtype) -> None:
    greys = torch.arange(256, dtype=torch.uint8)
    images = from_uint8(greys, dtype)
    assert images.dtype == dtype
    assert torch.allclose(images, torch.linspace(-1, 1, 256, dtype=torch.float64).to(dtype), rtol=0, atol=1e-6)
    assert torch.equal(to_uint8(images), greys)
