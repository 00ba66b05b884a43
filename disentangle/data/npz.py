"""Arrays in ``.npz`` files, piece by piece and without pickles."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from disentangle.data import files

PIECE = 1 << 26  # bytes that are read at a time


class Array:
    """An array in an ``.npz`` file (a zip archive of ``.npy`` files), of which only the header is read here.

    Args:
        path: the file.
        key: the array's name.
        mend: what to do where the file is damaged, in words.

    Attributes:
        shape: its shape.
        dtype: its type.

    Raises:
        UserError: where there is no such array, it is not stored row by row, holds objects (which would be pickles), or
            the file cannot be read.
    """

    def __init__(self, path: Path, key: str, mend: str) -> None:
        self.path, self._key, self._mend = path, key, mend
        with self._opened() as file:
            self.shape, self.dtype = self._header(file)

    def rows(self) -> Iterator[npt.NDArray[np.generic]]:
        """All of it, some rows at a time.

        Raises:
            UserError: where it is cut short or damaged.
        """
        row = self.dtype.itemsize * prod(self.shape[1:])
        step = max(1, PIECE // max(1, row))
        with self._opened() as file:
            self._header(file)
            for start in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - start)
                content = file.read(count * row)
                if len(content) != count * row:
                    raise files.damaged(self.path, f"{self._key} is cut short", self._mend)
                yield np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])

    def read(self) -> npt.NDArray[np.generic]:
        """All of it."""
        return np.concatenate([np.empty((0, *self.shape[1:]), self.dtype), *self.rows()])

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self._key}.npy") as file:
                yield file
        except KeyError:
            raise files.damaged(self.path, f"it has no array {self._key!r}", self._mend) from None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise files.damaged(self.path, error, self._mend) from None
        except OSError as error:
            raise files.cannot_read(self.path, error, self._mend) from None

    def _header(self, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_column, dtype = read(file)
        except ValueError as error:
            raise files.damaged(self.path, error, self._mend) from None
        if dtype.hasobject or (by_column and len(shape) > 1) or not shape:
            raise files.damaged(self.path, f"{self._key} is no plain array, row by row", self._mend)
        return shape, dtype
