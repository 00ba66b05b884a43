"""Two runs side by side: which direction of one goes with which of the other."""

from typing import Any

from disentangle.apps.page import render_template
from disentangle.apps.studio import View
from disentangle.apps.traverse import panel
from disentangle.directions.captions import LEAST_SPAN

Json = dict[str, Any]

MOST = 24
"""Ranks that have a slider."""
ALIKE = 0.5
"""Cosine from which on two directions are near enough for its sign to say whether they point the same way."""


def best(view: View, factor: str) -> int | None:
    """The direction that moves a factor most, of those that move no other one more; ``None`` where there is none."""
    found = view.directions
    if found.effects is None or factor not in found.factors:
        return None
    column = found.effects[:, found.factors.index(factor)]
    places = [k for k in view.order if found.moves[k] == factor]
    return max(places, key=lambda k: float(column[k])) if places else None


def pairs(one: View, two: View) -> tuple[list[Json], list[Json]]:
    """What the sliders move: by rank, and by factor where both runs' directions were measured.

    Directions of two runs have nothing to do with one another; what they share is how good they are, and what they do.
    A slider moves both the same way, as far as that can be told (:func:`turned`).
    """
    active = [[k for k in view.order if not bool(view.directions.still[k])] for view in (one, two)]
    ranks = [_pair(f"rank {i + 1}", one, a, two, b) for i, (a, b) in enumerate(zip(active[0][:MOST], active[1][:MOST]))]
    shared = [factor for factor in one.directions.factors if factor in two.directions.factors]
    found = [(factor, best(one, factor), best(two, factor)) for factor in shared]
    factors = [_pair(factor, one, a, two, b, factor) for factor, a, b in found if a is not None or b is not None]
    return ranks, factors


def described(one: View, two: View) -> Json:
    """All that the page needs to compare two runs."""
    ranks, factors = pairs(one, two)
    sides = [panel.described(view) for view in (one, two)]
    for side in sides:
        del side["html"], side["rows"]
    return {"sides": sides, "html": render_template("traverse/pairs.html.jinja", ranks=ranks, factors=factors)}


def turned(one: View, a: int, two: View, b: int, factor: str = "") -> bool:
    """Whether two directions point opposite ways, so that a slider of both has to move the second one backwards.

    That is so where they move the factor, by default the one that both move most, opposite ways, if it is a number that
    both were seen to move; otherwise where their vectors do, if these are of one size and near one another as lines.
    """
    moved = {one.directions.moves[a], two.directions.moves[b]}
    factor = factor or (moved.pop() if len(moved) == 1 else "")
    spans = [view.directions.span(k, factor) for view, k in ((one, a), (two, b))] if factor else [None]
    rises = [span[1] - span[0] for span in spans if span is not None]
    if len(rises) == 2 and min(map(abs, rises)) >= LEAST_SPAN:
        return rises[0] * rises[1] < 0
    first, second = one.directions.vectors[a].double(), two.directions.vectors[b].double()
    return first.shape == second.shape and float(first @ second) <= -ALIKE


def _pair(label: str, one: View, a: int | None, two: View, b: int | None, factor: str = "") -> Json:
    sides = [_side(one, a), _side(two, b)]
    if a is not None and b is not None and sides[1] is not None:
        sides[1]["turned"] = turned(one, a, two, b, factor)  # the slider's way is that of the first
    return {"label": label, "sides": sides}


def _side(view: View, k: int | None) -> Json | None:
    return None if k is None else panel.row(view, k) | {"turned": False}
