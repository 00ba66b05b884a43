"""The report of a run: ``report.json`` for programs and ``report.html``, a page on its own, for readers."""

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from disentangle.apps.charts import Matrix, columns, heatmap, number
from disentangle.apps.history import in_words
from disentangle.apps.page import (
    data_uri,
    figure,
    judged,
    judgement,
    notes,
    render_template,
    shared,
    sheet,
    signed,
    verdict,
)
from disentangle.training.files import disk_errors, write_atomic

Json = dict[str, Any]

KNOWS = "; beside it stands the factor that the code of this direction knows most about, and how much of it"
MOVES = "; beside it stands the factor that moves most where the direction is followed, and its share of all that moves"

IN_USE, KL = "variance of a code over the data", "nats that a code carries about a picture (KL divergence)"

KNOWN = "share of a code's variance that it gets right (R²)"


@dataclass(frozen=True)
class Pictures:
    """The pictures of a report, uint8.

    Attributes:
        samples: ``(n, c, h, w)``, generated from random latents.
        data: ``(n, c, h, w)``, of the data set.
        pairs: ``(m, c, h, w)`` each: what was encoded, and what came back; ``None`` for a generator without an encoder.
        strips: one ``(steps, c, h, w)`` for each of the report's directions, in the same order.
    """

    samples: Tensor
    data: Tensor
    pairs: tuple[Tensor, Tensor] | None
    strips: Sequence[Tensor]


def write(folder: Path, report: Json, page: str) -> None:
    """Write ``report.json`` and ``report.html`` to ``folder``: both, or, where one cannot be written, neither. Who is
    killed in between leaves a page that is newer than what programs read, which is whole.

    Raises:
        ValueError: where ``report`` holds a number that is not finite, which JSON cannot.
        UserError: where the folder cannot be written to or is full.
    """
    write_together(folder, {"report.html": page, "report.json": as_json(report)})


