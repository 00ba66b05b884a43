"""SmallNORB: 48,600 photographs of 50 toys in five categories, 96×96, grey.

Y. LeCun, F. J. Huang, L. Bottou, "Learning Methods for Generic Object Recognition with Invariance to Pose and
Lighting", CVPR 2004, https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from disentangle.data import files
from disentangle.data.base import Description, check_choice, check_split
from disentangle.data.classes import ClassSet
from disentangle.data.download import Remote
from disentangle.data.memory import MemorySet
from disentangle.data.unpacked import Bytes, shrunk, unpacked

NAME = "smallnorb"
FACTORS = {
    "category": ("animal", "human", "airplane", "truck", "car"),
    "elevation": tuple(f"{30 + 5 * step}°" for step in range(9)),
    "azimuth": tuple(f"{20 * step}°" for step in range(18)),
    "lighting": tuple(map(str, range(6))),
}
PARTS = {"train": "smallnorb-5x46789x9x18x6x2x96x96-training", "test": "smallnorb-5x01235x9x18x6x2x96x96-testing"}
# by the number that a file starts with
TYPES: dict[int, np.dtype[Any]] = {0x1E3D4C55: np.dtype("u1"), 0x1E3D4C54: np.dtype("<i4")}
LARGEST = 24_300  # pictures in a part
BLOCK = 512  # pictures read at a time
MEND = "`disentangle data get smallnorb` fetches it again, once it is removed"
URL = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
# the SHA-256 are TensorFlow Datasets'
FILES = tuple(
    Remote(f"{URL}{PARTS[part]}-{kind}.mat.gz", f"sha256:{checksum}", size)
    for part, kind, size, checksum in (
        ("train", "dat", 131_896_188, "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873"),
        ("train", "cat", 348, "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa"),
        ("train", "info", 71_052, "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32"),
        ("test", "dat", 130_799_817, "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474"),
        ("test", "cat", 347, "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff"),
        ("test", "info", 10_428, "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2"),
    )
)


def load_smallnorb(
    size: int | None = None, channels: int | None = None, root: Path | None = None, split: str | None = None
) -> ClassSet:
    """SmallNORB (:class:`disentangle.data.base.LabelledSet`): category, elevation, azimuth and lighting.

    Which of the ten toys of its category is shown is no factor, as in the published comparisons of disentanglement
    (Locatello et al. 2019): the third animal has nothing in common with the third car, so no code could hold the
    number. It follows that ten pictures share their factors, and that the set is no grid. Of the two cameras' pictures,
    the first one's are taken, as there.

    Args:
        size: 64 (antialiased), 96 as published, or 32 (each pixel the mean of nine).
        channels: 1, or 3 equal ones.
        root: the folder with the files, packed or unpacked, if it is in none of
            :func:`disentangle.data.files.places`.
        split: ``"train"``, five toys of each category, or ``"test"``, the other five; ``None`` for all of them, as in
            the published comparisons.

    Raises:
        UserError: for another size, number of channels or split; where the files are missing, damaged or others.
    """
    size = check_choice("size", NAME, size, (64, 96, 32))
    channels = check_choice("channels", NAME, channels, (1, 3))
    parts = tuple(PARTS) if split is None else (check_split(split),)
    folder = find(root)
    if folder is None:
        raise files.missing(NAME, f"{PARTS['train']}-dat.mat.gz and the five other files", root)
    pictures, labels = zip(*(_part(folder, part, size) for part in parts), strict=True)
    shown = MemorySet(NAME, torch.from_numpy(np.concatenate(pictures)).permute(0, 3, 1, 2), channels)
    return ClassSet(shown, FACTORS, torch.from_numpy(np.concatenate(labels)))


def find(root: Path | None) -> Path | None:
    """The folder with all files of both parts."""
    wanted = [f"{part}-{kind}" for part in PARTS.values() for kind in ("dat", "cat", "info")]
    return files.find(
        lambda folder: all(_path(folder, name).is_file() for name in wanted), (".", NAME, "small_norb", "norb"), root
    )


def _path(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.mat.gz"
    return packed if packed.is_file() else folder / f"{name}.mat"


def _part(folder: Path, part: str, size: int) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Pictures ``(n, size, size, 1)`` and labels ``(n, 4)`` of a part."""
    data, categories, info = (_path(folder, f"{PARTS[part]}-{kind}") for kind in ("dat", "cat", "info"))
    shape = _Matrix(data).shape
    count = shape[0] if shape else 0
    if shape != (count, 2, 96, 96) or not 0 < count <= LARGEST:
        raise files.damaged(data, f"it holds an array {shape}, expected (n, 2, 96, 96)", MEND)

    def pieces() -> Iterator[Bytes]:
        return (_resized(np.ascontiguousarray(rows[:, 0]), size) for rows in _Matrix(data).rows())

    pictures = unpacked(data, f"{size}x{size}", (count, size, size, 1), pieces)
    columns = []
    for path, wanted in ((categories, (count,)), (info, (count, 4))):
        matrix = _Matrix(path)
        if matrix.shape != wanted:
            raise files.damaged(path, f"it holds an array {matrix.shape}, expected {wanted}", MEND)
        columns.append(np.concatenate(list(matrix.rows())).reshape(count, -1).astype(np.int64))
    # of the info, the first column is the toy; azimuths count in steps of 10°, though there are only even ones
    labels = np.concatenate([columns[0], columns[1][:, 1:]], axis=1)
    for column, (factor, values) in enumerate(FACTORS.items()):
        step = 2 if factor == "azimuth" else 1
        bad = ~np.isin(labels[:, column], np.arange(len(values)) * step)
        if bad.any():
            raise files.damaged(info if column else categories, f"a {factor} {labels[bad, column][0]}", MEND)
        labels[:, column] //= step
    return pictures, labels


