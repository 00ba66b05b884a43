"""``disentangle list``: the recipes."""

from collections.abc import Sequence
from dataclasses import dataclass

from disentangle.apps.arguments import parse

WIDE = 110
"""Columns of a terminal from which on the recipes fit a table."""


@dataclass(frozen=True)
class ListArgs:
    """List the recipes: model, data set, treatment and length of each.

    Example: disentangle list
    """


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parse(ListArgs, args=list(argv), prog="disentangle list")
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    from disentangle.training.recipes import RECIPES

    console = Console()
    if console.width < WIDE:  # a table would leave no room for the words
        for name, recipe in RECIPES.items():
            treatment = "+".join(recipe.treatment.names) or "none"
            size = f"{recipe.data.size}×{recipe.data.size}"
            console.print(f"[bold]{name}[/]  {recipe.data.name} {size}, {treatment}, {recipe.steps:,} steps")
            console.print(Padding(recipe.summary, (0, 0, 0, 4)))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("recipe", "data", "size", "treatment", "steps", "what it is"):
        right = heading in ("size", "steps")
        width = max(map(len, RECIPES)) if heading == "recipe" else None  # a name that is cut short cannot be copied
        table.add_column(heading, justify="right" if right else "left", min_width=width)
    for name, recipe in RECIPES.items():
        treatment = "+".join(recipe.treatment.names) or "none"
        table.add_row(name, recipe.data.name, str(recipe.data.size), treatment, f"{recipe.steps:,}", recipe.summary)
    console.print(table)
