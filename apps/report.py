"""The report of a run: ``report.json`` for programs and ``report.html``, a page on its own, for readers."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from disentangle.apps.charts import Bar, Matrix, bars, columns, curves, heatmap, number
from disentangle.pictures import grid, png_bytes
from disentangle.training.files import disk_errors, write_atomic

Json = dict[str, Any]

NO_SCALARS = frozenset({"step", "time"})
"""What ``metrics.jsonl`` holds besides scalars worth drawing."""

LEGEND = {
    "perfect": "the factors themselves as codes",
    "rotated": "this run's codes, each scaled to unit variance, in a randomly rotated basis",
    "noise": "random codes of the same shape",
    "other data": "as many other pictures of the data set, what a perfect generator would get",
    "mean picture": "the mean of the data's pictures, over and over",
}
"""What the reference points of the scores are."""

KNOWS = "; beside it stands the factor that the code of this direction knows most about, and how much of it"

IN_USE, KL = "variance of a code over the data", "nats that a code carries about a picture (KL divergence)"


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
    """Write ``report.json`` and ``report.html`` to ``folder``: both, or, where one cannot be written, neither.

    Raises:
        ValueError: where ``report`` holds a number that is not finite, which JSON cannot.
        UserError: where the folder cannot be written to or is full.
    """
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    ready = [(folder / f".{name}.new", folder / name) for name in ("report.html", "report.json")]
    try:
        # Both lie complete beside their places before either old one goes.
        for (new, _), content in zip(ready, (page, text), strict=True):
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
    environment = Environment(
        loader=PackageLoader("disentangle.apps", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    directions = report["directions"]
    shown = [directions["all"][k] for k in directions["shown"]]
    return environment.get_template("report.html.jinja").render(
        report=report,
        subtitle=_subtitle(report),
        verdict=verdict(report),
        cards=[_card(score) for score in report["scores"]],
        legend=[
            (name, words) for name, words in LEGEND.items() if any(name in s["baselines"] for s in report["scores"])
        ],
        notes=_notes(report),
        figures=_figures(pictures),
        directions=directions | {"steps": [_signed(position) for position in directions["positions"]]},
        rest=_rest(directions),
        knows=KNOWS if any("factor" in entry for entry in shown) else "",
        strips=[
            {"name": entry["name"], "detail": _detail(entry), "picture": _uri(sheet(strip, len(strip)))}
            for entry, strip in zip(shown, pictures.strips, strict=True)
        ],
        **_matrices(report),
        curves=[{"name": name, "svg": curves(name, lines)} for name, lines in scalars(history).items()],
        summary=config["recipe"].get("summary", ""),
        recipe=facts({name: value for name, value in config["recipe"].items() if name != "summary"}),
        measured=_measured(report),
        took=_took(report["seconds"]),
    )


def sheet(images: Tensor, columns: int, pad: int = 2) -> Image.Image:
    """Pictures side by side on nothing: the gaps are transparent, so that they take the page's colour."""
    picture = grid(images, columns, pad=pad)
    # The grid of black pictures is white where there is no picture.
    gaps = grid(torch.zeros_like(images[:, :1]), columns, pad=pad)
    picture.putalpha(gaps.point(lambda value: 255 - value))
    return picture.crop((pad, pad, picture.width - pad, picture.height - pad))


