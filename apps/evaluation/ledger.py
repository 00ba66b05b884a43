"""Scores that are done, a file each: an evaluation that was stopped goes on, and a score is added in its own time.

A score is kept under the hash of everything that decides it. What was computed otherwise, or cannot be read, counts as
not done: it is computed again and never trusted.
"""

import hashlib
import io
import json
import logging
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disentangle.apps.evaluation.score import Score
from disentangle.training.files import write_atomic

Json = dict[str, Any]
Arrays = dict[str, NDArray[Any]]

FORMAT = 2
"""Raised whenever a score comes out otherwise from the same inputs, so that older files are not taken for it."""

logger = logging.getLogger(__name__)

DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,  # an archive that says that it is encrypted, or packed in a way unknown here
    OverflowError,
    MemoryError,  # a header that promises more than there is
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged array, or archive of arrays, raises."""


@dataclass(frozen=True)
class Entry:
    """A task that is done.

    Attributes:
        scores: what came out.
        seconds: how long it took.
    """

    scores: list[Score]
    seconds: float


@dataclass(frozen=True)
class Ledger:
    """Scores kept in a folder, ``NAME-KEY.json`` each, and arrays, ``NAME-KEY.npz``.

    Attributes:
        folder: where.
        fresh: whether what is there is to be computed again.
    """

    folder: Path
    fresh: bool = False

    def read(self, name: str, inputs: Mapping[str, Any]) -> Entry | None:
        """What was computed of ``name`` from these inputs; ``None`` where it was not, or its file is damaged."""
        if self.fresh:
            return None
        path = self._path(name, inputs, "json")
        try:
            kept = json.loads(path.read_text(), parse_constant=_refuse)
            if kept["key"] != key_of(inputs):
                return None
            return Entry([Score.from_dict(score) for score in kept["scores"]], float(kept["seconds"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s is damaged (%s): computing it again", path, error)
            return None

    def write(self, name: str, inputs: Mapping[str, Any], scores: Sequence[Score], seconds: float) -> None:
        """Keep a task that is done.

        Raises:
            UserError: where it cannot be written.
            ValueError: where a number is not finite, which JSON cannot hold.
        """
        values = {
            "key": key_of(inputs),
            "inputs": dict(inputs),
            "seconds": seconds,
            "scores": [score.to_dict() for score in scores],
        }
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomic(self._path(name, inputs, "json"), text)

    def read_arrays(self, name: str, inputs: Mapping[str, Any]) -> Arrays | None:
        """Arrays that were computed of ``name`` from these inputs; ``None`` where they were not, or are damaged."""
        key, path = key_of(inputs), self._path(name, inputs, "npz")
        if self.fresh:
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                right = str(file["key"]) == key
                return {field: file[field] for field in file.files if field != "key"} if right else None
        except FileNotFoundError:
            return None
        except DAMAGED as error:
            logger.warning("%s is damaged (%s): computing it again", path, error)
            return None

    def write_arrays(self, name: str, inputs: Mapping[str, Any], arrays: Arrays) -> None:
        """Keep arrays.

        Raises:
            UserError: where they cannot be written.
        """
        raw = io.BytesIO()
        np.savez(raw, allow_pickle=False, key=np.array(key_of(inputs)), **arrays)
        write_atomic(self._path(name, inputs, "npz"), raw.getvalue())

    def _path(self, name: str, inputs: Mapping[str, Any], kind: str) -> Path:
        """A file for each set of inputs, so that measuring otherwise overwrites nothing."""
        return self.folder / f"{name}-{key_of(inputs)[:12]}.{kind}"


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number")


def key_of(inputs: Mapping[str, Any]) -> str:
    """SHA-256 of everything that decides a result, and of the format."""
    text = json.dumps({"format": FORMAT, **inputs}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
