"""What goes wrong because of what was given, and the words for it."""

import difflib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType


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


def unknown_name(
    kind: str, name: str, known: Iterable[str], aliases: Mapping[str, str] = MappingProxyType({})
) -> UserError:
    """The error for a ``name`` that is none of ``known``: what was meant first, then all that is possible.

    Args:
        kind: what it is a name of.
        name: the name.
        known: all that there are.
        aliases: what else the known ones are called, in small letters with hyphens -> the known name.
    """
    possible = sorted(known)
    plain = re.sub(r"[\s_]+", "-", name.strip().lower())
    near = difflib.get_close_matches(plain, possible, n=3, cutoff=0.5)
    if plain in possible or plain in aliases:
        near = [aliases.get(plain, plain)]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {hint}possible: {', '.join(possible)}")
