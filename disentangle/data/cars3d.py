"""Cars3D: 17,568 rendered pictures of 183 cars, 128×128, each from 24 sides and 4 heights.

S. Reed, Y. Zhang, Y. Zhang, H. Lee, "Deep Visual Analogy-Making", NeurIPS 2015. The archive has one MATLAB file a car,
``data/cars/car_001_mesh.mat`` …, whose ``im`` is uint8 ``(128, 128, 3, 24 azimuths, 4 elevations)``.
"""

import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from disentangle.data import files
from disentangle.data.base import Description, FactorGrid, check_choice, refuse_split
from disentangle.data.download import Remote
from disentangle.data.grid_set import ArrayGrid
from disentangle.data.unpacked import Bytes, shrunk, unpacked

NAME = "cars3d"
CARS = 183
SHAPE = (128, 128, 3, 24, 4)
LARGEST = 1 << 26  # bytes of one car's file: unpacked, it has ten million
# the author gives no checksum; the libraries that check the file agree on this one
FILE = Remote("http://www.scottreed.info/files/nips2015-analogy-data.tar.gz", "md5:4e866a7919c1beedf53964e6f7a23686")
MEND = "`disentangle data get cars3d` fetches it again, once it is removed"
ELEVATIONS = tuple(str(step) for step in range(4))
AZIMUTHS = tuple(f"{15 * step}°" for step in range(24))


def load_cars3d(size: int | None = None, channels: int | None = None, root: Path | None = None) -> ArrayGrid:
    """Cars3D (:class:`disentangle.data.base.GridSet`), with the factors elevation, azimuth and object.

    Read from the archive, which need not be unpacked by hand, or from a folder with the MATLAB files. The first time
    this takes half a minute; what was read is kept beside it (216 MB at size 64).

    Args:
        size: 64, 128 as published, or 32; each pixel the mean of a square.
        channels: 3.
        root: the folder with the archive or the files, if it is in none of :func:`disentangle.data.files.places`.

    Raises:
        UserError: for another size or number of channels; where the files are missing, damaged or others.
    """
    size = check_choice("size", NAME, size, (64, 128, 32))
    channels = check_choice("channels", NAME, channels, (3,))
    folder = find(root)
    if folder is None:
        raise files.missing(NAME, f"{FILE.name} or its folder data/cars", root)
    grid = FactorGrid(
        ("elevation", "azimuth", "object"), (ELEVATIONS, AZIMUTHS, tuple(f"car {i + 1}" for i in range(CARS)))
    )
    archive = folder / FILE.name
    stamp = archive if archive.is_file() else folder / _names()[0]

    def pieces() -> Iterator[Bytes]:
        pictures = np.empty((4, 24, CARS, size, size, 3), np.uint8)
        seen = set()
        for name, content in _members(archive) if archive.is_file() else _files(folder):
            car = _names().index(name)
            pictures[:, :, car] = _car(archive if archive.is_file() else folder / name, name, content, size)
            seen.add(car)
        if len(seen) < CARS:
            raise files.damaged(archive, f"it lacks {_names()[min(set(range(CARS)) - seen)]}", MEND)
        yield pictures

    array = unpacked(stamp, f"{size}x{size}", (len(grid), size, size, 3), pieces)
    return ArrayGrid(NAME, grid, lambda indices: array[indices], size, channels)


def find(root: Path | None) -> Path | None:
    """The folder with the archive, or with the files in it."""
    first = _names()[0]
    return files.find(
        lambda folder: (folder / FILE.name).is_file() or (folder / first).is_file(),
        (".", NAME, "cars", "data/cars", f"{NAME}/data/cars", f"{NAME}/cars"),
        root,
    )


def _names() -> list[str]:
    return [f"car_{i + 1:03}_mesh.mat" for i in range(CARS)]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in _names():
        try:
            with (folder / name).open("rb") as file:
                yield name, file.read(LARGEST)
        except OSError as error:
            raise files.cannot_read(folder / name, error, MEND) from None


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The cars' files in the archive, which is read once from front to back."""
    names = set(_names())
    try:
        with tarfile.open(archive, mode="r|gz") as tar:
            for member in tar:
                folder, name = os.path.split(member.name)
                if os.path.basename(folder) == "cars" and name in names and member.size <= LARGEST:
                    content = tar.extractfile(member)
                    yield name, b"" if content is None else content.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise files.damaged(archive, error, MEND) from None
    except OSError as error:
        raise files.cannot_read(archive, error, MEND) from None


def _car(path: Path, name: str, content: bytes, size: int) -> Bytes:
    """Pictures ``(4, 24, size, size, 3)`` of one car."""
    from scipy.io import loadmat, whosmat  # it takes a while to import

    try:
        # the header first: it says how much there is to unpack
        if ("im", SHAPE, "uint8") not in whosmat(io.BytesIO(content)):
            raise ValueError(f"no array of bytes im {SHAPE}")
        pictures = loadmat(io.BytesIO(content), variable_names=["im"])["im"]
    except Exception as error:  # damaged bytes make the reader raise whatever it stumbles over
        raise files.damaged(path, f"{name}: {error}", MEND) from None
    pictures = np.ascontiguousarray(pictures.transpose(4, 3, 0, 1, 2)).reshape(-1, 128, 128, 3)
    return shrunk(pictures, size).reshape(4, 24, size, size, 3)


def _load(size: int | None, channels: int | None, root: Path | None, split: str | None) -> ArrayGrid:
    refuse_split(NAME, split)
    return load_cars3d(size, channels, root)


DESCRIPTION = Description(
    name=NAME,
    summary="rendered cars, from all sides",
    count="17,568",
    sizes="32, 64, 128",
    channels=(3,),
    factors="elevation 4, azimuth 24, object 183",
    find=find,
    load=_load,
    files=(FILE,),
)
