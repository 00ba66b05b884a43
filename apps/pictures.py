"""Picture files from people: read with care, and brought to a generator's size."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from disentangle.errors import UserError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
LARGEST = 32 * 2**20
"""Bytes of a file."""
PIXELS = 50_000_000
"""Pixels of a picture: a small file can unpack to more than there is memory for."""
GREY = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def load_image(source: Path | bytes) -> Image.Image:
    """Read a picture, whoever made it.

    Args:
        source: a file, or what is in it: PNG, JPEG, WebP, BMP, or the first frame of a GIF.

    Returns:
        Mode ``L`` or ``RGB``, turned as its camera was held; what is transparent lies over white.

    Raises:
        UserError: where it is missing, too large, damaged or of another kind.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = "the picture" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _read(source)
    if len(data) > LARGEST:
        raise UserError(f"{name} has more than {LARGEST // 2**20} MB: make it smaller")
    possible = "possible: PNG, JPEG, WebP, GIF and BMP"
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; what is too large is refused below, before it is unpacked.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > PIXELS:
                    raise UserError(
                        f"{name} has {image.width:,} × {image.height:,} pixels: possible: {PIXELS:,}; make it smaller"
                    )
                image.load()
                return _plain(ImageOps.exif_transpose(image))
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"{name} has far too many pixels: possible: {PIXELS:,}; make it smaller") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is no picture that can be read: {possible}") from None
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, struct.error, zlib.error) as error:
        raise UserError(f"{name} is damaged ({error}): save it again; {possible}") from None


def fit_image(image: Image.Image, channels: int, size: int) -> Tensor:
    """Bring a picture to a generator's size: its middle square, resized with antialiasing.

    Args:
        image: of any size.
        channels: 1 for grey, 3 for RGB.
        size: height and width of the result.

    Returns:
        uint8 ``(channels, size, size)``; of a picture that fits already, its own pixels.

    Raises:
        ValueError: where there are other than one or three channels.
    """
    import numpy as np
    import torch
    from PIL import Image

    if channels not in (1, 3):
        raise ValueError(f"expected one channel or three, got {channels}")
    image = image.convert("L" if channels == 1 else "RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    fitted = image.crop(box) if side == size else image.resize((size, size), Image.Resampling.LANCZOS, box)
    return torch.from_numpy(np.array(fitted, dtype=np.uint8)).reshape(size, size, channels).permute(2, 0, 1)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a device or a pipe would never end
            raise UserError(f"{path} is no file: name a picture" if path.exists() else f"there is no picture at {path}")
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None


def _plain(image: Image.Image) -> Image.Image:
    """The picture in 8 bits, grey or RGB, over white."""
    from PIL import Image

    grey = image.mode in GREY
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / 257).convert("L")  # Pillow would clip at 255
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = Image.new("RGBA", image.size, "white")
        image.alpha_composite(clear)
    return image.convert("L" if grey else "RGB")
