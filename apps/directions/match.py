"""``disentangle directions match``: which directions of two files are the same."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from disentangle.apps.directions.sources import Source
    from disentangle.directions import Matches


@dataclass(frozen=True)
class MatchArgs:
    """Match the directions of two files one to one, so that their angles are small on the whole.

    Works across methods, seeds and runs, where the latents are as many. Of generators that were trained apart, latents
    mean different things: there angles near 90° are to be expected. The principal angles say how far all that the one
    file spans lies from what the other spans, whatever its axes.
    """

    first: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """A run or a direction file."""
    second: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Another."""
    directions: tuple[str, ...] = ()
    """Which of the runs', if they have several: a name for both, or one for each."""
    angle: float = 15.0
    """Degrees within which two directions count as the same."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    args = parse(MatchArgs, args=list(argv), prog="disentangle directions match", description=inspect.getdoc(MatchArgs))
    if len(args.directions) > 2:
        raise UserError(f"--directions takes a name for both or one for each, got {len(args.directions)}")
    if not 0 <= args.angle <= 90:
        raise UserError(f"--angle must lie between 0 and 90 degrees, got {args.angle:g}")

    from disentangle.apps.data import show
    from disentangle.apps.directions.sources import load_one
    from disentangle.directions import match

    names = args.directions or (None,)
    a, b = load_one(args.first, names[0]), load_one(args.second, names[-1])
    sizes = [source.directions.vectors.shape[1] for source in (a, b)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{a.title} has {sizes[0]} latents and {b.title} {sizes[1]}: only directions of as many latents match"
        )
    found = match(a.directions, b.directions)
    show(table(a, b, found))
    same = len(found.same(args.angle))
    lines = [f"{same} of {len(found.pairs)} pairs are the same within {args.angle:g}°"]
    lines += [f"repeated {block.members}: their planes lie {block.angle:.1f}° apart" for block in found.blocks]
    spans = [f"{angle:.1f}" for angle in found.spans.tolist()]
    shown = spans if len(spans) <= 16 else [*spans[:8], "…", *spans[-7:]]
    lines.append(f"principal angles of all they span: {', '.join(shown)} degrees")
    if a.directions.weights != b.directions.weights:
        lines.append("the two belong to different weights")
    sys.stdout.write("\n".join(lines) + "\n")


def table(a: Source, b: Source, found: Matches) -> Table:
    """The pairs, the closest first."""
    from rich.table import Table

    from disentangle.directions.file import printable

    drawn = Table(box=None, pad_edge=False)
    for heading in ("place", printable(a.title), "place", printable(b.title)):
        drawn.add_column(heading, justify="right" if heading == "place" else "left", overflow="fold")
    drawn.add_column("angle", justify="right")
    drawn.add_column("sign", justify="right")
    order = sorted(range(len(found.pairs)), key=lambda i: float(found.angles[i]))
    for i in order:
        first, second = found.pairs[i]
        labels = [printable(text) for text in (a.directions.labels[first], b.directions.labels[second])]
        sign = "same" if float(found.signs[i]) > 0 else "opposite"
        drawn.add_row(str(first), labels[0], str(second), labels[1], f"{float(found.angles[i]):.1f}°", sign)
    return drawn
