"""``disentangle directions name``: names and notes that people give."""

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
    from disentangle.directions import Directions

logger = logging.getLogger(__name__)

LONGEST_NAME, LONGEST_NOTE = 60, 500


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

    from disentangle.apps.directions.places import place_of
    from disentangle.apps.directions.sources import load_one

    source = load_one(args.source, args.directions)
    k = place_of(source.directions, args.direction)
    check_names(source.directions, k, args.name, args.note)
    before = source.directions.labels[k]
    after = source.directions.rename(k, args.name, args.note)
    after.save(source.path)
    logger.info("direction %d of %s, %s, is %s now", k, source.title, before, after.labels[k])


def check_names(directions: "Directions", k: int, name: str | None, note: str | None) -> None:
    """Refuse a name or a note that would make trouble.

    Raises:
        UserError: where it is too long, more than a line, a number (which names a place), or another direction's.
    """
    name, note = (name or "").strip(), (note or "").strip()
    if len(name) > LONGEST_NAME or len(note) > LONGEST_NOTE or not name.isprintable():
        raise UserError(
            f"a name is one line of {LONGEST_NAME} characters at most, a note has {LONGEST_NOTE}; these have "
            f"{len(name)} and {len(note)}"
        )
    if name.removeprefix("-").isdecimal():
        raise UserError(f"a name must not be a number, which means a place: got {name!r}")
    if "=" in name:
        raise UserError(f"a name must not have an equals sign, which stands before a distance: got {name!r}")
    if any(name.casefold() == label.casefold() for i, label in enumerate(directions.labels) if i != k):
        raise UserError(f"another direction is called {name!r} already: choose another name")
