"""From tensors to pictures: 8-bit, side by side, as PNG."""

import io

import torch
from PIL import Image
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Round pictures to 8 bits.

    Args:
        images: float, any shape, black -1 to white 1; what lies outside is clipped and NaN becomes black.

    Returns:
        uint8 of the same shape, on the CPU.

    Raises:
        TypeError: where ``images`` is not floating point (an 8-bit picture would come out nearly white).
    """
    if not images.is_floating_point():
        raise TypeError(f"expected float pictures in [-1, 1], got {images.dtype}")
    scaled = (images.detach().float() + 1.0) * 127.5
    return torch.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).round().clamp(0, 255).to(torch.uint8).cpu()


def from_uint8(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """8-bit pictures of any shape as networks take them: float, black -1 to white 1, on the same device."""
    return images.to(dtype, copy=True).div_(127.5).sub_(1)


def to_pil(image: Tensor) -> Image.Image:
    """One picture ``(c, h, w)``, uint8, or float in [-1, 1]: mode ``L`` for one channel, ``RGB`` for three."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"expected a picture (1 or 3, height, width), got shape {tuple(image.shape)}")
    pixels = image.cpu() if image.dtype == torch.uint8 else to_uint8(image)
    if image.shape[0] == 1:
        return Image.fromarray(pixels[0].contiguous().numpy())
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def grid(images: Tensor, columns: int, pad: int = 2, scale: int = 1) -> Image.Image:
    """Pictures side by side, row by row, on white.

    Args:
        images: uint8 ``(n, c, h, w)``, ``c`` 1 or 3; or float in [-1, 1].
        columns: pictures in a row; the last row may be shorter.
        pad: white pixels between pictures and around them.
        scale: every pixel becomes ``scale * scale`` equal ones.

    Returns:
        a picture of ``columns * (w * scale + pad) + pad`` by ``rows * (h * scale + pad) + pad`` pixels.

    Raises:
        ValueError: where there is no picture, or ``columns``, ``pad`` or ``scale`` is out of range.
    """
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"expected pictures (n, channels, height, width) with n > 0, got shape {tuple(images.shape)}")
    if columns < 1 or scale < 1 or pad < 0:
        raise ValueError(f"expected columns and scale > 0 and pad >= 0, got {columns}, {scale} and {pad}")
    tiles = [to_pil(image) for image in images]
    width, height = tiles[0].width * scale, tiles[0].height * scale
    rows = -(-len(tiles) // columns)
    white = 255 if tiles[0].mode == "L" else (255, 255, 255)
    sheet = Image.new(tiles[0].mode, (columns * (width + pad) + pad, rows * (height + pad) + pad), white)
    for i, tile in enumerate(tiles):
        place = (pad + (i % columns) * (width + pad), pad + (i // columns) * (height + pad))
        sheet.paste(tile.resize((width, height), Image.Resampling.NEAREST), place)
    return sheet


def png_bytes(image: Image.Image) -> bytes:
    """The picture as a PNG file's bytes; equal pictures give equal bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
