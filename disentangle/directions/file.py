"""The file that keeps directions: safetensors, with JSON in its header, checked when written and when read."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from disentangle.errors import UserError

VERSION, READ = 3, (2, 3)
"""What is written, and what is read: version 2 had no spans."""
SUFFIX = ".safetensors"
FILE = f"directions{SUFFIX}"
"""What a file of directions is called in its folder."""
TENSORS = ("vectors", "singular_values", "shares", "gaps", "sigma")
"""What every direction has."""
MEASURED = ("activeness", "step_sizes", "stability", "seed_stability", "errors", "effects", "spans", "readable")
"""What has been measured of them, or ``None``."""
FIELDS = ("layers", "method", "settings", "seed", "weights", "space", "factors", "names", "notes")
TUPLES = ("layers", "factors", "names", "notes")
LONGEST_NAME, LONGEST_NOTE, LONGEST_TEXT = 60, 500, 1000
"""Characters of a name, of a note, and of any other text."""
JOINERS = "\u200c\u200d"
"""What joins the parts of an emoji, and letters of some scripts: it shows in what stands beside it."""
KINDS = {"method": str, "settings": dict, "seed": int, "weights": str, "space": str}
MEND = "find them again with `disentangle discover RUN`"


def encode(values: dict[str, Any]) -> bytes:
    """The bytes of a file.

    Args:
        values: all of :data:`TENSORS`, :data:`MEASURED` and :data:`FIELDS`, by their names.

    Raises:
        UserError: where a text is one that :func:`read` would refuse.
    """
    _check_texts({name: values[name] for name in FIELDS})
    held = {name: values[name] for name in (*TENSORS, *MEASURED) if values[name] is not None}
    tensors = {name: tensor.detach().cpu().float().contiguous().clone() for name, tensor in held.items()}
    described = {"version": VERSION} | {name: values[name] for name in FIELDS}
    described["checksum"] = _checksum(tensors, described)
    return safetensors.torch.save(tensors, {"directions": json.dumps(described, ensure_ascii=False)})


def write(path: Path, data: bytes) -> None:
    """Write a file, over what is there; whole or not at all.

    Raises:
        UserError: where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as error:
        raise UserError(f"cannot write the directions to {path}: {error.strerror or error}") from error


def read(path: Path) -> dict[str, Any]:
    """What :func:`encode` was given, without what was ``None``. Nothing in the file is executed.

    Raises:
        UserError: where it is missing, damaged, or of another kind or version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"no directions at {path}: {MEND}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; {MEND}") from error
    try:
        described = _metadata(data)
        tensors = safetensors.torch.load(data)
    except (ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is no direction file, or it is damaged ({error}): {MEND}") from error
    if described.get("version") not in READ:
        possible = " and ".join(map(str, READ))
        raise UserError(f"{path} is of version {described.get('version')}, possible: {possible}; {MEND}")
    try:
        values = {name: described[name] for name in FIELDS} | tensors
        _check_kinds(values)
        if _checksum(tensors, described) != described.get("checksum"):
            raise ValueError("wrong checksum")
        _check_texts(values)
        return values | {name: tuple(values[name]) for name in TUPLES}
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> UserError:
    """What to say of a file whose contents do not fit together."""
    return UserError(f"{path} is damaged ({error}): {MEND}")


def place(path: Path | str) -> Path:
    """The file that a path names."""
    path = Path(path)
    return path if path.suffix == SUFFIX else path / FILE


def _metadata(data: bytes) -> dict[str, Any]:
    """The JSON in the header: eight bytes of its length come first."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    described = json.loads(header["__metadata__"]["directions"])
    if not isinstance(described, dict):
        raise ValueError("its description is none")
    return described


def _check_kinds(values: dict[str, Any]) -> None:
    """Raise TypeError where a file holds something of another kind than :func:`encode` writes."""
    for name, value in values.items():
        if isinstance(value, Tensor):
            fits = value.dtype == torch.float32
        elif name in TUPLES:
            fits = isinstance(value, list) and all(isinstance(word, str) for word in value)
        else:
            fits = isinstance(value, KINDS[name])
        if not fits:
            raise TypeError(f"{name} is of another kind")


def printable(text: str) -> str:
    """The text without the characters that nobody sees and that a terminal may obey; line breaks are among them."""
    return "".join(letter for letter in text if letter.isprintable() or letter in JOINERS)


def check_text(kind: str, text: str) -> None:
    """Refuse a text that is too long or would harm a terminal, a table or a picture that shows it.

    Args:
        kind: of the text: ``"names"``, ``"notes"``, which may have several lines, or another of :data:`FIELDS`.
        text: any.

    Raises:
        UserError: where it has too many characters, or some that are not printable.
    """
    most, what = {"names": (LONGEST_NAME, "a name is one line of"), "notes": (LONGEST_NOTE, "a note has")}.get(
        kind, (LONGEST_TEXT, f"a text of {kind} is one line of")
    )
    inside = re.sub(r"[\n\r\t]", "", text) if kind == "notes" else text
    if len(text) > most or printable(inside) != inside:
        raise UserError(
            f"{what} {most} characters at most, all of them visible; "
            f"got {len(text):,}: {text[:40]!r}{'…' * (len(text) > 40)}"
        )


def _check_texts(values: dict[str, Any]) -> None:
    """:func:`check_text` of all."""
    for name, value in values.items():
        if name in TUPLES or isinstance(value, str):
            for text in value if name in TUPLES else (value,):
                check_text(name, text)


def _checksum(tensors: dict[str, Tensor], described: dict[str, Any]) -> str:
    """SHA-256 of names, shapes and numbers, and of the description; safetensors itself notices no flipped bit."""
    words = {name: value for name, value in described.items() if name != "checksum"}
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def _replace(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path``, then put it in its place, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
