"""Any folder of pictures."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from disentangle.data.base import Description, check_choice, check_indices, check_range
from disentangle.data.memory import MemorySet
from disentangle.errors import UserError

NAME = "folder"
MIDDLE = "middle"
FRAMES: dict[str, float | None] = {MIDDLE: 0.0, "whole": None}
"""What of a picture that is not square is shown, with the bleed of :class:`FolderSet`."""
DEFAULT_SIZE = 64
LARGEST_SIZE = 4096
IN_MEMORY = 1 << 28  # bytes of decoded pictures that are kept in memory
MOST_HEADERS = 100_000  # files that are opened beforehand; as many as ImageNet has would take minutes
MOST_PIXELS = 100_000_000  # of one file: beyond that, it is a mistake or an attack

# What Pillow lists but only stubs, or hands to an external program.
NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}

logger = logging.getLogger(__name__)


class Packed(Protocol):
    """A file that lies in another one; its name, by ``str``, is for messages."""

    def open(self) -> IO[bytes]:
        """Its content."""


class FolderSet:
    """The pictures of a folder, decoded when asked for (:class:`disentangle.data.base.ImageSet`).

    Args:
        name: the set's name.
        paths: the files.
        size: their shorter side is resized to this, antialiased, and the middle is cut out.
        channels: 1 or 3.
        bleed: part of a picture's width, and of its height, that is cut off at each side before that; ``None`` where
            nothing is cut out or off, but the whole picture made square, longer or shorter than it was.
    """

    def __init__(
        self, name: str, paths: Sequence[Path | Packed], size: int, channels: int, bleed: float | None = 0.0
    ) -> None:
        self.name = name
        self.size = size
        self.channels = channels
        self._paths = paths
        self._bleed = bleed

    def __len__(self) -> int:
        return len(self._paths)

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, uint8.

        Raises:
            UserError: where a file is damaged.
        """
        chosen = [self._paths[index] for index in check_indices(indices, len(self)).tolist()]
        return decode_all(chosen, self.size, self.channels, self._bleed)


def load_folder(
    root: Path, size: int | None = None, channels: int | None = None, frame: str = MIDDLE
) -> MemorySet | FolderSet:
    """The pictures under ``root``, in all its folders, in the order of their paths.

    Every file with the ending of a format that Pillow reads counts; others and hidden ones are passed over.

    Args:
        root: the folder.
        size: height and width, 64 if ``None``: the shorter side is resized to it, antialiased, and the middle is cut
            out.
        channels: 3, or 1 for grey.
        frame: ``"middle"``; or ``"whole"``, which squeezes pictures that are not square instead of cutting them.

    Raises:
        UserError: for another size, number of channels or frame; where there is no such folder, no picture in it, or
            one that cannot be read.
    """
    size, channels = check_options(NAME, size, channels)
    paths = pictures_under(root)
    if not paths:
        raise UserError(f"no pictures in {root}: expected files such as .png, .jpg or .webp in it or its folders")
    return load_pictures(NAME, paths, size, channels, bleed_of(NAME, frame))


def check_options(name: str, size: int | None, channels: int | None) -> tuple[int, int]:
    """Size and channels of the pictures of a folder, 64 and 3 if ``None``.

    Raises:
        UserError: where the data set ``name`` cannot have them.
    """
    size = DEFAULT_SIZE if size is None else size
    check_range(name, size, 1, LARGEST_SIZE)
    return size, check_choice("channels", name, channels, (3, 1))


def bleed_of(name: str, frame: str, frames: Mapping[str, float | None] = FRAMES) -> float | None:
    """The bleed (see :class:`FolderSet`) of a frame of the data set ``name``.

    Raises:
        UserError: where it has no such frame.
    """
    if frame not in frames:
        raise UserError(f"frame {frame!r} is not possible for the data set {name!r}: choose {' or '.join(frames)}")
    return frames[frame]


def load_pictures(
    name: str, paths: Sequence[Path | Packed], size: int, channels: int, bleed: float | None = 0.0
) -> MemorySet | FolderSet:
    """The pictures in files.

    Where all of them take at most 256 MB they are decoded at once. Else only their headers are read here, of more than
    100,000 not even these, and a damaged picture is found when it is asked for.

    Args:
        name: the set's name.
        paths: the files.
        size: height and width.
        channels: 1 or 3.
        bleed: see :class:`FolderSet`.

    Raises:
        UserError: where a picture cannot be read.
    """
    if len(paths) * channels * size * size > IN_MEMORY:
        for path in paths if len(paths) <= MOST_HEADERS else []:
            _open(path).close()
        return FolderSet(name, paths, size, channels, bleed)
    logger.info("reading %d pictures", len(paths))
    return MemorySet(name, decode_all(paths, size, channels, bleed), channels)


