"""dSprites, as published: 737,280 pictures of 64×64 of one white shape on black.

L. Matthey, I. Higgins, D. Hassabis, A. Lerchner, "dSprites: Disentanglement testing Sprites dataset", 2017,
https://github.com/google-deepmind/dsprites-dataset. The file also holds a pickle, ``metadata``, which is not read.
"""

from collections.abc import Iterator
from math import degrees, prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from disentangle.data import files
from disentangle.data.base import Description, FactorGrid, check_choice, refuse_split
from disentangle.data.download import Remote
from disentangle.data.grid_set import ArrayGrid
from disentangle.data.npz import Array
from disentangle.data.unpacked import Bytes, shrunk, unpacked

NAME = "dsprites"
NAMES = ("shape", "scale", "orientation", "x", "y")
SHAPES = ("square", "ellipse", "heart")
LARGEST = 1 << 20  # pictures
# the authors give no checksum; the libraries that check the file agree on this one
FILE = Remote(
    "https://github.com/google-deepmind/dsprites-dataset/raw/master/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",
    "md5:7da33b31b13a06f4b04a70402ce90c2e",
)
MEND = "`disentangle data get dsprites` fetches it again, once it is removed"


def load_dsprites(size: int | None = None, channels: int | None = None, root: Path | None = None) -> ArrayGrid:
    """dSprites (:class:`disentangle.data.base.GridSet`), with the factors of ``sprites``; the colour has one value.

    The pictures are black and white: they are kept as bits (377 MB), beside the file from the first time on.

    Args:
        size: 64, or 32: each pixel the mean of four.
        channels: 1, or 3 equal ones.
        root: the folder with the file, if it is in none of :func:`disentangle.data.files.places`.

    Raises:
        UserError: for another size or number of channels; where the file is missing, damaged or another one.
    """
    size = check_choice("size", NAME, size, (64, 32))
    channels = check_choice("channels", NAME, channels, (1, 3))
    folder = find(root)
    if folder is None:
        raise files.missing(NAME, FILE.name, root)
    path = folder / FILE.name
    pictures = Array(path, "imgs", MEND)
    count = pictures.shape[0]
    if pictures.shape[1:] != (64, 64) or pictures.dtype not in (np.uint8, np.bool_) or count > LARGEST:
        raise files.damaged(path, f"imgs has the shape {pictures.shape} and type {pictures.dtype}", MEND)
    grid = _grid(path, count)

    def packed() -> Iterator[Bytes]:
        for piece in pictures.rows():
            yield np.packbits(piece.reshape(len(piece), -1).astype(bool), axis=1)

    bits = unpacked(path, "bits", (count, 64 * 64 // 8), packed)

    def rows(indices: npt.NDArray[np.int64]) -> Bytes:
        return shrunk(np.unpackbits(bits[indices], axis=1).reshape(-1, 64, 64, 1) * np.uint8(255), size)

    return ArrayGrid(NAME, grid, rows, size, channels)


def find(root: Path | None) -> Path | None:
    """The folder with the file."""
    return files.find(lambda folder: (folder / FILE.name).is_file(), (".", NAME, "dsprites-dataset"), root)


def _grid(path: Path, count: int) -> FactorGrid:
    """The factors, from the columns of the file; the first of them is the colour."""
    classes, values = (_column(path, key, count) for key in ("latents_classes", "latents_values"))
    if classes.dtype.kind not in "iu" or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise files.damaged(path, "its classes are not all integers, or its values not all finite", MEND)
    sizes = tuple((classes.max(0, initial=-1) + 1).tolist())
    if sizes[0] != 1 or prod(sizes) != count or sizes[1] > len(SHAPES):
        raise files.damaged(path, f"the classes have {sizes} values for {count:,} pictures", MEND)
    expected = np.stack(np.unravel_index(np.arange(count), sizes), axis=1)
    if not np.array_equal(classes, expected):
        raise files.damaged(path, "the pictures are not in the published order", MEND)
    # the first picture with each value, as the order is known
    steps = [prod(sizes[column + 1 :]) for column in range(6)]
    scale, orientation, x, y = ([values[i * steps[k], k] for i in range(sizes[k])] for k in range(2, 6))
    words = (
        SHAPES[: sizes[1]],
        tuple(f"{value:.1f}" for value in scale),
        tuple(f"{degrees(value):.0f}°" for value in orientation),
        *(tuple(f"{value:.2f}" for value in place) for place in (x, y)),
    )
    return FactorGrid(NAMES, words)


def _column(path: Path, key: str, count: int) -> npt.NDArray[Any]:
    array = Array(path, key, MEND)
    if array.shape != (count, 6):
        raise files.damaged(path, f"{key} has the shape {array.shape}, expected ({count}, 6)", MEND)
    return array.read()


def _load(size: int | None, channels: int | None, root: Path | None, split: str | None) -> ArrayGrid:
    refuse_split(NAME, split)
    return load_dsprites(size, channels, root)


DESCRIPTION = Description(
    name=NAME,
    summary="dSprites as published: one white shape on black",
    count="737,280",
    sizes="32, 64",
    channels=(1, 3),
    factors="shape 3, scale 6, orientation 40, x 32, y 32",
    find=find,
    load=_load,
    files=(FILE,),
)
