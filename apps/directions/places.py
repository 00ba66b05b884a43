"""What people call directions: which one they mean, and which names they may give."""

import difflib
from typing import TYPE_CHECKING

from disentangle.errors import UserError

if TYPE_CHECKING:
    from disentangle.directions import Directions

LONGEST_NAME, LONGEST_NOTE = 60, 500


def place_of(directions: "Directions", text: str) -> int:
    """The place of a direction in its file, counted from 0.

    Args:
        directions: all of the file.
        text: a place, or a label (``"layer 2 · #1"``, the dot may be left out) or a given name; case does not matter.

    Raises:
        UserError: where none is meant, or several are.
    """
    wanted = _plain(text)
    if wanted.removeprefix("-").isdecimal():
        if not 0 <= int(wanted) < len(directions):
            raise UserError(f"there is no direction {wanted}: possible: 0 to {len(directions) - 1}, names and labels")
        return int(wanted)
    found = [k for k, label in enumerate(directions.labels) if _plain(label) == wanted]
    if len(found) > 1:
        places = ", ".join(map(str, found))
        raise UserError(f"several directions are called {text!r}: name one by its place, {places}")
    if not found:
        near = difflib.get_close_matches(wanted, [_plain(label) for label in directions.labels], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        names = ", ".join(name for name in directions.names if name)
        raise UserError(
            f"unknown direction {text!r}: {hint}possible: a place, 0 to {len(directions) - 1}, a label such as "
            f"{directions.labels[0]!r}, {f'or a given name: {names}' if names else 'or a given name (there are none)'}"
        )
    return found[0]


def check_name(directions: "Directions", k: int, name: str | None, note: str | None) -> None:
    """Refuse a name or a note that would make trouble.

    Args:
        directions: all of the file.
        k: place of the direction that is to be named.
        name: its new name, ``""`` to take away the one it has; ``None`` to leave it.
        note: its new note, likewise.

    Raises:
        UserError: where there is no such direction, or the name is too long, more than a line, a number (which names a
            place), or another direction's.
    """
    if not 0 <= k < len(directions):
        raise UserError(f"there is no direction {k}: possible: 0 to {len(directions) - 1}")
    name, note = (name or "").strip(), (note or "").strip()
    if len(name) > LONGEST_NAME or len(note) > LONGEST_NOTE or not name.isprintable():
        raise UserError(
            f"a name is one line of {LONGEST_NAME} characters at most, a note has {LONGEST_NOTE}; these have "
            f"{len(name)} and {len(note)}"
        )
    if name.removeprefix("-").isdecimal():
        raise UserError(f"a name must not be a number, which means a place: got {name!r}")
    if name and any(_plain(name) == _plain(label) for i, label in enumerate(directions.labels) if i != k):
        raise UserError(f"another direction is called {name!r} already: choose another name")


def _plain(text: str) -> str:
    return " ".join(text.replace("·", " ").casefold().split())
