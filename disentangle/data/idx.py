"""MNIST's format, and what the sets that have it share.

Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST Database of Handwritten Digits": http://yann.lecun.com/exdb/mnist.
"""

import gzip
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from disentangle.data import files
from disentangle.data.base import Description, check_choice, check_split
from disentangle.data.classes import ClassSet
from disentangle.data.download import Remote, download_all
from disentangle.data.memory import MemorySet, doubled
from disentangle.errors import UserError

SIZES = (28, 32, 64)
PREFIXES = {"train": "train", "test": "t10k"}
PARTS = ("images-idx3", "labels-idx1")


@dataclass(frozen=True)
class IdxSet:
    """A set of 28×28 grey pictures with labels in four files, as MNIST.

    Attributes:
        name: the set's name.
        title: the same, as it is spelt.
        summary: one line about it.
        factors: its one factor and its values.
        folders: names of folders that it is found in.
        remotes: the four files, as published.
    """

    name: str
    title: str
    summary: str
    factors: Mapping[str, tuple[str, ...]]
    folders: tuple[str, ...]
    remotes: tuple[Remote, ...]

    def load(
        self, size: int | None = None, channels: int | None = None, root: Path | None = None, split: str | None = None
    ) -> ClassSet:
        """The pictures and their classes.

        The files, as ``.gz`` or unpacked, are looked for in ``root`` if it is given, else in the places of
        :func:`disentangle.data.files.places`; where they are in none of these they are downloaded to the cache.

        Args:
            size: 28 as published, 32 (with a black border), or 64 (the latter, doubled bilinearly).
            channels: 1, or 3 equal ones.
            root: the folder with the files.
            split: ``"train"`` (60,000 pictures; the default) or ``"test"`` (10,000).

        Raises:
            UserError: for another size, number of channels or split; where the files are not in ``root``, are damaged,
                or cannot be downloaded.
        """
        size = check_choice("size", self.name, size, SIZES)
        channels = check_choice("channels", self.name, channels, (1, 3))
        names = [f"{PREFIXES[check_split(split)]}-{part}-ubyte" for part in PARTS]
        folder = self.find(root, names) or self._download(root, names)
        mend = f"fetch it again from {self.source}"
        pictures, labels = (read_idx(_file(folder, name), mend) for name in names)
        if pictures.ndim != 3 or pictures.shape[1:] != (28, 28) or labels.shape != (len(pictures),):
            raise UserError(
                f"the files in {folder} are not {self.title}: expected pictures (n, 28, 28) and labels (n,), "
                f"got {tuple(pictures.shape)} and {tuple(labels.shape)}: fetch them again from {self.source}"
            )
        count = len(next(iter(self.factors.values())))
        if len(labels) and int(labels.max()) >= count:
            raise UserError(
                f"{_file(folder, names[1])} has a label {int(labels.max())}, expected 0 … {count - 1}: {mend}"
            )
        return ClassSet(MemorySet(self.name, _resize(pictures[:, None], size), channels), self.factors, labels[:, None])

    def find(self, root: Path | None, names: list[str] | None = None) -> Path | None:
        """The folder with all of ``names``, as ``.gz`` or unpacked; if ``None``, with the set's four files."""
        wanted = [remote.name.removesuffix(".gz") for remote in self.remotes] if names is None else names
        return files.find(
            lambda folder: all(os.path.isfile(_file(folder, name)) for name in wanted), self.folders, root
        )

    @property
    def source(self) -> str:
        """Where the files are published."""
        return self.remotes[0].url.rsplit("/", 1)[0] + "/"

    def describe(self) -> Description:
        """What ``disentangle data`` shows."""
        return Description(
            name=self.name,
            summary=self.summary,
            count="60,000 + 10,000",
            sizes="28, 32, 64",
            channels=(1, 3),
            factors=", ".join(f"{factor} {len(values)}" for factor, values in self.factors.items()),
            find=self.find,
            load=self.load,
            files=self.remotes,
        )

    def _download(self, root: Path | None, names: list[str]) -> Path:
        if root is not None:
            raise UserError(
                f"no {self.title} files in {root}: it must hold {names[0]}.gz and {names[1]}.gz, from {self.source}"
            )
        folder = files.cache(self.name)
        download_all([r for r in self.remotes if r.name.removesuffix(".gz") in names], folder, self.title)
        return folder


def read_idx(path: Path, mend: str) -> Tensor:
    """Read an IDX file of bytes, as ``.gz`` or unpacked: a uint8 tensor of the shape in its header.

    Args:
        path: the file.
        mend: what to do where it is damaged, in words.

    Raises:
        UserError: where it cannot be read, or is cut short or otherwise damaged.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(files.LARGEST)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): {mend}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    # Two zero bytes, the type (8: unsigned byte), the number of axes; the length of each axis, four bytes, big-endian;
    # data.
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise UserError(f"{path} is no IDX file of bytes (it starts with {content[:4].hex() or 'nothing'}): {mend}")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise UserError(
            f"{path} is damaged: it holds {len(content)} bytes, expected {start + math.prod(shape)}: {mend}"
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[start:].view(shape)


def _file(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if os.path.isfile(packed) else folder / name


def _resize(pictures: Tensor, size: int) -> Tensor:
    if size == 28:
        return pictures
    pictures = pad(pictures, (2, 2, 2, 2))
    return pictures if size == 32 else doubled(pictures)
