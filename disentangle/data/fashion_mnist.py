"""Fashion-MNIST: 70,000 real pictures of clothes, 28×28, in ten classes.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
2017, arXiv 1708.07747. Its four files have the format of MNIST: http://yann.lecun.com/exdb/mnist.
"""

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from disentangle.data import files
from disentangle.data.base import Description, check_choice, check_split
from disentangle.data.classes import ClassSet
from disentangle.data.memory import MemorySet, doubled
from disentangle.errors import UserError

NAME = "fashion-mnist"
CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SIZES = (28, 32, 64)
PREFIXES = {"train": "train", "test": "t10k"}
URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"

# SHA-256 of what is inside the .gz files: the same files are in use compressed in several ways.
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def load_fashion_mnist(
    size: int | None = None, channels: int | None = None, root: Path | None = None, split: str | None = None
) -> ClassSet:
    """Fashion-MNIST, with the factor ``class`` (see :data:`CLASSES`).

    The files, as ``.gz`` or unpacked, are looked for in ``root`` if it is given, else in the places of
    :func:`disentangle.data.files.places`; where they are in none of these they are downloaded (31 MB) to the cache.

    Args:
        size: 28 as published, 32 (with a black border), or 64 (the latter, doubled bilinearly).
        channels: 1, or 3 equal ones.
        root: the folder with the files.
        split: ``"train"`` (60,000 pictures; the default) or ``"test"`` (10,000).

    Raises:
        UserError: for another size, number of channels or split; where the files are not in ``root``, are damaged, or
            cannot be downloaded.
    """
    size = check_choice("size", NAME, size, SIZES)
    channels = check_choice("channels", NAME, channels, (1, 3))
    names = [f"{PREFIXES[check_split(split)]}-{part}-ubyte" for part in ("images-idx3", "labels-idx1")]
    folder = find(root, names)
    if folder is None:
        if root is not None:
            raise UserError(
                f"no Fashion-MNIST files in {root}: it must hold {names[0]}.gz and {names[1]}.gz, from {URL}"
            )
        folder = files.cache(NAME)
        for name in names:
            if not os.path.isfile(_file(folder, name)):
                url, path = f"{URL}{name}.gz", folder / f"{name}.gz"
                files.download(url, path, "Fashion-MNIST", _unpacked_sha256, SHA256[name])
    pictures, labels = (read_idx(_file(folder, name)) for name in names)
    if pictures.ndim != 3 or pictures.shape[1:] != (28, 28) or labels.shape != (len(pictures),):
        raise UserError(
            f"the files in {folder} are not Fashion-MNIST: expected pictures (n, 28, 28) and labels (n,), "
            f"got {tuple(pictures.shape)} and {tuple(labels.shape)}: fetch them again from {URL}"
        )
    if len(labels) and int(labels.max()) >= len(CLASSES):
        raise UserError(
            f"{_file(folder, names[1])} has a label {int(labels.max())}, expected 0 … 9: fetch it again from {URL}"
        )
    shown = MemorySet(NAME, _resize(pictures[:, None], size), channels)
    return ClassSet(shown, {"class": CLASSES}, labels[:, None])


def find(root: Path | None, names: list[str]) -> Path | None:
    """The folder with all of ``names``, as ``.gz`` or unpacked: ``root`` or one of the usual places, or under one."""
    for base in files.places() if root is None else [root]:
        for folder in (base, base / NAME, base / "FashionMNIST/raw"):
            if all(os.path.isfile(_file(folder, name)) for name in names):
                return folder
    return None


def read_idx(path: Path) -> Tensor:
    """Read an IDX file of bytes, as ``.gz`` or unpacked: a uint8 tensor of the shape in its header.

    Raises:
        UserError: where it cannot be read, or is cut short or otherwise damaged.
    """
    mend = f"fetch it again from {URL}"
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


def _unpacked_sha256(packed: bytes) -> str:
    try:
        return hashlib.sha256(gzip.decompress(packed)).hexdigest()
    except (EOFError, OSError, zlib.error):
        return "none: it is no gzip file"


def _file(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if os.path.isfile(packed) else folder / name


def _resize(pictures: Tensor, size: int) -> Tensor:
    if size == 28:
        return pictures
    pictures = pad(pictures, (2, 2, 2, 2))
    return pictures if size == 32 else doubled(pictures)


def _where(root: Path | None) -> str:
    folder = find(root, list(SHA256))
    return str(folder) if folder is not None else f"not here: load it to download 31 MB, or get {URL}*.gz"


DESCRIPTION = Description(
    name=NAME,
    summary="real pictures of clothes, 28×28",
    count="60,000 + 10,000",
    sizes="28, 32, 64",
    channels=(1, 3),
    factors="class 10",
    where=_where,
    load=load_fashion_mnist,
)
