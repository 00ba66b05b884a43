"""What the pages share: the templates, and the parts that every report has, whatever it is of.

``page.html.jinja`` holds the style, ``report.html.jinja`` the parts of a report that this module fills, and
``generator.html.jinja`` and ``classifier.html.jinja`` what only these have.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from scipy.stats import t as student
from torch import Tensor

from disentangle.apps.charts import Bar, bars, curves, number
from disentangle.pictures import grid, png_bytes

Json = dict[str, Any]

NO_SCALARS = frozenset({"step", "time"})
"""What ``metrics.jsonl`` holds besides scalars worth drawing."""

LEGEND = {
    "perfect": "the factors themselves as codes",
    "rotated": "this run's codes, each scaled to unit variance, in a randomly rotated basis",
    "noise": "random codes of the same shape",
    "copies": "models that are all like this one, their codes in other orders",
    "turned copies": "the same, each in a basis of its own",
    "other data": "as many other pictures of the data set, what a perfect generator would get",
    "mean picture": "the mean of the data's pictures, over and over",
    "random directions": "as many directions at right angles to each other, drawn at random, in the place of latents",
    "prior's mean": "answering 0 for every code, whatever the picture",
    "most frequent class": "what is right by always answering with the most frequent class",
    "most frequent classes": "the same with as many answers",
    "class frequencies": "giving every picture the classes' frequencies as probabilities",
    "chance": "answering at random, all classes alike",
    "well calibrated": "a classifier as sure as this one and right exactly that often, by chance alone",
    "always sure": "the same answers, each with a probability of 1",
}
"""What the reference points of the scores are."""


def render_template(name: str, **values: Any) -> str:
    """The template ``name`` filled with ``values``; all that is not markup is escaped."""
    environment = Environment(
        loader=PackageLoader("disentangle.apps", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)


def shared(report: Json, history: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> Json:
    """The values of ``report.html.jinja``.

    Args:
        report: the contents of ``report.json``.
        history: the lines of ``metrics.jsonl``; their numbers are drawn over their ``step``.
        config: the run's ``config.json``.
    """
    recipe = config["recipe"]
    return judged(report, _subtitle(report, recipe)) | {
        "curves": [{"name": name, "svg": curves(name, lines)} for name, lines in scalars(history).items()],
        "summary": recipe.get("summary", ""),
        "recipe": facts({name: value for name, value in recipe.items() if name != "summary"}),
    }


def judged(report: Json, subtitle: str) -> Json:
    """The values of ``report.html.jinja`` for a report without a training.

    Args:
        report: the contents of ``report.json``.
        subtitle: what was scored.
    """
    scores = report["scores"]
    return {
        "report": report,
        "subtitle": subtitle,
        "verdict": verdict(report),
        "cards": [_card(score) for score in scores],
        "legend": [(name, words) for name, words in LEGEND.items() if any(name in s["baselines"] for s in scores)],
        "ranges": _ranges(report),
        "notes": notes(report),
        "general": general(report),
        "against": _against(report),
        "curves": [],
        "summary": "",
        "recipe": [],
        "measured": _measured(report),
        "took": _took(report["seconds"]),
    }


def sheet(images: Tensor, columns: int, pad: int = 2) -> Image.Image:
    """Pictures side by side on nothing: the gaps are transparent, so that they take the page's colour."""
    picture = grid(images, columns, pad=pad)
    # The grid of black pictures is white where there is no picture.
    gaps = grid(torch.zeros_like(images[:, :1]), columns, pad=pad)
    picture.putalpha(gaps.point(lambda value: 255 - value))
    return picture.crop((pad, pad, picture.width - pad, picture.height - pad))


