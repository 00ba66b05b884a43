"""What programs call: the endpoints ``/render`` and ``/directions``."""

import base64
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from disentangle.apps.directions.places import place_of
from disentangle.apps.edit import MOST, Edit
from disentangle.apps.studio import Studio, View
from disentangle.apps.studio import picture as picture_of
from disentangle.errors import UserError
from disentangle.pictures import png_bytes, to_pil

logger = logging.getLogger(__name__)

Json = dict[str, Any]


def coordinates_of(view: View, given: Sequence[float] | Mapping[str, float] | None) -> tuple[tuple[int, float], ...]:
    """Coordinates as an :class:`Edit` has them, out of what a program sent.

    Args:
        view: whose directions.
        given: a number for each of the first directions, in the file's order; or a mapping of place, label or name.

    Raises:
        UserError: where there are more than directions, or something is no number.
    """
    if given is None:
        return ()
    if isinstance(given, Mapping):
        if len(given) > MOST:
            raise UserError(f"{len(given):,} coordinates are too many: possible: {MOST}")
        pairs = [(place_of(view.directions, str(key)[:80]), value) for key, value in given.items()]
    elif isinstance(given, list | tuple):
        count = len(view.directions)
        if len(given) > count:
            raise UserError(
                f"{len(given):,} coordinates for {count} directions: give {count} or fewer, in the order of the file, "
                'or a mapping such as {"3": 1.5}'
            )
        pairs = list(enumerate(given))
    else:
        raise UserError(f"coordinates must be a list of numbers or a mapping, got {type(given).__name__}")
    return tuple((k, number(value, f"coordinate {k}")) for k, value in pairs)


def number(value: object, what: str) -> float:
    """A finite number that a program sent."""
    try:
        finite = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        raise UserError(f"{what} is far too large a number") from None
    if not finite:
        raise UserError(f"{what} must be a finite number, got {str(value)[:40]}")
    return float(value)  # type: ignore[arg-type]


def whole(value: object, what: str) -> int:
    """A whole number that a program sent."""
    given = number(value, what)
    if given != int(given):
        raise UserError(f"{what} must be a whole number, got {given}")
    return int(value) if isinstance(value, int) else int(given)


def told(function: Callable[[], Any]) -> Any:
    """The function's result; what it has to tell the user reaches the page or the program, and not the terminal."""
    try:
        return function()
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except Exception as error:
        logger.exception("a request failed")
        raise gr.Error("this went wrong here: the terminal of the app says more", print_exception=False) from error


def data_address(png: bytes) -> str:
    """A PNG as the address of an ``<img>``: nothing is fetched later."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def described(view: View) -> Json:
    """What is known of a run's directions, for programs."""
    found = view.directions
    purity = found.purity
    entries = [
        {
            "place": k,
            "rank": view.order.index(k) + 1,
            "label": found.labels[k],
            "name": found.names[k],
            "note": found.notes[k],
            "layer": found.layers[k],
            "singular_value": float(found.singular_values[k]),
            "activeness": None if found.activeness is None else float(found.activeness[k]),
            "moves": found.moves[k],
            "purity": None if purity is None or not found.moves[k] else float(purity[k]),
            "span": found.span(k),
            "doubts": list(found.doubts(k)),
        }
        for k in range(len(found))
    ]
    return {
        "run": view.run.name,
        "directions": view.name,
        "method": found.method,
        "step": view.step,
        "weights": view.weights,
        "basis": view.directions.fingerprint,
        "latents": view.generator.latent_size,
        "note": view.note,
        "entries": entries,
    }


def add(studio: Studio) -> None:
    """Add the endpoints to the page that is being built."""

    def render(
        run: str,
        seed: int,
        directions: str,
        coordinates: list[float] | dict[str, float],
        truncation: float = 1.0,
        picture: str = "",
        weights: str = "",
        basis: str = "",
    ) -> str:
        """The picture of a latent that is moved along directions, as a data: address of a PNG.

        Args:
            run: name of the run, as the page lists them.
            seed: what the latent is drawn from, 0 or more.
            directions: which of the run's directions: "weights", say, or "auto".
            coordinates: how far to move, in sigma, -10 to 10: a list by the directions' places in their file, the first
                first; or a mapping of place, label or name to sigma.
            truncation: what the latent is multiplied with, 0 to 2.
            picture: instead of the seed, name of a picture that was inverted.
            weights: first digits of the hash of the weights; others are refused.
            basis: first digits of the fingerprint of the directions; others are refused.

        Returns:
            "data:image/png;base64,...", the same bytes as the page's and as `disentangle render` writes.
        """

        def make() -> str:
            view = studio.open(str(run), str(directions))
            edit = Edit(
                view.run.name,
                view.name,
                coordinates_of(view, coordinates),
                whole(seed, "the seed"),
                str(picture),
                number(truncation, "the truncation"),
                str(weights),
                str(basis),
            )
            return data_address(png_bytes(to_pil(picture_of(view, edit))))

        return str(told(make))

    def directions(run: str, directions: str = "auto") -> dict[str, Any]:
        """What is known of a run's directions: place, label, layer, what each moves and how
        far (from -2 to 2 sigma, in shares of its range), and what speaks against it.

        Args:
            run: name of the run, as the page lists them.
            directions: which of them: "weights", say, or "auto".

        Returns:
            "run", "directions", "method", "step", "weights", "basis", "latents", "note" and "entries", one a direction.
        """
        found: dict[str, Any] = told(lambda: described(studio.open(str(run), str(directions))))
        return found

    gr.api(render, api_name="render")
    gr.api(directions, api_name="directions")
