"""What goes wrong because of what was given, and the words for it."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Input that cannot be used. The message is one line: what was got, what is possible, how to mend it.

    The command line prints the message without a traceback and exits with code 2.
    """


class DisentangleWarning(UserWarning):
    """A result that stands, but that its reader must know something about."""


def check_seed(seed: int) -> None:
    """Raise :class:`UserError` unless ``seed`` is one that random generators take."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed must lie between 0 and {2**63 - 1}, got {seed}")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a ``name`` that is none of ``known``: near misses first, then all that is possible."""
    possible = sorted(known)
    near = difflib.get_close_matches(name, possible, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {hint}possible: {', '.join(possible)}")