def as_json(values: Json) -> str:
    """The text of a JSON file.

    Raises:
        ValueError: where a number is not finite, which JSON cannot hold.
    """
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_together(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files, by their names, to ``folder``: all, or, where one cannot be written, none. Of two that write at the
    same time the last one's are there in the end, if they take turns (:func:`~disentangle.training.files.locked`).

    Raises:
        UserError: where the folder cannot be written to or is full.
    """
    own = secrets.token_hex(4)  # another process, or thread, may be writing the same files
    ready = [(folder / f".{name}.{own}.new", folder / name) for name in files]
    try:
        # All lie complete beside their places before an old one goes.
        for (new, _), content in zip(ready, files.values(), strict=True):
            write_atomic(new, content)
        for new, final in ready:
            with disk_errors(final):
                os.replace(new, final)
    finally:
        for new, _ in ready:
            with suppress(OSError):  # where it cannot be removed it could not be written, which is already being said
                new.unlink(missing_ok=True)


def render(report: Json, pictures: Pictures, history: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    """The page as HTML. Everything in it that came from a file or a name is escaped.

    Args:
        report: what :func:`disentangle.apps.evaluate.evaluate` returns.
        pictures: its pictures.
        history: the lines of ``metrics.jsonl``; their numbers are drawn over their ``step``.
        config: the run's recipe.
    """
    directions = report["directions"]
    shown = [directions["all"][k] for k in directions["shown"]]
    return render_template(
        "generator.html.jinja",
        **shared(report, history, config),
        figures=_figures(pictures),
        directions=directions | {"steps": [_signed(position) for position in directions["positions"]]},
        rest=_rest(directions),
        knows=(MOVES if any(entry.get("moves") for entry in shown) else "")
        + (KNOWS if any("factor" in entry for entry in shown) else ""),
        strips=[
            {"name": entry["name"], "detail": _detail(entry), "picture": data_uri(sheet(strip, len(strip)))}
            for entry, strip in zip(shown, pictures.strips, strict=True)
        ],
        **matrices(report),
        **_regression(report),
    )


def render_codes(report: Json) -> str:
    """The page of a report of plain arrays as HTML.

    Args:
        report: what :func:`disentangle.apps.evaluate.evaluate_arrays` returns.
    """
    total = sum(report["samples"].values())
    subtitle = f"{report['data']['codes']} · {len(report['codes']['names'])} codes of {total:,} samples"
    return render_template("codes.html.jinja", **judged(report, subtitle), **matrices(report))


def _figures(pictures: Pictures) -> dict[str, str]:
    figures = {"samples": data_uri(sheet(pictures.samples, 8)), "data": data_uri(sheet(pictures.data, 8)), "pairs": ""}
    if pictures.pairs is not None:
        across = min(12, len(pictures.pairs[0]))
        rows = [part for pair in zip(*(side.split(across) for side in pictures.pairs), strict=True) for part in pair]
        whole = [row for row in rows if len(row) == across]
        figures["pairs"] = data_uri(sheet(torch.cat(whole), across))
    return figures


def _detail(entry: Json) -> str:
    words = [number(entry["activeness"])]
    if entry.get("moves"):
        words.append(f"moves {entry['moves']}, {entry['purity']:.0%} of all that it moves")
    if "factor" in entry:
        words.append(f"knows {entry['share']:.0%} of {entry['factor']}")
    return " · ".join([*words, *entry["doubts"]])


def _rest(directions: Json) -> str:
    hidden = directions["count"] - len(directions["shown"])
    rest = f"; the other {hidden} do less or next to nothing" if hidden > 1 else ""
    layers = ", ".join(directions["collapsed"])
    return f"{rest}, and {layers} nothing at all" if rest and layers else rest


def _signed(position: float) -> str:
    return "0" if position == 0 else f"{position:+g} σ".replace("-", "−")


def matrices(report: Json) -> Json:
    """What the page shows of the codes: two matrices, factors by codes, and which codes are in use."""
    codes = report["codes"]
    if codes is None:
        return {"heatmaps": [], "left_out": "", "codes_chart": "", "codes_title": ""}
    parts = {score["name"]: score["parts"] for score in report["scores"]}
    names = _short(codes["names"])
    matrices = {}
    if "MIG" in parts:
        gap = parts["MIG"]
        matrices["Mutual information, as a share of all there is to know about the factor"] = [
            [value / entropy if entropy > 0 else 0.0 for value in row]
            for row, entropy in zip(_turned(gap["mutual_information"]), gap["entropy"], strict=True)
        ]
    if "DCI disentanglement" in parts:
        matrices["DCI importance: how much the predictor of the factor rests on the code"] = _turned(
            parts["DCI disentanglement"]["importance"]
        )
    tables = {title: Matrix(report["data"]["factors"], names, rows) for title, rows in matrices.items()}
    # One order for both, so that they can be compared.
    order = list(tables.values())[-1].order() if tables else range(len(names))
    spread, unit = (codes["variance"], IN_USE) if codes["kl"] is None else (codes["kl"], KL)
    return {
        "heatmaps": [heatmap(matrix.take(order), title) for title, matrix in tables.items()],
        "left_out": "Columns with next to nothing in them are left out." if len(order) < len(names) else "",
        "codes_chart": columns(names, spread, codes["active"], unit),
        "codes_title": f"{sum(codes['active'])} of {len(names)} codes are in use: {unit}",
    }


def _regression(report: Json) -> dict[str, str]:
    """What the page shows of a trained encoder: how well it knows each code."""
    encoder, codes = report.get("encoder"), report["codes"]
    if encoder is None:
        return {"regression": "", "regression_title": ""}
    known = [share > 0.5 for share in encoder["r2"]]
    return {
        "regression": columns(_short((codes or encoder)["names"]), encoder["r2"], known, KNOWN, digits=2),
        "regression_title": f"Of {sum(known)} of {len(known)} codes the trained encoder knows more than half: {KNOWN}",
    }


def _short(names: Sequence[str]) -> list[str]:
    """Names of codes as a column has room for them: ``2·#1`` and ``17``; those that people gave stay as they are."""
    return [re.sub(r"^layer (\d+) · (#\d+)$", r"\1·\2", re.sub(r"^code (\d+)$", r"\1", name)) for name in names]


def _turned(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*rows, strict=True)]


def show(report: Json, page: Path, file: TextIO) -> None:
    """Print the scores as a table, and where the page is."""
    console = Console(file=file, highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("score", no_wrap=True)
    table.add_column("this run", justify="right", style="bold", no_wrap=True)
    table.add_column("")
    table.add_column("beside it", style="dim")
    for score in report["scores"]:
        beside = " · ".join(f"{name} {figure(value, score)}" for name, value in score["baselines"].items())
        arrow = {"higher": "↑", "lower": "↓"}.get(score["better"], "")
        table.add_row(score["name"], figure(score["value"], score) + score["unit"], arrow, beside)
    step = f", step {report['step']:,}" if "step" in report else ""
    console.print(f"{report['run']}{step}   (↑ higher is better, ↓ lower is better)", markup=False)
    console.print(table)
    if "against" in report:
        console.print(differences(report), markup=False)
        console.print("Better and worse are said of these two runs: another seed of either may tell otherwise.")
    recorded = [in_words(layer, kinds) for layer, kinds in report.get("conditioning", {}).items()]
    for note in [verdict(report), *recorded, *notes(report)]:
        if note:
            console.print(note, markup=False)
    console.print(f"report: {page}", markup=False, soft_wrap=True)


def differences(report: Json) -> Table:
    """The differences from another run."""
    other = report["against"]["run"]
    table = Table(box=None, padding=(0, 2, 0, 0), title=f"against {other}", title_justify="left")
    for heading in ("score", "difference", "95 % interval", "this run is"):
        table.add_column(heading, no_wrap=True)
    scores = {score["name"]: score for score in report["scores"]}
    for row in report["against"]["scores"]:
        score = scores[row["name"]]
        ends = " to ".join(signed(end, score) for end in row["interval"] or ())
        table.add_row(row["name"], signed(row["difference"], score), ends, judgement(row))
    return table