def data_uri(image: Image.Image) -> str:
    """A picture as the ``src`` of an ``img``, so that the page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode("ascii")


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


def verdict(report: Json) -> str:
    """What matters most in a sentence or two: a classifier's answers, or else how the codes, if there are any, stand to
    the same codes rotated."""
    scores = {score["name"]: score for score in report["scores"]}
    if "Accuracy" in scores:
        return _verdict_on_answers(scores["Accuracy"], scores["Calibration error"], report["samples"]["pictures"])
    return " ".join(filter(None, [_verdict_on_codes(scores["MIG"]) if "MIG" in scores else "", _beside(report)]))


def _verdict_on_answers(accuracy: Json, calibration: Json, samples: int) -> str:
    gap = calibration["parts"]["gap"]
    by_chance, spread = calibration["baselines"]["well calibrated"], calibration["spreads"]["well calibrated"]
    if calibration["value"] <= by_chance + 2 * spread:
        manner = "it is as sure as it should be"
    else:
        manner = f"its confidence is {100 * abs(gap):.1f} points {'above' if gap > 0 else 'below'} its accuracy"
    usual = accuracy["baselines"]["most frequent class"]
    return (
        f"It names {accuracy['value']:.1%} of {samples:,} test pictures correctly, where always answering with the "
        f"most frequent class would get {usual:.1%}; {manner}."
    )


def _verdict_on_codes(gap: Json) -> str:
    """Are the codes better than the same codes turned at random?"""
    word = {"better": "more", "worse": "less"}.get(stand(gap, "rotated"), "not clearly more")
    return (
        f"Its codes are {word} disentangled than the same codes rotated at random: MIG {gap['value']:.3f} against "
        f"{gap['baselines']['rotated']:.3f} ± {gap['spreads']['rotated']:.3f}; perfect codes have "
        f"{gap['baselines']['perfect']:.3f}."
    )


def _beside(report: Json) -> str:
    """How the codes stand to the same codes rotated, by the other scores."""
    others = [
        score
        for score in report["scores"]
        if score["name"] != "MIG" and score["interval"] is not None and "rotated" in score["baselines"]
    ]
    said = _grouped({score["name"]: stand(score, "rotated") for score in others}, "in", "in")
    return f"Beside the same codes rotated it is {said}." if said else ""


EXACT = frozenset({"chance", "prior's mean", "class frequencies"})
"""Reference points that are known and not measured."""


def stand(score: Json, point: str) -> str:
    """How a score stands to one of its reference points: ``"better"``, ``"worse"`` or, where their intervals overlap,
    ``"not clear"``.

    A point that was drawn several times has the interval of these draws; one that was drawn once is as uncertain as the
    score, which is of as many samples; one that is known has none. A score without an interval is taken as it is.
    """
    low, high = score["interval"] or (score["value"], score["value"])
    value, spread = score["baselines"][point], score["spreads"].get(point)
    reach = 0.0 if point in EXACT else (high - low) / 2
    if spread is not None:
        draws = score["settings"].get("rotations", score["settings"].get("draws", 3))
        reach = spread * float(student.ppf(0.975, max(1, draws - 1)))
    above, below = low > value + reach, high < value - reach
    if not above and not below:
        return "not clear"
    return "better" if above == (score["better"] == "higher") else "worse"


def standing(score: Json) -> str:
    """How a score stands to its reference points, in a sentence; empty where it has none or neither way is better."""
    if score["better"] not in ("higher", "lower") or not score["baselines"]:
        return ""
    said = _grouped({point: stand(score, point) for point in score["baselines"]}, "than", "from")
    alone = "" if score["interval"] is not None else ", by the numbers alone: there is no interval"
    return f"{said[:1].upper()}{said[1:]}{alone}."


def _grouped(stands: Mapping[str, str], than: str, apart: str) -> str:
    """``"better than a and b; not clearly apart from c"`` of names and how each stands, with these prepositions."""
    words = {"better": f"better {than}", "worse": f"worse {than}", "not clear": f"not clearly apart {apart}"}
    groups = {word: [name for name, stood in stands.items() if stood == word] for word in words}
    return "; ".join(f"{words[word]} {in_a_row(names)}" for word, names in groups.items() if names)


def in_a_row(names: Sequence[str]) -> str:
    """``"a"``, ``"a and b"``, ``"a, b and c"``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _ranges(report: Json) -> str:
    names = {score["name"] for score in report["scores"]}
    if "Accuracy" in names:
        return "Beside a number stands its 95 % interval, after ± the standard deviation over random draws."
    if any(score["spreads"] for score in report["scores"]):
        return "Beside a number stands its 95 % interval, after ± the standard deviation over rotations."
    return "Beside a number stands its 95 % interval." if names else ""


