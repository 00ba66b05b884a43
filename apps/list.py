"""``disentangle list``: the recipes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from disentangle.apps.arguments import parse

if TYPE_CHECKING:  # imported where it is used: `disentangle list --help` must not wait for torch
    from disentangle.training.recipe import Recipe

WIDE = 118
"""Columns of a terminal from which on the recipes fit into a table …"""

WIDEST = 170
"""… and from which on there is room for their summaries beside it."""

DAY = 86_400.0


@dataclass(frozen=True)
class ListArgs:
    """List the recipes: model, data set, size, treatment, parameters, length and expected time of each.

    Example: disentangle list
    """


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parse(ListArgs, args=list(argv), prog="disentangle list")
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    from disentangle.training.estimates import timings
    from disentangle.training.recipes import RECIPES

    console = Console(highlight=False)
    rows = {name: describe(name, recipe) for name, recipe in RECIPES.items()}
    if console.width < WIDE:  # a table would leave no room for the words
        for name, (model, data, size, treatment, parameters, steps, time) in rows.items():
            console.print(f"[bold]{name}[/]")
            for line in (
                f"{model} on {data} {size}×{size}, treatment {treatment}",
                f"{parameters} parameters, {steps} steps, {time}",
                f"[dim]{RECIPES[name].summary}[/]",
            ):
                console.print(Padding(line, (0, 0, 0, 4)))
    else:
        wordy = console.width >= WIDEST
        table = Table(box=None, pad_edge=False)
        for heading in ("recipe", "model", "data", "size", "treatment", "parameters", "steps", "time"):
            right = heading in ("size", "parameters", "steps", "time")
            table.add_column(heading, justify="right" if right else "left", no_wrap=True)
        if wordy:
            table.add_column("what it is")
        for name, cells in rows.items():
            table.add_row(name, *cells, *[RECIPES[name].summary] * wordy)
        console.print(table)
    console.print(
        "\nParameters: of the model, and of all that is trained. Time: of the steps, on "
        f"{timings()['machine']}; GPU: more than a day there; ?: not measured.",
        style="dim",
    )


def describe(name: str, recipe: "Recipe") -> tuple[str, ...]:
    """What is said of a recipe: model, data, size, treatment, parameters, steps and time."""
    from disentangle.training.estimates import expected_seconds, size_of

    size = size_of(recipe)
    more = f" of {millions(size.trained)}" if size.trained > size.parameters else ""
    return (
        size.model,
        recipe.data.name,
        str(recipe.data.size),
        "+".join(recipe.treatment.names) or "none",
        millions(size.parameters) + more,
        f"{recipe.steps:,}",
        duration(expected_seconds(name, recipe)),
    )


def millions(count: int) -> str:
    """A number of parameters, in thousands or millions."""
    return f"{count / 1e6:.1f} M" if count >= 99_500 else f"{max(1, round(count / 1e3))} k"


def duration(seconds: float | None) -> str:
    """An expected time in words."""
    if seconds is None:
        return "?"
    if seconds > DAY:
        return "GPU"
    if seconds < 3_600:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 9.95 * 3_600 else f"{seconds / 3_600:.0f} h"
