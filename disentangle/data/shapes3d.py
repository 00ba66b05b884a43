"""3D Shapes, as published: 480,000 pictures of 64×64 of an object in a room.

C. Burgess, H. Kim, "3D Shapes Dataset", 2018, https://github.com/google-deepmind/3d-shapes: an HDF5 file with
``images``, uint8 ``(480000, 64, 64, 3)``, and ``labels``, float64 ``(480000, 6)``, the last factor running fastest.
"""

import threading
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from disentangle.data import files
from disentangle.data.base import Description, FactorGrid, check_choice, refuse_split
from disentangle.data.download import Remote
from disentangle.data.grid_set import ArrayGrid
from disentangle.data.unpacked import Bytes, shrunk, unpacked
from disentangle.errors import UserError

NAME = "shapes3d"
NAMES = ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation")
SHAPES = ("cube", "cylinder", "sphere", "capsule")
LARGEST = 480_000  # pictures
LAZY = 64  # pictures that are unpacked for one, at most; where it would be more, all are unpacked beforehand
# the SHA-256 is TensorFlow Datasets'
FILE = Remote(
    "https://storage.googleapis.com/3d-shapes/3dshapes.h5",
    "sha256:0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
    267_573_662,
)
MEND = "`disentangle data get shapes3d` fetches it again, once it is removed"


def load_shapes3d(size: int | None = None, channels: int | None = None, root: Path | None = None) -> ArrayGrid:
    """3D Shapes (:class:`disentangle.data.base.GridSet`), with the factors of ``scenes``. Needs the extra ``h5``.

    HDF5 packs pictures in chunks. Where a chunk holds few of them they are read as they are asked for. In a file that
    was written with h5py's defaults it holds 4×4 pixels of 15,000 pictures, and reading one picture takes 0.4 seconds:
    such a file is unpacked beside itself the first time, which takes two minutes and 5.9 GB (1.5 GB at size 32).

    Args:
        size: 64, or 32: each pixel the mean of four.
        channels: 3.
        root: the folder with the file, if it is in none of :func:`disentangle.data.files.places`.

    Raises:
        UserError: for another size or number of channels; where h5py is not installed, or the file is missing, damaged
            or another one.
    """
    size = check_choice("size", NAME, size, (64, 32))
    channels = check_choice("channels", NAME, channels, (3,))
    folder = find(root)
    if folder is None:
        raise files.missing(NAME, FILE.name, root)
    file = _File(folder / FILE.name)
    if file.lazy:
        return ArrayGrid(NAME, file.grid, lambda indices: shrunk(file.rows(indices), size), size, channels)
    label = f"{size}x{size}"
    array = unpacked(
        file.path, label, (len(file.grid), size, size, 3), lambda: (shrunk(piece, size) for piece in file.pieces())
    )
    return ArrayGrid(NAME, file.grid, lambda indices: array[indices], size, channels)


def find(root: Path | None) -> Path | None:
    """The folder with the file."""
    return files.find(lambda folder: (folder / FILE.name).is_file(), (".", NAME, "3dshapes", "3d-shapes"), root)


class _File:
    """The published file, open; several threads may read it, one at a time."""

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError:
            raise UserError(
                f"the data set {NAME!r} is an HDF5 file, which h5py reads: pip install 'disentangle-svd[h5]'"
            ) from None
        self.path = path
        self._lock = threading.Lock()
        try:
            self._file = h5py.File(path, "r")
            self._images, labels = self._file["images"], self._file["labels"]
            shape, kind = self._images.shape, self._images.dtype
            if shape[1:] != (64, 64, 3) or kind != np.uint8 or not 0 < shape[0] <= LARGEST:
                raise files.damaged(path, f"images has the shape {shape} and type {kind}", MEND)
            if labels.shape != (shape[0], 6) or labels.dtype.kind not in "fiu":
                raise files.damaged(path, f"labels has the shape {labels.shape} and type {labels.dtype}", MEND)
            self.grid = _grid(path, labels[:])
        except (OSError, KeyError, AttributeError, RuntimeError) as error:
            raise files.damaged(path, error, MEND) from None
        chunks = self._images.chunks or (1,)
        self.lazy = chunks[0] <= LAZY
        self._step = max(chunks[0], 1024)

    def rows(self, indices: npt.NDArray[np.int64]) -> Bytes:
        """Pictures at indices in any order, each perhaps several times."""
        pictures = np.empty((len(indices), 64, 64, 3), np.uint8)
        # rising, so that the same chunk is unpacked once; one by one, as HDF5 is slow with lists of them
        order = np.argsort(indices, kind="stable")
        with self._lock:
            for place in order:
                pictures[place] = self._read(int(indices[place]))
        return pictures

    def pieces(self) -> Iterator[Bytes]:
        """All pictures, in whole chunks."""
        for start in range(0, len(self.grid), self._step):
            with self._lock:
                yield self._read(slice(start, start + self._step))

    def _read(self, which: int | slice) -> Bytes:
        try:
            found: Bytes = self._images[which]
        except (OSError, RuntimeError) as error:
            raise files.damaged(self.path, error, MEND) from None
        return found


def _grid(path: Path, labels: npt.NDArray[np.float64]) -> FactorGrid:
    """The factors, from the values in the file."""
    if not np.isfinite(labels).all():
        raise files.damaged(path, "its labels are not all finite", MEND)
    found = [np.unique(column, return_inverse=True) for column in labels.T]
    sizes = tuple(len(values) for values, _ in found)
    places = np.stack([place for _, place in found])
    if prod(sizes) != len(labels) or sizes[4] > len(SHAPES):
        raise files.damaged(path, f"the labels have {sizes} values for {len(labels):,} pictures", MEND)
    if not np.array_equal(places, np.unravel_index(np.arange(len(labels)), sizes)):
        raise files.damaged(path, "the pictures are not in the published order", MEND)
    hues = [tuple(f"{360 * value:.0f}°" for value in values) for values, _ in found[:3]]
    scale, orientation = found[3][0], found[5][0]
    shapes = tuple(SHAPES[int(value) % len(SHAPES)] for value in found[4][0])
    return FactorGrid(
        NAMES,
        (*hues, tuple(f"{value:.2f}" for value in scale), shapes, tuple(f"{value:.1f}°" for value in orientation)),
    )


def _load(size: int | None, channels: int | None, root: Path | None, split: str | None) -> ArrayGrid:
    refuse_split(NAME, split)
    return load_shapes3d(size, channels, root)


DESCRIPTION = Description(
    name=NAME,
    summary="3D Shapes as published: an object in a room",
    count="480,000",
    sizes="32, 64",
    channels=(3,),
    factors="floor hue 10, wall hue 10, object hue 10, scale 8, shape 4, orientation 15",
    find=find,
    load=_load,
    files=(FILE,),
)
