"""``disentangle directions list``: what is known of each direction."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:
    from disentangle.apps.directions.sources import Source

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListArgs:
    """List the directions of a run or of a file, those worth a look first, and what is known of each.

    The place, #, is what commands and links call a direction by. The share is of the sum of the squares of its layer's
    singular values; below the factor that it moves stands how far its value goes at -2 and at 2 sigma, in shares of its
    range; the gap is to the nearest other singular value, over the largest; by so many degrees other samples
    or seeds turn it, whichever is more; a step is the perceptual distance of one sigma.
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
    from disentangle.apps.discoveries import table

    for source in _readable(args.source, args.directions):
        directions = source.directions
        heading = f"{source.title}: {len(directions)} directions, {directions.method}, seed {directions.seed}"
        heading = f"{heading}, weights {directions.weights[:12] or 'unknown'}"
        show(table(directions, directions.ranking(args.count), heading))
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