def figure(value: float, score: Json) -> str:
    """A number of a score, or of its reference points: three decimals where it lies between 0 and 1 by definition."""
    return f"{value:.3f}" if score["range"][1] == 1 else number(value)


def notes(report: Json) -> list[str]:
    """What a reader must know: :func:`general`, and the notes of the scores, each once."""
    return [*general(report), *dict.fromkeys(note for score in report["scores"] for note in score["notes"])]


def general(report: Json) -> list[str]:
    """What a reader must know of the whole report: what cannot be had and why, then its own notes."""
    absent: dict[str, list[str]] = {}
    for entry in report["not_applicable"]:
        absent.setdefault(entry["reason"], []).append(entry["name"])
    lines = [f"No {' or '.join(names)}: that {reason}." for reason, names in absent.items()]
    return [*lines, *report["notes"]]


def _against(report: Json) -> list[Json]:
    """The rows of the table of differences from another run."""
    scores = {score["name"]: score for score in report["scores"]}
    rows = []
    for row in report.get("against", {}).get("scores", []):
        score = scores[row["name"]]
        ends = [signed(end, score) for end in row["interval"] or ()]
        rows.append(
            {
                "name": row["name"],
                "value": figure(row["value"], score),
                "other": figure(row["other"], score),
                "difference": signed(row["difference"], score),
                "interval": " to ".join(ends),
                "verdict": judgement(row),
            }
        )
    return rows


def judgement(row: Json) -> str:
    """What a difference comes to, in words."""
    return str(row["verdict"] or "no interval") if row["comparable"] else "not comparable"


def signed(value: float, score: Json) -> str:
    """A difference of two scores, with its sign."""
    return f"{'−' if value < 0 else '+'}{figure(abs(value), score)}"


def _subtitle(report: Json, recipe: Mapping[str, Any]) -> str:
    pictures = f"{report['data']['name']}, {report['data']['size']}×{report['data']['size']}"
    averaged = " · averaged (EMA) weights" if recipe.get("ema_pictures", 1) else ""
    return f"{report['model']} · {pictures} · after step {report['step']:,}{averaged}"


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
    # What should be small would be a speck on a scale to its greatest possible value.
    top = score["range"][1] if score["better"] == "higher" else None
    return {
        "name": score["name"],
        "arrow": {"higher": "↑ higher is better", "lower": "↓ lower is better"}.get(score["better"], ""),
        "value": figure(score["value"], score),
        "unit": score["unit"].strip(),
        "interval": " – ".join(ends),
        "explanation": score["explanation"],
        "bars": bars(rows, max(row.value for row in rows) if top is None else top),
        "standing": standing(score),
        "variant": score["variant"],
        "notes": score["notes"],
    }


def _measured(report: Json) -> list[tuple[str, str]]:
    lines = [("seed", str(report["seed"]))]
    if "weights" in report:
        lines.append(("weights", f"{report['weights'][:12]} (SHA-256)"))
    lines += [(name.replace("_", " "), f"{value:,}") for name, value in report["samples"].items()]
    lines += list(report["versions"].items())
    return [*lines, ("measured", report["created"].replace("T", " ").replace("+00:00", " UTC"))]


def _took(seconds: Mapping[str, float]) -> str:
    parts = ", ".join(f"{name} {value:.1f}" for name, value in sorted(seconds.items(), key=lambda item: -item[1]))
    return f"Took {sum(seconds.values()):.0f} seconds: {parts}. The command that makes this page again:"
