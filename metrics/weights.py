"""Published weight files: found where they were put, never fetched."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from disentangle.errors import UserError


def checkpoint(names: Sequence[str], what: str, instead: str, file: str | Path | None = None) -> tuple[Path, str]:
    """A published weight file, whole and unchanged.

    It is looked for in ``torch.hub.get_dir()/checkpoints``, where torch puts what it fetches and which the environment
    variable ``TORCH_HOME`` moves.

    Args:
        names: what the file is called by those who publish it; each ends in the first digits of its SHA-256.
        what: it is, for the error.
        instead: what works without it.
        file: where it is, under any name.

    Returns:
        the file and its SHA-256.

    Raises:
        UserError: where it is missing, or is another.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    places = [folder / name for name in names] if file is None else [Path(file)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        where = " or ".join(map(str, places))
        raise UserError(f"{what} needs its published weights: put {names[0]} at {where}; meanwhile {instead}")
    with found.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    prefixes = {Path(name).stem.rpartition("-")[2] for name in names}
    if not any(digest.startswith(prefix) for prefix in prefixes):
        raise UserError(
            f"{found} is not the published {names[0]}: its SHA-256 begins with {digest[:8]}, not {min(prefixes)}; "
            f"fetch it again; meanwhile {instead}"
        )
    return found, digest


def read(file: Path) -> dict[str, Any]:
    """The tensors of a weight file, and nothing that could run."""
    state: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    return state
