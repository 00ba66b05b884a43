"""What people call directions: which one they mean, and which names they may give."""

import difflib
from collections import Counter
from typing import TYPE_CHECKING

from disentangle.apps.edit import LONGEST_FILE, why_no_file
from disentangle.errors import UserError

if TYPE_CHECKING:
    from disentangle.directions import Directions

LONGEST_FOLDER = LONGEST_FILE - 15
"""Bytes of a folder's name: room is left for what is written beside it, ``NAME-before1``."""
FORBIDDEN = '<>:"|?*'
"""What no file's name may have on some systems, which then could not unpack the run."""


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
        # More digits are no number to Python, and no place in any file.
        place = int(wanted) if len(wanted) < 20 else -1
        if not 0 <= place < len(directions):
            raise UserError(
                f"there is no direction {wanted[:20]}: possible: 0 to {len(directions) - 1}, names and labels"
            )
        return place
    found = [k for k, label in enumerate(directions.labels) if _plain(label) == wanted]
    if len(found) > 1:
        places = ", ".join(map(str, found))
        raise UserError(f"several directions are called {text!r}: name one by its place, {places}")
    if not found:
        near = difflib.get_close_matches(wanted, [_plain(label) for label in directions.labels], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        given = ", ".join(name for name in directions.names if name)
        labels = [label for label, name in zip(directions.labels, directions.names) if not name]
        label = f", a label such as {labels[0]!r}" if labels else ""
        raise UserError(
            f"unknown direction {text[:60]!r}: {hint}possible: a place, 0 to {len(directions) - 1}{label}, "
            f"{f'or a given name: {given}' if given else 'or a given name (there are none)'}"
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
            place), or another direction's; or the note is too long, or has characters that nobody sees.
    """
    if not 0 <= k < len(directions):
        raise UserError(f"there is no direction {k}: possible: 0 to {len(directions) - 1}")
    name, note = (name or "").strip(), (note or "").strip()
    _check_texts(name, note)
    if name and any(_plain(name) == _plain(label) for i, label in enumerate(directions.labels) if i != k):
        raise UserError(f"another direction is called {name!r} already: choose another name")


def check_names(directions: "Directions") -> None:
    """Refuse directions from elsewhere that have names or notes that :func:`check_name` refuses.

    Raises:
        UserError: where one is such.
    """
    called = Counter(map(_plain, directions.labels))
    for name, note in zip(directions.names, directions.notes):
        _check_texts(name, note)
        if name and called[_plain(name)] > 1:
            raise UserError(f"several directions are called {name!r}: choose other names")


def check_folder(name: str, method: str | None = None) -> None:
    """Refuse a name for directions, which becomes a folder's, that would make trouble.

    Args:
        name: what they are to be called.
        method: what found them, if that is known: the name of a method is for what that method finds.

    Raises:
        UserError: where it is empty, too long, hidden, another method's, or has characters that some systems refuse.
    """
    why = why_no_file(name, LONGEST_FOLDER)
    wrong = [letter for letter in FORBIDDEN if letter in name]
    if not why and wrong:
        why = f"names have no {' '.join(wrong)}"
    if not why and name.startswith("."):
        why = "it would be hidden"
    if not why and method is not None:
        from disentangle.directions import METHODS

        if name in ("auto", *METHODS) and name != method:
            why = f"it is the name of a method, and these come from {method}"
    if why:
        raise UserError(f"{name[:40]!r} is no name for directions: {why}; choose another")


def _check_texts(name: str, note: str) -> None:
    from disentangle.directions.file import check_text

    check_text("names", name)
    check_text("notes", note)
    if name.removeprefix("-").isdecimal():
        raise UserError(f"a name must not be a number, which means a place: got {name!r}")


def _plain(text: str) -> str:
    return " ".join(text.replace("·", " ").casefold().split())
