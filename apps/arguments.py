"""Command lines to dataclasses, by tyro; what cannot be parsed is said in one line, like all other bad input."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from disentangle.errors import UserError

T = TypeVar("T")


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
        if len(words) > 2000:  # such as a number of thousands of digits, which is drawn in lines
            words = f"{words[:200]} … {words[-200:]}"
        raise UserError(words or f"the arguments of `{prog}` cannot be parsed: `{prog} --help` shows them") from None