def _resized(pictures: Bytes, size: int) -> Bytes:
    """Pictures ``(n, 96, 96)`` as ``(n, size, size, 1)``."""
    if 96 % size == 0:
        return shrunk(pictures[..., None], size)
    small = [Image.fromarray(one).resize((size, size), Image.Resampling.LANCZOS) for one in pictures]
    return np.stack([np.asarray(one) for one in small])[..., None]


class _Matrix:
    """A file of the set's own format, of which only the header is read here.

    That is: a number that stands for the type, the number of axes, their lengths (three at least), all int32; then the
    data, row by row; all of it little-endian.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            self.dtype, self.shape = self._header(file)

    def rows(self) -> Iterator[npt.NDArray[np.generic]]:
        """All of it, some rows at a time; raises UserError where it is cut short or goes on."""
        row = self.dtype.itemsize * prod(self.shape[1:])
        with self._opened() as file:
            self._header(file)
            for start in range(0, self.shape[0], BLOCK):
                count = min(BLOCK, self.shape[0] - start)
                content = self._read(file, count * row)
                yield np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])
            if self._read(file, 1, end=True):
                raise files.damaged(self.path, "it goes on after its end", MEND)

    def _header(self, file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
        magic, axes = struct.unpack("<II", self._read(file, 8))
        if magic not in TYPES or not 1 <= axes <= 4:
            raise files.damaged(self.path, f"no matrix of bytes or integers: it starts with {magic:#x}", MEND)
        lengths = struct.unpack(f"<{max(axes, 3)}I", self._read(file, 4 * max(axes, 3)))
        return TYPES[magic], lengths[:axes]

    def _read(self, file: IO[bytes], count: int, end: bool = False) -> bytes:
        try:
            content = file.read(count)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise files.damaged(self.path, error, MEND) from None
        except OSError as error:
            raise files.cannot_read(self.path, error, MEND) from None
        if len(content) != count and not end:
            raise files.damaged(self.path, "it is cut short", MEND)
        return content

    def _opened(self) -> IO[bytes]:
        try:
            return cast("IO[bytes]", gzip.open(self.path)) if self.path.suffix == ".gz" else self.path.open("rb")
        except OSError as error:
            raise files.cannot_read(self.path, error, MEND) from None


DESCRIPTION = Description(
    name=NAME,
    summary="photographs of toys, from all sides",
    count="24,300 + 24,300",
    sizes="32, 64, 96",
    channels=(1, 3),
    factors="category 5, elevation 9, azimuth 18, lighting 6",
    find=find,
    load=load_smallnorb,
    files=FILES,
)