def scalars(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """What to draw of ``metrics.jsonl``: chart -> line -> ``(step, value)``.

    ``phase/name`` is a chart, and ``phase/name/parameter`` a line of the chart ``phase/name``. A scalar that never
    changes is left out; a step that occurs twice keeps its last value.
    """
    found: dict[str, dict[float, float]] = {}
    for row in history:
        for name, value in row.items():
            if name not in NO_SCALARS and isinstance(value, int | float) and isinstance(row.get("step"), int | float):
                found.setdefault(name, {})[float(row["step"])] = float(value)
    charts: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, points in found.items():
        if len(points) == 1 or len(set(points.values())) > 1:
            chart = "/".join(name.split("/")[:2])
            charts.setdefault(chart, {})[name] = sorted(points.items())
    return charts


def facts(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested recipe as ``(dotted name, value)``, in its own order; what is unset is left out."""
    lines = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            lines += facts(value, f"{prefix}{name}.")
        elif value is not None and value != "":
            lines.append((f"{prefix}{name}".replace("_", " "), _plain(value)))
    return lines


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)


def _subtitle(report: Json) -> str:
    pictures = f"{report['data']['name']}, {report['data']['size']}×{report['data']['size']}"
    return f"{report['model']} · {pictures} · after step {report['step']:,} · averaged (EMA) weights"


def verdict(report: Json) -> str:
    """One sentence: are the codes better than the same codes turned at random? Empty without codes."""
    gap = next((score for score in report["scores"] if score["name"] == "MIG"), None)
    if gap is None:
        return ""
    low, high = gap["interval"]
    turned, spread = gap["baselines"]["rotated"], gap["spreads"]["rotated"]
    word = "not clearly more"
    if low > turned + 2 * spread:
        word = "more"
    elif high < turned - 2 * spread:
        word = "less"
    return (
        f"Its codes are {word} disentangled than the same codes rotated at random: MIG {gap['value']:.3f} against "
        f"{turned:.3f} ± {spread:.3f}; perfect codes have {gap['baselines']['perfect']:.3f}."
    )


def figure(value: float, score: Json) -> str:
    """A number of a score, or of its reference points: three decimals where it lies between 0 and 1 by definition."""
    return f"{value:.3f}" if score["range"][1] == 1 else number(value)


def _card(score: Json) -> Json:
    """What the page says of one score: the number first, then what it means, then what to compare it with."""
    interval, references = score["interval"], score["baselines"]
    low, high = interval or (None, None)
    ends = [figure(end, score) for end in interval or ()]
    rows = [Bar("this run", score["value"], figure(score["value"], score), low, high, main=True)]
    for name, value in references.items():
        spread, text = score["spreads"].get(name), figure(value, score)
        if spread is None:
            rows.append(Bar(name, value, text))
        else:
            rows.append(Bar(name, value, f"{text} ± {figure(spread, score)}", value - spread, value + spread))
    top = score["range"][1]
    return {
        "name": score["name"],
        "arrow": "↑ higher is better" if score["better"] == "higher" else "↓ lower is better",
        "value": figure(score["value"], score) + score["unit"],
        "interval": " – ".join(ends),
        "explanation": score["explanation"],
        "bars": bars(rows, max(row.value for row in rows) if top is None else top),
        "variant": score["variant"],
    }


def _notes(report: Json) -> list[str]:
    absent: dict[str, list[str]] = {}
    for entry in report["not_applicable"]:
        absent.setdefault(entry["reason"], []).append(entry["name"])
    lines = [f"No {' or '.join(names)}: that {reason}." for reason, names in absent.items()]
    return [*lines, *report["notes"], *(note for score in report["scores"] for note in score["notes"])]


def _figures(pictures: Pictures) -> dict[str, str]:
    figures = {"samples": _uri(sheet(pictures.samples, 8)), "data": _uri(sheet(pictures.data, 8)), "pairs": ""}
    if pictures.pairs is not None:
        across = min(12, len(pictures.pairs[0]))
        rows = [part for pair in zip(*(side.split(across) for side in pictures.pairs), strict=True) for part in pair]
        whole = [row for row in rows if len(row) == across]
        figures["pairs"] = _uri(sheet(torch.cat(whole), across))
    return figures


def _detail(entry: Json) -> str:
    known = f" · knows {entry['share']:.0%} of {entry['factor']}" if "factor" in entry else ""
    return f"{number(entry['activity'])}{known}"


def _rest(directions: Json) -> str:
    hidden = directions["count"] - len(directions["shown"])
    return f"; the other {hidden} do less or next to nothing" if hidden > 1 else ""


def _signed(position: float) -> str:
    return "0" if position == 0 else f"{position:+g} σ".replace("-", "−")


def _matrices(report: Json) -> Json:
    """What the page shows of the codes: two matrices, factors by codes, and which codes are in use."""
    codes = report["codes"]
    if codes is None:
        return {"heatmaps": [], "left_out": "", "codes_chart": "", "codes_title": ""}
    parts = {score["name"]: score["parts"] for score in report["scores"]}
    names = [name.replace("layer ", "").replace(" ", "") for name in codes["names"]]
    gap = parts["MIG"]
    shares = [
        [value / entropy if entropy > 0 else 0.0 for value in row]
        for row, entropy in zip(_turned(gap["mutual_information"]), gap["entropy"], strict=True)
    ]
    matrices = {
        "Mutual information, as a share of all there is to know about the factor": shares,
        "DCI importance: how much the predictor of the factor rests on the code": _turned(
            parts["DCI disentanglement"]["importance"]
        ),
    }
    tables = {title: Matrix(report["data"]["factors"], names, rows) for title, rows in matrices.items()}
    # One order for both, so that they can be compared.
    order = list(tables.values())[-1].order()
    spread, unit = (codes["variance"], IN_USE) if codes["kl"] is None else (codes["kl"], KL)
    return {
        "heatmaps": [heatmap(matrix.take(order), title) for title, matrix in tables.items()],
        "left_out": "Columns with next to nothing in them are left out." if len(order) < len(names) else "",
        "codes_chart": columns(names, spread, codes["active"], unit),
        "codes_title": f"{sum(codes['active'])} of {len(names)} codes are in use: {unit}",
    }


def _turned(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _measured(report: Json) -> list[tuple[str, str]]:
    lines = [("seed", str(report["seed"])), ("weights", f"{report['weights'][:12]} (SHA-256)")]
    lines += [(name.replace("_", " "), f"{value:,}") for name, value in report["samples"].items()]
    lines += list(report["versions"].items())
    return [*lines, ("measured", report["created"].replace("T", " ").replace("+00:00", " UTC"))]


def _took(seconds: Mapping[str, float]) -> str:
    parts = ", ".join(f"{name} {value:.1f}" for name, value in sorted(seconds.items(), key=lambda item: -item[1]))
    return f"Took {sum(seconds.values()):.0f} seconds: {parts}. The command that makes this page again:"


def _uri(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")


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
        arrow = "↑" if score["better"] == "higher" else "↓"
        table.add_row(score["name"], figure(score["value"], score) + score["unit"], arrow, beside)
    console.print(f"{report['run']}, step {report['step']:,}   (↑ higher is better, ↓ lower is better)", markup=False)
    console.print(table)
    for note in [verdict(report), *_notes(report)]:
        if note:
            console.print(note, markup=False)
    console.print(f"report: {page}", markup=False, soft_wrap=True)
