"""A comparison as files and on the terminal: compare.json, compare.md, compare.svg, compare.png, compare.html."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from disentangle import __version__
from disentangle.apps.comparison import Comparison, Group, figure_of, to_dict
from disentangle.apps.comparison_figure import draw
from disentangle.apps.figure import line_style, png, svg
from disentangle.apps.page import render_template
from disentangle.apps.report import as_json, write_together
from disentangle.apps.summary import STEPS, Measure
from disentangle.pictures import png_bytes

VERSION = 1
"""Version of ``compare.json``."""

SPREAD = "After ± stands the sample standard deviation over the runs of a group, which differ only in their seed."
OF_KAPPA = (
    "Final log₁₀ κ is the median of the last 10 % of the rows that a run recorded of it, highest the greatest of all."
)


def write_files(folder: Path, comparison: Comparison, command: str) -> list[Path]:
    """Write the files of a comparison: all, or, where one cannot be written, none.

    Args:
        folder: where to; made if need be.
        comparison: what to write.
        command: what the files name as the command that makes them again.

    Returns:
        What was written.

    Raises:
        UserError: where the folder cannot be written to.
    """
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    made = {"version": VERSION, "disentangle": __version__, "created": created, "command": command}
    files: dict[str, str | bytes] = {
        "compare.json": as_json(made | to_dict(comparison) | {"explained": explained(comparison)}),
        "compare.md": markdown(comparison, command),
    }
    figure = draw(comparison)
    if figure is not None:
        files["compare.svg"] = str(svg(figure, alone=True))
        files["compare.png"] = png_bytes(png(figure))
    files["compare.html"] = page(comparison, Markup("") if figure is None else svg(figure), command, created)
    write_together(folder, files)
    return [folder / name for name in files]


def markdown(comparison: Comparison, command: str) -> str:
    """The table as Markdown, with what a reader must know below it."""
    head, *body = table(comparison)
    lines = [_line(head), _line(["---", *("---:" for _ in head[1:])]), *map(_line, body)]
    said = explained(comparison)
    notes = [f"- {_plain(note)}" for note in comparison.notes]
    return "\n".join([*lines, "", said, "", *notes, *([""] if notes else []), "```sh", command, "```"]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{letter}" if letter in r"\|<>*_[]" else letter for letter in " ".join(text.split()))


def table(comparison: Comparison) -> list[list[str]]:
    """The heading and a row for each group."""
    rows = [["", "runs", *(measure.heading for measure in comparison.measures)]]
    for group in comparison.groups:
        figures = [figure_of(group.statistics.get(measure.name), measure) for measure in comparison.measures]
        rows.append([group.label, str(len(group.runs)), *figures])
    return rows


def page(comparison: Comparison, picture: Markup, command: str, created: str) -> str:
    """The page: the table, the picture, and every run."""
    return render_template(
        "comparison.html.jinja",
        title=title(comparison),
        table=table(comparison),
        inks=[line_style(i)[0] for i in range(len(comparison.groups))],
        explained=explained(comparison),
        picture=picture,
        notes=comparison.notes,
        headings=[measure.heading for measure in comparison.measures],
        runs=[_of_run(group, k, comparison.measures) for group in comparison.groups for k in range(len(group.runs))],
        command=command,
        created=created.replace("T", " ").replace("+00:00", " UTC"),
        version=__version__,
    )


def _of_run(group: Group, k: int, measures: Sequence[Measure]) -> list[str]:
    run = group.runs[k]
    cells = [run.name, group.label, str(run.seed)]
    for measure in measures:
        value = run.values.get(measure.name)
        cells.append(_value(value, measure))
    return cells


def _value(value: float | None, measure: Measure) -> str:
    if value is None:
        return "–"
    if measure == STEPS:
        return f"{value:,.0f}"
    return f"{100 * value:.2f}" if measure.percent else f"{value:,.3f}".replace("-", "−")


def explained(comparison: Comparison) -> str:
    """What the figures are."""
    kappa = any("κ" in measure.name for measure in comparison.measures)
    return f"{SPREAD} {OF_KAPPA}" if kappa else SPREAD


def title(comparison: Comparison) -> str:
    """How many runs and groups."""
    runs, groups = sum(len(group.runs) for group in comparison.groups), len(comparison.groups)
    return f"{runs} {'run' if runs == 1 else 'runs'} in {groups} {'group' if groups == 1 else 'groups'}"


def show(comparison: Comparison, written: Sequence[Path], file: TextIO) -> None:
    """Print the table, in several parts where it is too wide for the terminal, and where the files are."""
    console = Console(file=file, highlight=False)
    console.print(title(comparison), markup=False)
    head, *body = table(comparison)
    for columns in _fitting([list(column) for column in zip(head, *body, strict=True)], console.width):
        shown = Table(box=None, padding=(0, 2, 0, 0))
        for i, column in enumerate(columns):
            shown.add_column(column[0], justify="left" if i == 0 else "right", no_wrap=True)
        for cells in zip(*(column[1:] for column in columns), strict=True):
            shown.add_row(*cells)
        console.print(shown)
    for note in [explained(comparison), *comparison.notes]:
        console.print(note, markup=False)
    for path in written:
        console.print(str(path), markup=False, soft_wrap=True)


def _fitting(columns: Sequence[list[str]], width: int) -> list[list[list[str]]]:
    """The columns in parts that fit ``width``, the first column, which names the rows, in each."""
    first, *rest = columns
    wide = [max(map(len, column)) + 2 for column in columns]
    parts: list[list[list[str]]] = []
    used = width + 1
    for column, size in zip(rest, wide[1:], strict=True):
        if used + size > width:
            parts.append([first])
            used = wide[0]
        parts[-1].append(column)
        used += size
    return parts
