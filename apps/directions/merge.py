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
    from disentangle.directions import Directions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MergeArgs:
    """Put the directions of several files into one; of two that are nearly the same, the better-ranked stays.

    All must belong to the same weights. What has been measured of some only is left out.
    """

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE …")]
    """Direction files; of a run, all it has."""
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

    from disentangle.apps.directions.sources import FILE, free, load_all

    found = [source for path in args.sources for source in load_all(path)]
    if len({source.path.resolve() for source in found}) < 2:
        raise UserError("merging takes two files at least; a run stands for all it has")
    inside = "/" not in args.out and not args.out.endswith(".safetensors")
    run = next((source.run for source in found if source.run is not None), None)
    if inside and (run is None or args.out.startswith(".")):
        raise UserError(
            f"none of these lies in a run that could hold {args.out!r}: name a file ….safetensors with --out"
        )
    out = Path(args.out) if not inside or run is None else run / "directions" / args.out / FILE
    out = out if out.suffix == ".safetensors" else out / FILE
    if out.resolve() not in {source.path.resolve() for source in found}:
        free(out, args.force)
    merged = merge([source.directions for source in found], args.angle)
    merged.save(out)
    before = sum(len(source.directions) for source in found)
    logger.info("%d of %d directions of %d files", len(merged), before, len(found))
    sys.stdout.write(f"{out}\n")


def merge(parts: Sequence[Directions], angle: float) -> Directions:
    """The directions of all parts, in their order, without near-duplicates.

    Args:
        parts: of one generator.
        angle: degrees; of two that lie within it (as lines: signs do not matter) the better-ranked stays, and a name
            and a note that only the other has go over to it.

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
    union = _joined(parts)
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


def _joined(parts: Sequence[Directions]) -> Directions:
    import torch

    from disentangle.directions.file import MEASURED, TENSORS

    factors = parts[0].factors
    alike = all(part.factors == factors for part in parts)
    joined: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in TENSORS}
    for name in MEASURED[:-1]:
        held = [getattr(part, name) for part in parts]
        whole = all(tensor is not None for tensor in held) and (alike or name != "effects")
        joined[name] = torch.cat(held) if whole else None
    for name in ("layers", "names", "notes"):
        joined[name] = tuple(text for part in parts for text in getattr(part, name))
    with_factors = joined["effects"] is not None
    joined |= {"factors": factors if with_factors else (), "readable": parts[0].readable if with_factors else None}
    methods = list(dict.fromkeys(part.method for part in parts))
    settings = {"merged": [{"method": p.method, "settings": p.settings, "seed": p.seed} for p in parts]}
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
