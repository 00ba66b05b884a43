"""``disentangle directions list``: what is known of each direction."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from disentangle.apps.directions.sources import Source
    from disentangle.directions import Directions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListArgs:
    """List the directions of a run or of a file, those worth a look first, and what is known of each.

    The place is what commands and links call a direction by. The share is of the sum of the squares of its layer's
    singular values; the gap is to the nearest other singular value, over the largest; stability is in degrees, between
    halves of the samples and between seeds; a step is the perceptual distance of one sigma.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE")]
    """The run, or a direction file."""
    directions: str | None = None
    """Only these of the run's."""
    count: int | None = None
    """Only so many of each file, the best."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    args = parse(ListArgs, args=list(argv), prog="disentangle directions list", description=inspect.getdoc(ListArgs))
    if args.count is not None and args.count < 1:
        raise UserError(f"--count must be at least 1, got {args.count}")

    from disentangle.apps.data import show

    for source in _readable(args.source, args.directions):
        directions = source.directions
        heading = f"{source.title}: {len(directions)} directions, {directions.method}, seed {directions.seed}"
        show(table(directions, f"{heading}, weights {directions.weights[:12] or 'unknown'}", args.count))
        for layer in directions.collapsed:
            logger.info("%s: %s has collapsed: none of its directions changes the picture", source.title, layer)


def _readable(path: Path, name: str | None) -> list[Source]:
    """The direction files that a path names, without the damaged ones, which are said.

    Raises:
        UserError: where there is none, or all are damaged.
    """
    from disentangle.apps.directions.sources import files_of, load

    found, errors = [], []
    for file in files_of(path, name):
        try:
            found.append(load(file))
        except UserError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    for damage in errors:
        logger.warning("left out: %s", damage)
    return found


def table(directions: Directions, title: str, count: int | None = None) -> Table:
    """The directions in the order of their ranking; what has not been measured of any has no column."""
    from rich.table import Table

    from disentangle.directions.file import printable

    drawn = Table(box=None, pad_edge=False, title=printable(title), title_justify="left")
    drawn.add_column("place", justify="right")
    drawn.add_column("name")
    drawn.add_column("layer")
    columns = {name: values for name, values in _columns(directions).items() if any(values)}
    for name in columns:
        drawn.add_column(name, justify="left" if name in ("moves", "doubts", "note") else "right", overflow="fold")
    for k in directions.ranking(count):
        words = [directions.labels[k], directions.layers[k], *(values[k] for values in columns.values())]
        drawn.add_row(str(k), *map(printable, words))
    return drawn


def _columns(directions: Directions) -> dict[str, list[str]]:
    count = len(directions)
    gaps = ["–" if math.isinf(gap) else f"{gap:.3f}" for gap in directions.gaps.tolist()]
    purity = _numbers(directions.purity, ".0%", count)
    return {
        "singular value": _numbers(directions.singular_values, ".4g", count),
        "share": _numbers(directions.shares, ".1%", count),
        "gap": ["repeated" if again else gap for again, gap in zip(directions.repeated.tolist(), gaps)],
        "halves": _numbers(directions.stability, ".0f", count, "°"),
        "seeds": _numbers(directions.seed_stability, ".0f", count, "°"),
        "activeness": _numbers(directions.activeness, ".2g", count),
        "step": _numbers(directions.step_sizes, ".3g", count),
        "moves": [f"{name} {share}" if name else "" for name, share in zip(directions.moves, purity)],
        "doubts": ["; ".join(directions.doubts(k)) for k in range(count)],
        "note": [note.strip().splitlines()[0][:60] if note.strip() else "" for note in directions.notes],
    }


def _numbers(values: Tensor | None, how: str, count: int, unit: str = "") -> list[str]:
    return [""] * count if values is None else [f"{value:{how}}{unit}" for value in values.tolist()]
