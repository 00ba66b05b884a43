"""Which direction a person means: by its place in the file, its label, or the name that it was given."""

import difflib
from typing import TYPE_CHECKING

from disentangle.errors import UserError

if TYPE_CHECKING:
    from disentangle.directions import Directions


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


def _plain(text: str) -> str:
    return " ".join(text.replace("·", " ").casefold().split())
