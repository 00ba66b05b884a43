"""The report of a run: ``report.json`` for programs and ``report.html``, a page on its own, for readers."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from disentangle.apps.charts import Bar, Matrix, bars, columns, curve, heatmap, number
from disentangle.pictures import grid, png_bytes
from disentangle.training.files import disk_errors, write_atomic

Json = dict[str, Any]

HIDDEN_SCALARS = frozenset({"step", "epoch", "time", "seconds", "elapsed", "eta"})
"""What ``metrics.jsonl`` holds besides curves worth drawing."""

FACTS_LIMIT = 48
"""Lines of the recipe that the page shows; ``config.json`` has them all."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a report, uint8.

    Attributes:
        samples: ``(n, c, h, w)``, generated from random latents.
        data: ``(n, c, h, w)``, of the data set.
        originals: ``(m, c, h, w)``, what was encoded; ``None`` for a generator without an encoder …
        reconstructions: … and what came back.
        strips: one ``(steps, c, h, w)`` for each of the report's directions, in the same order.
    """

    samples: Tensor
    data: Tensor
    originals: Tensor | None
    reconstructions: Tensor | None
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
        cards=[_card(score) for score in report["scores"]],
        notes=_notes(report),
        figures=_figures(pictures),
        directions=directions | {"steps": [_signed(position) for position in directions["positions"]]},
        strips=[
            {"name": entry["name"], "detail": _detail(entry), "picture": _uri(sheet(strip, len(strip)))}
            for entry, strip in zip(shown, pictures.strips, strict=True)
        ],
        **_matrices(report),
        curves=[{"name": name, "svg": curve(name, points)} for name, points in scalars(history).items()],
        recipe=facts(config)[:FACTS_LIMIT],
        measured=_measured(report),
    )


def sheet(images: Tensor, columns: int, pad: int = 2) -> Image.Image:
    """Pictures side by side on nothing: the gaps are transparent, so that they take the page's colour."""
    picture = grid(images, columns, pad=pad)
    # The grid of black pictures is white where there is no picture.
    gaps = grid(torch.zeros_like(images[:, :1]), columns, pad=pad)
    picture.putalpha(gaps.point(lambda value: 255 - value))
    return picture.crop((pad, pad, picture.width - pad, picture.height - pad))


