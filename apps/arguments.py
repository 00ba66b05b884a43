"""Command lines to dataclasses, by tyro; what cannot be parsed is said in one line, like all other bad input."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from disentangle.errors import UserError

T = TypeVar("T")


NUMBERS = {
    r"invalid literal for int\(\) with base 10:": "expected a whole number, got",
    r"could not convert string to float:": "expected a number, got",
}
"""What Python says of a word that is no number, and what a user understands."""


def parse(kind: type[T], args: Sequence[str], prog: str, **options: Any) -> T:
    """Fill the dataclass ``kind`` from ``args``; ``--help`` prints and exits. ``options`` are those of ``tyro.cli``.

    Raises:
        UserError: where the words do not fit.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=list(args), prog=prog, **options)  # type: ignore[no-any-return]
    except SystemExit as stop:
        if not stop.code:
            raise
        # Tyro draws a box around several lines: the frame goes, and the lines become one.
        text = re.sub(r"[─-╿]+|-{4,}", " ", said.getvalue())
        # … and a heading that only says what the line says is not said twice.
        words = re.sub(r"^([\w ]{5,40}?) (?=\1\b)", "", " ".join(text.split()), flags=re.IGNORECASE)
        words = _plainly(words)
        if len(words) > 2000:  # such as a number of thousands of digits, which is drawn in lines
            words = f"{words[:200]} … {words[-200:]}"
        raise UserError(words or f"the arguments of `{prog}` cannot be parsed: `{prog} --help` shows them") from None


def _plainly(words: str) -> str:
    """Tyro's words about a value of the wrong type, shorter; others as they are."""
    found = re.fullmatch(
        r"Value error Error parsing (\S+): (.*) Argument helptext: (.*) For full helptext, see (.*)", words
    )
    if found is None:
        return words
    name, reason, described, command = found.groups()
    for theirs, ours in NUMBERS.items():
        reason = re.sub(theirs, ours, reason)
    return f"{name}: {reason}: {described}; `{command}` shows all"
