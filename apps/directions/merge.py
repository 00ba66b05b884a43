"""``disentangle directions merge``: several files into one."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:
    from disentangle.apps.directions.sources import Source
    from disentangle.directions import Directions

logger = logging.getLogger(__name__)

MERGED = "merged"
"""Among the settings of what was merged: the methods of its parts, and theirs."""


@dataclass(frozen=True)
class MergeArgs:
    """Put the directions of several files into one; of two that are nearly the same, the better-ranked stays.

    All must belong to the same weights. What has been measured of some only is left out. The layers say where each
    comes from: "layer 1 (weights)".
    """

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE …")]
    """Direction files; a run stands for all that was found in it, and not for what was merged of that."""
    out: str = ""
    """What to call the new ones: a name in the run's directions, or a file ….safetensors."""
    angle: float = 5.0
    """Degrees within which two directions are nearly the same."""
    force: bool = False
    """Replace what has that name."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    args = parse(
        MergeArgs,
        args=list(argv),
        prog="disentangle directions merge",
        description=inspect.getdoc(MergeArgs),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    if not args.out:
        raise UserError("say what to call the merged directions: --out NAME")
    if not 0 <= args.angle < 90:
        raise UserError(f"--angle must lie between 0 and 90 degrees, got {args.angle:g}")

    from disentangle.apps.directions.sources import free, keep

    out = free(_place(args), args.force)
    found = _sources(args.sources, out)
    if len(found) < 2:
        raise UserError(
            "merging takes two files at least; a run stands for all that was found in it, and not for what was merged"
        )
    titles = [_title(source.path) for source in found]
    merged = merge([source.directions for source in found], args.angle, titles)
    keep(merged, out, args.force)
    before = sum(len(source.directions) for source in found)
    logger.info("%d of %d directions of %d files: %s", len(merged), before, len(found), ", ".join(titles))
    sys.stdout.write(f"{out}\n")


def _place(args: MergeArgs) -> Path:
    """Where to write.

    Raises:
        UserError: where --out makes no sense, or is the place of a method's directions.
    """
    from disentangle.apps.directions.places import check_folder
    from disentangle.apps.directions.sources import files_of, run_of
    from disentangle.directions.file import FILE

    if "/" in args.out or args.out.endswith(".safetensors"):
        out = Path(args.out) if args.out.endswith(".safetensors") else Path(args.out) / FILE
        if out.name == FILE and run_of(out) is not None:
            check_folder(out.resolve().parent.name, "several")
        return out
    check_folder(args.out, "several")
    runs = (run_of(file) for path in args.sources for file in files_of(path))
    run = next((run for run in runs if run is not None), None)
    if run is None:
        raise UserError(
            f"none of these lies in a run that could hold {args.out!r}: name a file ….safetensors with --out"
        )
    return run / "directions" / args.out / FILE


def _sources(paths: Sequence[Path], out: Path) -> list[Source]:
    """What is to be merged, every file once.

    Raises:
        UserError: where a path names nothing, or a file is damaged.
    """
    from disentangle.apps.directions.sources import files_of, load

    found: dict[Path, Source] = {}
    for path in paths:
        of_run = (path / "config.json").exists()
        for file in files_of(path):
            if of_run and file.resolve() == out.resolve():
                continue
            source = load(file)
            if not (of_run and MERGED in source.directions.settings):
                found.setdefault(file.resolve(), source)
    return list(found.values())


def _title(file: Path) -> str:
    """What to call a source."""
    from disentangle.directions.file import FILE

    return file.resolve().parent.name if file.name == FILE else file.stem


def merge(parts: Sequence[Directions], angle: float, titles: Sequence[str] = ()) -> Directions:
    """The directions of all parts, in their order, without near-duplicates.

    Args:
        parts: of one generator.
        angle: degrees; of two that lie within it (as lines: signs do not matter) the better-ranked stays, and a name
            and a note that only the other has go over to it.
        titles: what to call each part: its layers then say so, unless it was merged itself and they do already.

    Returns:
        At least one direction. What has been measured of some parts only is ``None``.

    Raises:
        UserError: where the parts belong to different weights, spaces or numbers of latents.
    """
    import torch

    for what in ("weights", "space"):
        kinds = sorted({getattr(part, what) for part in parts})
        if len(kinds) > 1 or (what == "weights" and not kinds[0]):
            said = ", ".join(kind[:12] or "unknown" for kind in kinds)
            raise UserError(f"only directions of the same {what} can be merged, got {said}: find them in one run")
    if len({part.vectors.shape[1] for part in parts}) > 1:
        raise UserError("only directions of as many latents can be merged")
    union = _joined([_titled(part, title) for part, title in zip(parts, titles)] if titles else parts)
    cosines = (union.vectors.double() @ union.vectors.double().mT).abs()
    limit = torch.cos(torch.deg2rad(torch.tensor(angle, dtype=torch.float64))) - 1e-12
    kept: list[int] = []
    for k in _order(parts, union):
        twin = next((i for i in kept if bool(cosines[k, i] >= limit)), None)
        if twin is None:
            kept.append(k)
        else:
            union = union.rename(twin, union.names[twin] or union.names[k], union.notes[twin] or union.notes[k])
    return union.take(kept)


def _titled(part: Directions, title: str) -> Directions:
    """With layers that say what the part is called."""
    if MERGED in part.settings:
        return part
    return replace(part, layers=tuple(f"{layer} ({title})" for layer in part.layers))


def _joined(parts: Sequence[Directions]) -> Directions:
    import torch

    from disentangle.directions.file import MEASURED, TENSORS

    factors = parts[0].factors
    alike = all(part.factors == factors for part in parts)
    joined: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in TENSORS}
    for name in MEASURED[:-1]:
        held = [getattr(part, name) for part in parts]
        whole = all(tensor is not None for tensor in held) and (alike or name not in ("effects", "spans"))
        joined[name] = torch.cat(held) if whole else None
    for name in ("layers", "names", "notes"):
        joined[name] = tuple(text for part in parts for text in getattr(part, name))
    with_factors = joined["effects"] is not None
    joined |= {"factors": factors if with_factors else (), "readable": parts[0].readable if with_factors else None}
    methods = dict.fromkeys(method for part in parts for method in part.method.split(" + "))
    settings = {MERGED: [{"method": p.method, "settings": p.settings, "seed": p.seed} for p in parts]}
    return replace(parts[0], method=" + ".join(methods), settings=settings, **joined)


def _order(parts: Sequence[Directions], union: Directions) -> list[int]:
    """Places in the union, the better-ranked first."""
    if union.activeness is not None:
        return union.ranking()
    # Singular values of different methods do not compare: first all that are first in their file, and so on.
    ranked, start = [], 0
    for part in parts:
        ranked += [(rank, start + k) for rank, k in enumerate(part.ranking())]
        start += len(part)
    return [k for _, k in sorted(ranked)]