def scalars(history: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Name -> ``(step, value)`` of every scalar, in the order they appear; a step seen twice keeps its last value."""
    found: dict[str, dict[float, float]] = {}
    for line in history:
        step = line.get("step")
        if not isinstance(step, int | float):
            continue
        for name, value in line.items():
            if name not in HIDDEN_SCALARS and isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(name, {})[float(step)] = float(value)
    return {name: sorted(points.items()) for name, points in found.items()}


def facts(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested recipe as ``(dotted name, value)``, in its own order; what is unset is left out."""
    lines = []
    for name, value in config.items():
        if isinstance(value, Mapping):
            lines += facts(value, f"{prefix}{name}.")
        elif value is not None and value != "":
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            lines.append((f"{prefix}{name}".replace("_", " "), text))
    return lines


def _subtitle(report: Json) -> str:
    data = report["data"]
    kind = {"gan": "GAN", "vae": "VAE"}.get(report["kind"], report["kind"])
    pictures = f"{data['name']}, {data['size']}×{data['size']}"
    return f"{kind} · {pictures} · step {report['step']:,} · averaged (EMA) weights · seed {report['seed']}"


def _card(score: Json) -> Json:
    """What the page says of one score: the number first, then what it means, then what to compare it with."""
    spreads, references = score["spreads"], score["baselines"]
    rows = [_bar("this run", score["value"], score["interval"], main=True)]
    for name, value in references.items():
        spread = spreads.get(name)
        rows.append(_bar(name, value, None if spread is None else (value - spread, value + spread)))
    low, high = score["range"]
    top = high if high is not None else max(row.value for row in rows)
    interval = score["interval"]
    limits = f"{low:g} to {high:g}" if high is not None else f"from {low:g}"
    return {
        "name": score["name"],
        "arrow": f"{limits}, {'↑ higher' if score['better'] == 'higher' else '↓ lower'} is better",
        "value": f"{number(score['value'])}{score['unit']}",
        "interval": f"95 %: {number(interval[0])} to {number(interval[1])}" if interval else "",
        "explanation": score["explanation"],
        "bars": bars(rows, top) if references else Markup(""),
        "variant": score["variant"],
    }


def _bar(name: str, value: float, interval: Sequence[float] | None, main: bool = False) -> Bar:
    low, high = interval if interval else (None, None)
    text = number(value)
    if not main and interval is not None:
        text = f"{text} ± {number((interval[1] - interval[0]) / 2)}"
    return Bar(name, value, text, low, high, main)


def _notes(report: Json) -> list[str]:
    absent = [f"{entry['name']} does not apply: {entry['reason']}." for entry in report["not_applicable"]]
    return absent + list(dict.fromkeys([*report["notes"], *(note for s in report["scores"] for note in s["notes"])]))


def _figures(pictures: Pictures) -> Json:
    figures = {
        "samples": _uri(sheet(pictures.samples, 8)),
        "data": _uri(sheet(pictures.data, 8)),
        "reconstructions": None,
    }
    if pictures.originals is not None and pictures.reconstructions is not None:
        across = 12
        rows = []
        for start in range(0, len(pictures.originals) // across * across, across):
            rows += [pictures.originals[start : start + across], pictures.reconstructions[start : start + across]]
        figures["reconstructions"] = _uri(sheet(torch.cat(rows), across)) if rows else None
    return figures


def _detail(entry: Json) -> str:
    known = f" · knows {entry['factor']}" if entry.get("factor") else ""
    return f"{number(entry['activity'])}{known}"


def _signed(position: float) -> str:
    return f"{position:+.2f}".rstrip("0").rstrip(".").replace("-", "−").replace("+0", "0") + " σ"


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
    arranged = {title: Matrix(report["data"]["factors"], names, rows).arranged() for title, rows in matrices.items()}
    hidden = any(len(matrix.columns) < len(names) for matrix in arranged.values())
    spread, unit = codes["variance"], "variance of the code over the data"
    if codes["kl"] is not None:
        spread, unit = codes["kl"], "nats that it carries about a picture (KL divergence from the prior)"
    return {
        "heatmaps": [heatmap(matrix, title) for title, matrix in arranged.items()],
        "left_out": "Columns with next to nothing in them are left out." if hidden else "",
        "codes_chart": columns(names, spread, codes["active"], unit),
        "codes_title": f"{sum(codes['active'])} of {len(names)} codes are in use; the height is the {unit}",
    }


def _turned(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _measured(report: Json) -> list[tuple[str, str]]:
    lines = [("seed", str(report["seed"])), ("weights", f"averaged (EMA), {report['weights'][:12]}")]
    lines += [(name.replace("_", " "), f"{value:,}") for name, value in report["samples"].items()]
    lines += [(name, str(value)) for name, value in report["versions"].items()]
    lines += [(f"{name}, seconds", f"{value:.1f}") for name, value in report["seconds"].items()]
    return [*lines, ("measured on", report["created"])]


def _uri(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")


def show(report: Json, page: Path, file: TextIO) -> None:
    """Print the scores as a table, and where the page is."""
    console = Console(file=file, highlight=False)
    references = list(dict.fromkeys(name for score in report["scores"] for name in score["baselines"]))
    table = Table(title=f"{report['run']} · step {report['step']:,}", title_justify="left", title_style="bold")
    for heading in ("score", "this run", "better", *references):
        table.add_column(heading, justify="left" if heading in ("score", "better") else "right")
    for score in report["scores"]:
        beside = [number(score["baselines"][name]) if name in score["baselines"] else "" for name in references]
        table.add_row(score["name"], number(score["value"]) + score["unit"], score["better"], *beside)
    console.print(table)
    for entry in report["not_applicable"]:
        console.print(f"{entry['name']} does not apply: {entry['reason']}.")
    console.print(f"report: {page}", soft_wrap=True)
