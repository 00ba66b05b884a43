"""``disentangle directions import``: directions that a colleague or another tool found."""

from __future__ import annotations

import inspect
import io
import logging
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from disentangle.directions import Directions

logger = logging.getLogger(__name__)

LARGEST = 2**28
"""Bytes of a file, unpacked."""
SAMPLES = 16


@dataclass(frozen=True)
class ImportArgs:
    """Take directions from elsewhere into a run, where the app, links and all commands find them.

    A .npy file holds one vector, or vectors (k, latents); a .npz file has them under "vectors", and may have "names",
    "notes" and "layers". They are brought to unit length and bound to the run's weights, and how much each changes the
    pictures is measured. A direction file (.safetensors) is taken in as it is, if it belongs to the run's weights.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """What to take in."""
    run: Path | None = None
    """The run."""
    out: str | None = None
    """What to call them: a name in the run's directions; the file's by default."""
    force: bool = False
    """Replace what has that name."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    args = parse(
        ImportArgs,
        args=list(argv),
        prog="disentangle directions import",
        description=inspect.getdoc(ImportArgs),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    if args.run is None:
        raise UserError(f"say for which run: disentangle directions import {args.file} --run RUN")

    from disentangle.apps.directions.places import check_folder
    from disentangle.apps.directions.sources import free, keep
    from disentangle.directions import Directions, measure_activeness
    from disentangle.directions.file import FILE
    from disentangle.training.run import Run

    run = Run.open(args.run)
    name = args.file.stem if args.out is None else args.out
    check_folder(name)
    out = free(run.path / "directions" / name / FILE, args.force)
    generator = run.load_generator()
    weights = run.weights_hash()
    if args.file.suffix == ".safetensors":
        found = Directions.load(args.file)
        found.check_weights(weights, str(run.path))
    else:
        found = from_arrays(_read(args.file), args.file.name)
    check_folder(name, found.method)
    if found.vectors.shape[1] != generator.latent_size:
        raise UserError(
            f"{args.file} is for {found.vectors.shape[1]} latents, {run.path} has {generator.latent_size}: name the "
            "run that the directions are of"
        )
    if not found.weights:
        found = measure_activeness(generator, replace(found, weights=weights), samples=SAMPLES)
    keep(found, out, args.force)
    logger.info("%d directions: `disentangle directions list %s --directions %s`", len(found), run.path, name)
    sys.stdout.write(f"{out}\n")


def from_arrays(arrays: dict[str, np.ndarray], name: str) -> Directions:
    """Directions of vectors from elsewhere, bound to no weights yet.

    Nothing is known of singular values: their place is taken by the lengths that the vectors had; or, where float32
    cannot hold these, by their ratios to the largest.

    Args:
        arrays: ``"vectors"``, ``(k, d)`` or ``(d,)``; and, if there, ``"names"``, ``"notes"`` and ``"layers"``.
        name: of the file, for messages and for the settings.

    Raises:
        UserError: where they are no vectors, one is zero or not finite, the texts are not as many, or a name or a note
            is one that cannot be given (:func:`~disentangle.apps.directions.places.check_name`).
    """
    import torch

    from disentangle.apps.directions.places import check_names
    from disentangle.directions import Directions

    vectors = _vectors(arrays, name)
    largest = vectors.abs().amax(1)
    if not bool((largest > 0).all() & largest.isfinite().all()):
        bad = int((~((largest > 0) & largest.isfinite())).nonzero()[0])
        raise UserError(f"vector {bad} of {name} has no direction: it is zero, or not finite")
    # Of 1e300 or 1e-320 the square is out of range.
    vectors = vectors / largest[:, None]
    norms = torch.linalg.vector_norm(vectors, dim=1)
    ratios = norms * (largest / largest.max())
    lengths = norms * largest
    held = lengths.float()
    texts: dict[str, Any] = {}
    for key in ("names", "notes", "layers"):
        if key in arrays:
            if arrays[key].shape != (len(vectors),) or arrays[key].dtype.kind != "U":
                raise UserError(f"{name} must have a text for each of its {len(vectors)} vectors under {key!r}")
            texts[key] = tuple(text.strip() for text in arrays[key].tolist())
    found = Directions(
        vectors=(vectors / norms[:, None]).float(),
        singular_values=held if bool((held > 0).all() & held.isfinite().all()) else (ratios / ratios.max()).float(),
        shares=ratios.square().div(ratios.square().sum()).float(),
        gaps=torch.full((len(vectors),), torch.inf),
        sigma=torch.ones(len(vectors)),
        method="imported",
        settings={"file": name},
        **({"layers": ("imported",) * len(vectors)} | texts),
    )
    check_names(found)
    return found


def _vectors(arrays: dict[str, np.ndarray], name: str) -> Tensor:
    """``(k, d)`` in float64."""
    import torch

    if "vectors" not in arrays and len(arrays) != 1:
        raise UserError(f"{name} must hold 'vectors', (k, latents); it has {', '.join(sorted(arrays)) or 'nothing'}")
    found = arrays["vectors"] if "vectors" in arrays else next(iter(arrays.values()))
    if found.dtype.kind not in "fiu" or found.ndim not in (1, 2) or found.size == 0:
        raise UserError(f"{name} must hold numbers (k, latents), got {found.dtype} of shape {found.shape}")
    return torch.from_numpy(found.astype("float64")).reshape(-1, found.shape[-1])


def _read(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npy or .npz file; nothing in it is executed.

    Raises:
        UserError: where it is missing, damaged, too large, or neither.
    """
    import numpy as np

    if file.suffix not in (".npy", ".npz"):
        raise UserError(f"{file} is of no kind that can be taken in: possible: .npy, .npz, .safetensors")
    try:
        size = file.stat().st_size
        if file.suffix == ".npz":
            with zipfile.ZipFile(file) as packed:
                size = sum(entry.file_size for entry in packed.infolist())
        if size > LARGEST:
            raise UserError(f"{file} has {size / 1e6:,.0f} MB: possible: {LARGEST / 1e6:,.0f} MB")
        held = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
        return {"vectors": held} if isinstance(held, np.ndarray) else {key: held[key] for key in held.files}
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError, MemoryError) as error:
        raise UserError(f"{file} is damaged, or holds Python objects, which are refused: {error}") from None
