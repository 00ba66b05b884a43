"""``disentangle directions name``: names and notes that people give."""

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NameArgs:
    """Give a direction a name, a note, or both; the name then stands in tables, on sliders and in pictures.

    An empty name or note takes away what is there.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE")]
    """The run, or a direction file."""
    direction: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIRECTION")]
    """Its place in the file, its label, or the name it has."""
    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """Its new name."""
    note: str | None = None
    """Its new note."""
    directions: str | None = None
    """Which of the run's, if it has several."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    args = parse(NameArgs, args=list(argv), prog="disentangle directions name", description=inspect.getdoc(NameArgs))
    if args.name is None and args.note is None:
        raise UserError('give a name, a note or both: disentangle directions name RUN 3 "smile" --note "subtle"')

    from disentangle.apps.directions.places import check_name, place_of
    from disentangle.apps.directions.sources import load_one
    from disentangle.training.files import locked

    where = load_one(args.source, args.directions).path.parent
    with locked(where, wait=True):
        source = load_one(args.source, args.directions)
        k = place_of(source.directions, args.direction)
        check_name(source.directions, k, args.name, args.note)
        before = source.directions.labels[k]
        after = source.directions.rename(k, args.name, args.note)
        after.save(source.path)
    logger.info("direction %d of %s, %s, is %s now", k, source.title, before, after.labels[k])
