"""Features and moments that were computed once, in files that are whole, unchanged and answer the same question."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from disentangle.errors import UserError
from disentangle.metrics.moments import Moments

LIMIT = 4 * 2**30
PARTIAL = ".features."
DAY = 24 * 3600
VERSION = 1
"""Of the format, and of how features are made: what an older one wrote is computed again."""


def cache_key(network: Any, *, samples: int, seed: int, data: Mapping[str, Any]) -> dict[str, Any]:
    """All that features depend on, as JSON holds it.

    Args:
        network: the feature network, with ``name`` (which has its resize) and ``weights``, the hash of its weights.
        samples: number of pictures.
        seed: they were drawn with.
        data: what tells this data set from others: its name, size of the pictures, channels, a fingerprint of its
            files; for generated pictures the hash of the generator's weights.

    Raises:
        ValueError: for a network without a name or weights: two of them could not be told apart.
    """
    name, weights = getattr(network, "name", None), getattr(network, "weights", None)
    if not name or not weights:
        raise ValueError(f"features of a network without a name and hash of its weights cannot be kept, got {network}")
    return {"network": name, "weights": weights, "samples": samples, "seed": seed, "data": dict(data)}


class FeatureCache:
    """A folder of features and moments, a file each, named by the SHA-256 of its key.

    A file is written whole or not at all. It holds its key and the hash of its contents: one that is damaged, or is
    another's, is computed again and replaced. Where they come to more than the limit, those used longest ago go.

    Attributes:
        folder: made when the first file is written.
        limit: bytes of all files; the one written last stays, however large it is.
    """

    def __init__(self, folder: str | Path, limit: int = LIMIT) -> None:
        self.folder = Path(folder)
        self.limit = limit

    def path(self, key: Mapping[str, Any], kind: str = "features") -> Path:
        """Where the features, or moments, of a key are; see :func:`cache_key`."""
        return self.folder / f"{hashlib.sha256(_text(key, kind).encode()).hexdigest()}.safetensors"

    def features(self, key: Mapping[str, Any], compute: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """The features of a key: read if they are there, else computed and kept.

        Raises:
            UserError: where the file cannot be written.
        """
        return self._array(key, "features", compute)

    def moments(self, key: Mapping[str, Any], compute: Callable[[], Moments]) -> Moments:
        """The moments of a key, likewise: of 2,048 features 34 MB, for any number of pictures."""
        return Moments.unpack(self._array(key, "moments", lambda: compute().pack()))

    def _array(self, key: Mapping[str, Any], kind: str, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        path, text = self.path(key, kind), _text(key, kind)
        known = _read(path, text)
        if known is not None:
            with contextlib.suppress(OSError):  # a folder that may only be read
                os.utime(path)
            return known
        array = np.ascontiguousarray(compute())
        _write(path, save({"array": array}, {"key": text, "sha256": _digest(array)}))
        self._make_room(path)
        return array

    def _make_room(self, newest: Path) -> None:
        """Remove files, those used longest ago first, until all fit; and what a kill has left half-written long ago."""
        found = []
        for file in self.folder.iterdir():
            with contextlib.suppress(OSError):  # another process may have removed it
                status = file.stat()
                if file.name.startswith(PARTIAL) and status.st_mtime < time.time() - DAY:
                    file.unlink()
                elif file.suffix == ".safetensors" and file != newest:
                    found.append((status.st_mtime, status.st_size, file))
        held = newest.stat().st_size + sum(size for _, size, _ in found)
        for _, size, file in sorted(found):
            if held <= self.limit:
                return
            file.unlink(missing_ok=True)
            held -= size


def _text(key: Mapping[str, Any], kind: str) -> str:
    return json.dumps({"version": VERSION, "kind": kind, **key}, sort_keys=True)


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(f"{array.dtype.str}{array.shape}".encode() + array.tobytes()).hexdigest()


def _read(path: Path, text: str) -> NDArray[Any] | None:
    """The array of a file, or ``None`` where there is none that can be trusted."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, array = file.metadata() or {}, file.get_tensor("array")
    except (OSError, SafetensorError):
        return None
    return np.asarray(array) if metadata == {"key": text, "sha256": _digest(array)} else None


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(
            f"cannot keep features in {path.parent}: {error.strerror or error}; make room or choose another folder"
        ) from error
