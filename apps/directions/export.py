"""``disentangle directions export``: direction files for other tools."""

from __future__ import annotations

import csv
import inspect
import io
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:
    from disentangle.directions import Directions

KINDS = ("csv", "json", "npz", "npy")
NUMBERS = ("singular_values", "shares", "gaps", "sigma", "activeness", "step_sizes", "stability", "seed_stability")


@dataclass(frozen=True)
class ExportArgs:
    """Write directions for other tools.

    npy holds the vectors, (k, latents), and nothing else; npz all that is known of each as arrays, without pickles;
    json the same, with what found them; csv a row a direction: what is known of it, then its vector.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE")]
    """The run, or a direction file."""
    to: Literal["csv", "json", "npz", "npy"] | None = None
    """The format; by default what --out ends in."""
    out: Path | None = None
    """The file to write; by default beside the direction file."""
    directions: str | None = None
    """Which of the run's, if it has several."""
    force: bool = False
    """Replace the file if it exists."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    args = parse(
        ExportArgs,
        args=list(argv),
        prog="disentangle directions export",
        description=inspect.getdoc(ExportArgs),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    kind = args.to or (args.out.suffix.removeprefix(".").lower() if args.out is not None else "")
    if kind not in KINDS:
        raise UserError(f"say in which format: --to {', '.join(KINDS[:-1])} or {KINDS[-1]}")

    from disentangle.apps.directions.sources import free, load_one
    from disentangle.training.files import write_atomic

    source = load_one(args.source, args.directions)
    out = source.path.with_suffix(f".{kind}") if args.out is None else args.out
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file with --out")
    write_atomic(free(out, args.force), export(source.directions, kind))
    sys.stdout.write(f"{out}\n")


def export(directions: Directions, kind: str) -> bytes:
    """The directions in one of the formats :data:`KINDS`; equal directions give equal bytes."""
    import numpy as np

    if kind == "csv":
        return _csv(directions)
    if kind == "json":
        return (json.dumps(_described(directions), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    buffer = io.BytesIO()
    if kind == "npy":
        np.save(buffer, directions.vectors.numpy(), allow_pickle=False)
    else:
        texts = ("layers", "names", "notes", "factors", "method", "weights", "space")
        arrays = {name: np.array(getattr(directions, name), dtype=np.str_) for name in texts}
        for name in ("vectors", *NUMBERS, "effects", "spans", "readable"):
            if getattr(directions, name) is not None:
                arrays[name] = getattr(directions, name).numpy()
        np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _csv(directions: Directions) -> bytes:
    numbers = [name for name in NUMBERS if getattr(directions, name) is not None]
    factors = directions.factors if directions.effects is not None else ()
    ordered = [name for name in directions.factors if directions.span(0, name) is not None]
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    effects = [f"effect on {name}" for name in factors]
    spans = [f"{name} at {position} sigma" for name in ordered for position in (-2, 2)]
    vector = [f"v{i}" for i in range(directions.vectors.shape[1])]
    write(["place", "label", "layer", *numbers, *effects, *spans, "name", "note", *vector])
    for k in range(len(directions)):
        row: list[Any] = [k, directions.labels[k], directions.layers[k]]
        row += [float(getattr(directions, name)[k]) for name in numbers]
        row += directions.effects[k].tolist() if directions.effects is not None else []
        row += [share for name in ordered for share in directions.span(k, name) or ()]
        write([*row, directions.names[k], directions.notes[k], *directions.vectors[k].tolist()])
    return text.getvalue().encode()


def _described(directions: Directions) -> dict[str, Any]:
    """All there is, as JSON holds it: an infinite gap, where there is none, becomes null."""
    names = ("method", "settings", "seed", "weights", "space", "factors")
    described = {name: getattr(directions, name) for name in names}
    rows = []
    for k in range(len(directions)):
        row: dict[str, Any] = {"place": k, "label": directions.labels[k]}
        row |= {"layer": directions.layers[k], "name": directions.names[k], "note": directions.notes[k]}
        row |= {name: _number(getattr(directions, name), k) for name in NUMBERS}
        row["effects"] = None if directions.effects is None else directions.effects[k].tolist()
        row["spans"] = None if directions.spans is None else [directions.span(k, name) for name in directions.factors]
        rows.append(row | {"vector": directions.vectors[k].tolist()})
    described["readable"] = None if directions.readable is None else directions.readable.tolist()
    return described | {"directions": rows}


def _number(values: Any, k: int) -> float | None:
    return None if values is None or not math.isfinite(values[k]) else float(values[k])
