"""What the page says of a run and its directions: the sliders, as HTML that goes in as it is."""

from shlex import quote
from typing import Any

from disentangle.apps.kept import pictures
from disentangle.apps.page import render_template
from disentangle.apps.studio import QUICK, Studio, View, kept_directions, strangeness
from disentangle.directions import METHODS
from disentangle.directions.captions import spanned

Json = dict[str, Any]

SHOWN = 10
"""Sliders of a layer in sight; the rest is behind a fold."""

GALLERY = 48
"""Inverted pictures in sight, the newest."""

KINDS = {"gan": "GAN", "vae": "VAE", "diffusion": "diffusion model"}
SAID = {
    "subspace": "subspaces",
    "weights": "weights (SeFa)",
    "activations": "activations (PCA)",
    "jacobian": "Jacobian",
    "hspace": "h-space",
    "coordinate": "coordinates",
    "random": "random (baseline)",
}
"""What people call the methods."""


def runs(studio: Studio) -> Json:
    """Which runs there are, or what to type where there is none."""
    names = studio.names()
    command = quote(str(studio.path / "scenes"))
    empty = "" if names else render_template("traverse/empty.html.jinja", path=studio.path, command=command)
    return {"runs": names, "empty": empty}


def choices(view: View) -> list[tuple[str, str]]:
    """Names of the directions that can be chosen, and what they are called: those kept first."""
    kept = kept_directions(view.run)
    known = dict.fromkeys([*kept, *(method for method in QUICK if method in METHODS), view.name])
    own = "subspace" in (view.name, *kept) or any("subspace" in layer for layer in view.directions.layers)
    return [(name, said(name)) for name in known if name != "subspace" or name in kept or own]


def said(name: str) -> str:
    """What people call directions of that name."""
    return SAID.get(name, name)


def amount(share: float) -> str:
    """A share in words: how pure a direction is."""
    return f"{share:.0%}"


def moves(view: View, k: int) -> str:
    """What a direction moves, and how far at -2 and at 2 sigma where that is a number: ``"mostly size, 80%, −0.31 …
    +0.28 of its range"``; ``""`` where that is not known."""
    factor, purity = view.directions.moves[k], view.directions.purity
    if not factor or purity is None:
        return ""
    share = float(purity[k])
    span = spanned(view.directions.span(k))
    far = f", {span} of its range" if span else ""
    return f"{'mostly' if share >= 0.5 else 'partly'} {factor}, {amount(share)}{far}"


def row(view: View, k: int) -> Json:
    """What is said of one direction."""
    found = view.directions
    return {
        "place": k,
        "rank": view.order.index(k) + 1,
        "label": found.labels[k],
        "name": found.names[k],
        "note": found.notes[k],
        "layer": found.layers[k],
        "moves": moves(view, k),
        "doubts": [words for words in found.doubts(k) if not words.startswith("hardly")],
        "activeness": 0.0
        if found.activeness is None
        else float(found.activeness[k] / found.activeness.max().clamp_min(1e-12)),
    }


def groups(view: View) -> tuple[list[Json], list[Json]]:
    """The sliders layer by layer, the layer of the best direction first; and those that do nothing."""
    still = view.directions.still.tolist()
    layers: dict[str, list[Json]] = {}
    for k in view.order:
        if not still[k]:
            layers.setdefault(view.directions.layers[k], []).append(row(view, k))
    grouped = [{"layer": layer, "rows": rows[:SHOWN], "more": rows[SHOWN:]} for layer, rows in layers.items()]
    return grouped, [row(view, k) for k in view.order if still[k]]


def facts(view: View) -> str:
    """What the run is, in a line."""
    recipe = str(view.run.config.get("name", view.run.name))
    names = dict.fromkeys([view.run.name, recipe])
    kind = KINDS.get(view.run.kind, view.run.kind)
    count = len(view.directions)
    return f"{' · '.join(names)} · {kind} · step {view.step:,} · {count} direction{'s' * (count != 1)}"


def described(view: View, weights: str = "", basis: str = "") -> Json:
    """All that the page needs to show a run's directions.

    Args:
        view: the run and its directions.
        weights: what the link says they are; where they are others, the page says so.
        basis: likewise the directions.
    """
    grouped, still = groups(view)
    problem = strangeness(view, weights, basis)
    return {
        "run": view.run.name,
        "directions": view.name,
        "weights": view.weights[:12],
        "basis": view.basis,
        "seen": view.fingerprint,
        "facts": facts(view),
        "note": view.note,
        "problem": problem[:1].upper() + problem[1:],
        "choices": choices(view),
        "pictures": pictures(view.run)[:GALLERY],
        "count": len(view.directions),
        "rows": [row(view, k) for k in view.order],
        "html": render_template("traverse/sliders.html.jinja", groups=grouped, still=still),
    }