def pictures_under(root: Path) -> list[Path]:
    """The files under ``root`` that count as pictures, in the order of their paths.

    Raises:
        UserError: where there is no such folder, or it cannot be read.
    """
    return sorted(walk(root), key=lambda path: path.relative_to(root).as_posix())


def walk(root: Path) -> Iterator[Path]:
    """As :func:`pictures_under`, one by one and in no order."""
    if not root.exists():
        raise UserError(f"there is no folder {root}: check the path, or what it is relative to ({Path.cwd()})")
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the folder that holds the pictures")
    Image.init()
    endings = {end for end, form in Image.registered_extensions().items() if form in Image.OPEN.keys() - NOT_PICTURES}

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read the folder {error.filename}: {error.strerror}: mend its permissions, or move it")

    seen = set()  # links to folders are followed, but not in a circle
    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in endings:
                yield Path(folder, name)


def decode_all(paths: Sequence[Path | Packed], size: int, channels: int, bleed: float | None = 0.0) -> Tensor:
    """Decode files to ``(n, channels, size, size)`` uint8, in threads (Pillow decodes without Python's lock)."""
    pictures = torch.empty(len(paths), channels, size, size, dtype=torch.uint8)
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        for index, picture in enumerate(pool.map(lambda path: decode(path, size, channels, bleed), paths)):
            pictures[index] = picture
    finally:
        pool.shutdown(cancel_futures=True)
    return pictures


def decode(path: Path | Packed, size: int, channels: int, bleed: float | None = 0.0) -> Tensor:
    """Decode one file to ``(channels, size, size)`` uint8: upright, cut or squeezed, on white where it is transparent.

    Raises:
        UserError: where the file is damaged, no picture, larger than 100 million pixels, or of 32-bit numbers.
    """
    with _open(path) as image:
        try:
            # A JPEG can be decoded at a fraction of its size; twice the wanted size leaves the resizing all it needs.
            image.draft(None, (2 * size, 2 * size))
            upright = ImageOps.exif_transpose(image)
        except Exception as error:  # damaged data make the many decoders raise whatever they stumble over
            raise _damaged(path, error) from None
    flat = _flat(_eight_bits(upright, image.format, path), channels)
    if bleed is None:
        square = flat.resize((size, size), Image.Resampling.LANCZOS)
    else:
        square = ImageOps.fit(flat, (size, size), method=Image.Resampling.LANCZOS, bleed=bleed)
    return torch.from_numpy(np.array(square).reshape(size, size, channels)).permute(2, 0, 1)


def _open(path: Path | Packed) -> Image.Image:
    """Open a file and read its header only."""
    try:
        image = Image.open(path if isinstance(path, Path) else path.open())
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"cannot read {path}: {error.strerror}: mend its permissions, or remove it") from None
    except Image.DecompressionBombError:
        raise _too_large(path, "more than 178 million pixels") from None
    except Exception as error:
        raise _damaged(path, error) from None
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise _too_large(path, f"{image.width} × {image.height} pixels")
    return image


def _eight_bits(image: Image.Image, kind: str | None, path: Path | Packed) -> Image.Image:
    """The picture, its 16 bits as 8: Pillow would clip what is above 255.

    Raises:
        UserError: where the file does not tell which of its numbers is white.
    """
    # 16 bits fill 32 where Pillow reads a PNG or PGM; of a PGM it has scaled them to all 16.
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        got = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise UserError(
            f"the picture {path} holds {got}, of which no file tells what is white: save it with 8 or 16 bits"
        )
    return image


def _flat(image: Image.Image, channels: int) -> Image.Image:
    """Grey or RGB, without transparency."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _damaged(path: Path | Packed, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"cannot decode the picture {path} ({reason}): it is damaged or cut short: replace or remove it")


def _too_large(path: Path | Packed, got: str) -> UserError:
    return UserError(f"the picture {path} has {got}, at most {MOST_PIXELS:,} are read: make it smaller, or remove it")


def _load(
    size: int | None, channels: int | None, root: Path | None, split: str | None, frame: str = MIDDLE
) -> MemorySet | FolderSet:
    if split is not None:
        raise UserError(f"the data set {NAME!r} takes no split, got {split!r}: name the folder of the split as root")
    if root is None:
        raise UserError(
            "the data set 'folder' needs to know which: give its path as root (--data.root in a training, "
            "--root of `disentangle import`)"
        )
    return load_folder(root, size, channels, frame)


DESCRIPTION = Description(
    name=NAME,
    summary="your own pictures, any format, any size, resized and cropped",
    count="any",
    sizes=f"1 … {LARGEST_SIZE} ({DEFAULT_SIZE})",
    channels=(3, 1),
    factors="",
    find=lambda root: root,
    source="name it as root",
    load=_load,
    frames=tuple(FRAMES),
)
