"""What commands print of directions: what is known of each, and what to do with them."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from disentangle.apps.discover import quoted
from disentangle.directions import Directions
from disentangle.directions.captions import spanned
from disentangle.directions.file import printable

LISTED = 30
"""Directions in the table of a discovery, at most."""
NOTED = 60
"""Letters of a note."""

Cell = Callable[[Directions, int], str]


def table(found: Directions, order: Sequence[int], title: str) -> Table:
    """The directions at ``order``, a row each, with all that is known of them; 80 characters wide at most, if names are
    short and there are no notes."""
    drawn = Table(
        title=escape(printable(title)),
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    cells: dict[str, Cell] = {"#": lambda d, k: str(k), "direction": _named}
    cells |= {heading: cell for heading, (present, cell) in MEASURED.items() if present(found)}
    for heading in cells:
        words = heading in WORDS
        drawn.add_column(heading, justify="left" if words else "right", no_wrap=not words)
    for k in order:
        drawn.add_row(*(escape(cell(found, k)) for cell in cells.values()))
    return drawn


def following(run: Path, name: str, found: Directions, order: Sequence[int]) -> Iterator[str]:
    """What is said below the table: what is left out, and how to go on."""
    if len(order) > LISTED:
        yield f"{len(order) - LISTED} more in the file"
    still = int(found.still.sum())
    if still:
        yield f"{still} of {len(found)} directions hardly change the picture"
    if found.collapsed:
        yield f"collapsed, all of whose directions are among these: {', '.join(found.collapsed)}"
    if found.readable is not None and found.factors:
        unread = [factor for factor, share in zip(found.factors, found.readable.tolist()) if share < 0.5]
        if unread:
            yield f"hardly to be read off these pictures, so that little is known of them: {', '.join(unread)}"
    yield "to go on:"
    yield f"  disentangle render {quoted(run)} --directions {quoted(name)} --strip {order[0]}"
    yield f"  disentangle app {quoted(run)}"


def turned(found: Directions, k: int) -> str:
    """By how many degrees other samples or seeds turn the direction, the larger of the two."""
    angles = [each for each in (found.stability, found.seed_stability) if each is not None]
    return f"{max(float(each[k]) for each in angles):.0f}°"


def doubted(found: Directions, k: int) -> str:
    """What speaks against the direction, in a word and a line each."""
    repeated = found.repeated | found.unresolved
    doubts = {"repeated": repeated, "unstable": found.unstable, "still": found.still}
    return "\n".join(word for word, so in doubts.items() if bool(so[k]))


def _number(values: str) -> Cell:
    return lambda d, k: f"{float(getattr(d, values)[k]):.2g}"


def _moved(found: Directions, k: int) -> str:
    """The factor that the direction moves most, and below it how far its value goes at -2 and at 2 sigma."""
    span = spanned(found.span(k))
    words = [printable(found.moves[k]) or "–", *([span.replace(" ", "").replace("0.", ".")] if span else [])]
    return "\n".join(words)


def _named(found: Directions, k: int) -> str:
    """What the direction is called, and below a name that was given its layer."""
    words = [found.labels[k], *([found.layers[k]] if found.names[k] else [])]
    return "\n".join(map(printable, words))


def _noted(found: Directions, k: int) -> str:
    """The first line of what people wrote about the direction."""
    return printable(found.notes[k].strip().partition("\n")[0][:NOTED])


WORDS = ("direction", "moves", "doubts", "note")

MEASURED: dict[str, tuple[Callable[[Directions], bool], Cell]] = {
    "value": (lambda d: True, lambda d, k: f"{float(d.singular_values[k]):.3g}"),
    "share": (lambda d: True, lambda d, k: f"{float(d.shares[k]):.0%}"),
    "gap": (lambda d: True, lambda d, k: "–" if float(d.gaps[k]) == math.inf else f"{float(d.gaps[k]):.3f}"),
    "turns": (lambda d: d.stability is not None or d.seed_stability is not None, turned),
    "active": (lambda d: d.activeness is not None, _number("activeness")),
    "step": (lambda d: d.step_sizes is not None, _number("step_sizes")),
    "moves": (lambda d: d.purity is not None, _moved),
    "purity": (lambda d: d.purity is not None, lambda d, k: _number("purity")(d, k) if d.moves[k] else ""),
    "doubts": (lambda d: any(doubted(d, k) for k in range(len(d))), doubted),
    "note": (lambda d: any(d.notes), _noted),
}
"""Columns: whether there is something to show in one, and what it shows of a direction."""
