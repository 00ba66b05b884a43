"""CelebA: 202,599 photographs of celebrities' faces, aligned, 178×218, with 40 attributes.

Z. Liu, P. Luo, X. Wang, X. Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015,
https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html. Its licence forbids passing it on: it is fetched by hand.
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from disentangle.data import files
from disentangle.data.base import Description, ImageSet, check_split
from disentangle.data.classes import ClassSet
from disentangle.data.folder import DEFAULT_SIZE, LARGEST_SIZE, MIDDLE, Packed, bleed_of, check_options, load_pictures
from disentangle.data.folder import FRAMES as FOLDER_FRAMES
from disentangle.errors import UserError

NAME = "celeba"
PICTURES = "img_align_celeba"
ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
PARTS = {"train": "0", "test": "2"}  # 1 is for validation
# Of the width, 148 or 170 of 178 pixels are left. The latter are those of the vanilla GANs of Wei et al. 2021 (OroJaR),
# arXiv 2108.07668, at 128×128.
FRAMES = FOLDER_FRAMES | {MIDDLE: 15 / 178, "wide": 4 / 178}
LARGEST_TEXT = 1 << 26  # bytes; the longer of the lists has 27 million
LARGEST_PICTURE = 1 << 24  # bytes, packed
BY_HAND = (
    f"get {PICTURES}.zip, {ATTRIBUTES} and {PARTITION} from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html "
    "(Align&Cropped Images); the archive need not be unpacked"
)


@dataclass(frozen=True)
class _Member:
    """A picture in the archive."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo

    def open(self) -> IO[bytes]:
        if self.info.file_size > LARGEST_PICTURE:
            raise ValueError(f"it unpacks to {self.info.file_size:,} bytes")
        return self.archive.open(self.info)

    def __str__(self) -> str:
        return f"{self.archive.filename}/{self.info.filename}"


def load_celeba(
    size: int | None = None,
    channels: int | None = None,
    root: Path | None = None,
    split: str | None = None,
    frame: str = MIDDLE,
) -> ImageSet:
    """CelebA, with its 40 attributes as factors of two values where their list is there.

    See :func:`disentangle.data.folder.load_pictures` for when a picture is decoded.

    Args:
        size: height and width, 64 if ``None``.
        channels: 3, or 1 for grey.
        root: the folder with the archive or the folder of pictures, if it is in none of
            :func:`disentangle.data.files.places`.
        split: ``"train"`` (162,770 pictures) or ``"test"`` (19,962), as published. If ``None``, the former where the
            list of parts is there, else all pictures.
        frame: ``"middle"``, the middle 148×148 pixels of a picture, which hold the face, as usual for 64×64;
            ``"wide"``, the middle 170×170; or ``"whole"``, all 178×218, squeezed to a square.

    Raises:
        UserError: for another size, number of channels, split or frame; where the files are missing, damaged or others.
    """
    size, channels = check_options(NAME, size, channels)
    bleed = bleed_of(NAME, frame, FRAMES)
    folder = find(root)
    if folder is None:
        raise files.missing(NAME, f"{PICTURES}.zip or the folder {PICTURES}", root, BY_HAND)
    names = None
    if (folder / PARTITION).is_file():
        part = PARTS[check_split(split)]
        names = [words[0] for words in _table(folder / PARTITION, 2) if words[1] == part]
    elif split is not None:
        raise UserError(f"{folder} has no {PARTITION}, which says what the part {split!r} is: {BY_HAND}")
    sources = _sources(folder)
    chosen = sorted(sources) if names is None else names
    lacking = next((name for name in chosen if name not in sources), None)
    if lacking is not None or not chosen:
        which = f"{lacking} is missing" if lacking else "none is there"
        raise UserError(f"the pictures of {NAME} in {folder} are not complete: {which}: {BY_HAND}")
    pictures = load_pictures(NAME, [sources[name] for name in chosen], size, channels, bleed)
    if not (folder / ATTRIBUTES).is_file():
        return pictures
    factors, labels = _attributes(folder / ATTRIBUTES, chosen)
    return ClassSet(pictures, dict.fromkeys(factors, ("no", "yes")), labels)


def find(root: Path | None) -> Path | None:
    """The folder with the archive, or with the folder of pictures."""
    return files.find(
        lambda folder: (folder / f"{PICTURES}.zip").is_file() or (folder / PICTURES).is_dir(),
        (".", NAME, "CelebA", "CelebA/Img"),
        root,
    )


def _sources(folder: Path) -> dict[str, Path | Packed]:
    """The pictures by their names: files in the folder, or else in the archive."""
    if (folder / PICTURES).is_dir():
        inside = folder / PICTURES
        if (inside / PICTURES).is_dir():  # so it is unpacked by some
            inside /= PICTURES
        return {name: inside / name for name in os.listdir(inside) if name.endswith(".jpg")}
    path = folder / f"{PICTURES}.zip"
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise files.damaged(path, error, BY_HAND) from None
    except OSError as error:
        raise files.cannot_read(path, error, BY_HAND) from None
    return {
        os.path.basename(info.filename): _Member(archive, info)
        for info in archive.infolist()
        if info.filename.endswith(".jpg")
    }


def _attributes(path: Path, chosen: list[str]) -> tuple[list[str], Tensor]:
    """Names of the attributes, and their values ``(n, k)`` for the pictures ``chosen``."""
    _, factors, *lines = _table(path, None)  # the first line is the number of pictures
    rows = {words[0]: words[1:] for words in lines}
    if len(set(factors)) != len(factors) or any(len(row) != len(factors) for row in rows.values()):
        raise files.damaged(path, "its lines have other lengths than its heading", BY_HAND)
    lacking = next((name for name in chosen if name not in rows), None)
    if lacking is not None:
        raise files.damaged(path, f"it lacks {lacking}", BY_HAND)
    values = {"-1": 0, "1": 1}
    try:
        return factors, torch.tensor([[values[word] for word in rows[name]] for name in chosen])
    except KeyError as error:
        raise files.damaged(path, f"a value {error}, expected -1 or 1", BY_HAND) from None


def _table(path: Path, columns: int | None) -> list[list[str]]:
    """The words of a file's lines, of which each must have so many."""
    try:
        with path.open(encoding="ascii") as file:
            lines = [line.split() for line in file.read(LARGEST_TEXT).splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise files.damaged(path, error, BY_HAND) from None
    except OSError as error:
        raise files.cannot_read(path, error, BY_HAND) from None
    if len(lines) < 3 or (columns is not None and any(len(words) != columns for words in lines)):
        raise files.damaged(path, "it is no such list", BY_HAND)
    return lines


DESCRIPTION = Description(
    name=NAME,
    summary="photographs of celebrities' faces",
    count="162,770 + 19,962",
    sizes=f"1 … {LARGEST_SIZE} ({DEFAULT_SIZE})",
    channels=(3, 1),
    factors="40 attributes 2",
    find=find,
    load=load_celeba,
    frames=tuple(FRAMES),
    by_hand=BY_HAND,
)
