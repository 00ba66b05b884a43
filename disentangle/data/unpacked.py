"""Published arrays that are slow to read at random: unpacked once to a plain file, and mapped into memory."""

import logging
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from disentangle.data import files
from disentangle.errors import UserError

IN_MEMORY = 1 << 25  # bytes that are read faster than a file is found

Bytes = npt.NDArray[np.uint8]

logger = logging.getLogger(__name__)


def unpacked(source: Path, label: str, shape: tuple[int, ...], pieces: Callable[[], Iterator[Bytes]]) -> Bytes:
    """The array of bytes in a published file, to be read at random.

    The first time, it is written piece by piece to a hidden file beside the published one, or in the cache where
    nothing can be written there. That file belongs to the published one as it is: another one with this name gets
    another. Arrays of less than 32 MB are read to memory each time.

    Args:
        source: the published file.
        label: tells arrays of the same file apart.
        shape: of the array.
        pieces: gives what is in it, in order.

    Returns:
        The array, which may not be written on.

    Raises:
        UserError: where the disk is full, or neither place can be written on.
    """
    size = prod(shape)
    if size <= IN_MEMORY:
        return np.concatenate([piece.reshape(-1) for piece in pieces()]).reshape(shape)
    state = source.stat()
    name = f".{source.name}-{label}-{state.st_size:x}-{state.st_mtime_ns:x}.unpacked"
    error: OSError | None = None
    for folder in (source.parent, files.cache("unpacked")):
        try:
            path = _written(folder / name, size, source, pieces)
        except OSError as failed:
            error = failed
        else:
            return np.memmap(path, np.uint8, "r", shape=shape)
    raise UserError(
        f"cannot unpack {source} ({size / 1e9:.1f} GB) beside it or in {files.cache('unpacked')}: "
        f"{error.strerror if error else ''}: make room, or let DISENTANGLE_DATA name a folder that has it"
    )


def _written(path: Path, size: int, source: Path, pieces: Callable[[], Iterator[Bytes]]) -> Path:
    """The file of ``size`` bytes, written unless it is there; raises OSError where that cannot be."""
    if path.exists() and path.stat().st_size == size:
        return path
    with files.partial(path) as part:
        if part is not None:
            part.seek(0)
            part.truncate()
            free = shutil.disk_usage(path.parent).free
            if size > free:
                Path(part.name).unlink()
                raise OSError(0, f"{free / 1e9:.1f} GB are free")
            logger.info("unpacking %s once, to %.1f GB", source, size / 1e9)
            try:
                for piece in pieces():
                    part.write(np.ascontiguousarray(piece).data)
                part.flush()
                if part.tell() != size:
                    raise ValueError(f"{part.tell()} bytes where {size} were expected")
            except BaseException:
                Path(part.name).unlink()
                raise
            Path(part.name).replace(path)
    return path


def shrunk(pictures: Bytes, size: int) -> Bytes:
    """Pictures ``(n, h, h, c)`` at a whole fraction of their height and width: each pixel is the mean of a square."""
    height = pictures.shape[1]
    factor, rest = divmod(height, size)
    if rest:
        raise ValueError(f"{height} is no multiple of {size}")
    if factor == 1:
        return pictures
    # from half a step up, as the quotient is rounded down; 16 bits, which are faster, hold 256 pixels and that
    kind = np.dtype(np.uint16 if factor <= 16 else np.uint32)
    sums = np.full_like(pictures[:, ::factor, ::factor], factor**2 // 2, dtype=kind)
    for row, column in product(range(factor), repeat=2):
        sums += pictures[:, row::factor, column::factor]
    means: Bytes = np.floor_divide(sums, factor**2, dtype=kind).astype(np.uint8)
    return means
