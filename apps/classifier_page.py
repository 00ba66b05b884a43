"""The page of a classifier's report."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from disentangle.apps.charts import Matrix, heatmap
from disentangle.apps.figure import Figure, svg
from disentangle.apps.history import KAPPA, curves_of, full_rank, in_words
from disentangle.apps.page import data_uri, render_template, shared
from disentangle.apps.panels import Series, curve_panel, reliability_panel
from disentangle.pictures import to_pil

Json = dict[str, Any]

TABLE = 20
"""Classes up to which the whole confusion matrix is shown."""

KINDS = {
    f"{KAPPA}_ridge": ("with the ridge", "c1", (6.0, 3.0)),
    f"{KAPPA}_rank": ("over the numerical rank", "c3", (2.0, 3.0)),
    KAPPA: ("κ", "accent", ()),
}
"""What is drawn of a covariance's condition number: words, colour, dashes."""


def render_classifier(
    report: Json, pictures: Tensor, history: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
) -> str:
    """The page as HTML. Everything in it that came from a file or a name is escaped.

    Args:
        report: what :func:`disentangle.apps.evaluate.evaluate` returns.
        pictures: uint8 ``(n, c, h, w)``, of the report's mistakes.
        history: the lines of ``metrics.jsonl``.
        config: the run's ``config.json``.
    """
    values = shared(report, history, config)
    # The condition numbers have a section of their own.
    values["curves"] = [curve for curve in values["curves"] if KAPPA not in curve["name"]]
    confusion = report["confusion"]
    return render_template(
        "classifier.html.jinja",
        **values,
        confusion=_confusion_table(report) if len(report["classes"]) <= TABLE else "",
        worst=confusion["worst"],
        reliability=_reliability(report),
        mistakes=[
            entry | {"picture": data_uri(to_pil(picture)), "sure": f"{entry['confidence']:.1%}"}
            for entry, picture in zip(report["mistakes"], pictures, strict=True)
        ],
        conditioning=[_conditioning(layer, kinds, history) for layer, kinds in report["conditioning"].items()],
    )


def _confusion_table(report: Json) -> str:
    names, counts = report["classes"], report["confusion"]["counts"]
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    texts = [[f"{count:,}" if count else "" for count in row] for row in counts]
    return heatmap(Matrix(names, names, shares), "A row for each true class, a column for each answer", texts)


def _reliability(report: Json) -> str:
    (parts,) = [score["parts"] for score in report["scores"] if score["name"] == "Calibration error"]
    shapes = reliability_panel(parts["edges"], parts["counts"], parts["confidence"], parts["accuracy"])
    filled = [
        f"{sure:.0%} sure, {right:.0%} right"
        for count, sure, right in zip(parts["counts"], parts["confidence"], parts["accuracy"], strict=True)
        if count
    ]
    return svg(Figure(320, 334, f"Reliability diagram: {'; '.join(filled)}", shapes))


def _conditioning(layer: str, kinds: Mapping[str, Json], history: Sequence[Mapping[str, Any]]) -> Json:
    """A layer's chart, and its final and highest values in words."""
    lines, same = [], full_rank(kinds)
    for kind, (words, ink, dash) in KINDS.items():
        curve = curves_of(history, kind).get(layer)
        if curve is not None and not (same and kind == f"{KAPPA}_rank"):
            lines.append(Series(words, curve.points, ink=ink, dash=dash))
    figure = Figure(760, 270, f"log10 κ at {layer} over the steps", [])
    if lines:
        figure.shapes.extend(curve_panel(f"log₁₀ κ at {layer}", lines, 0, 0, 760, 270, 160))
    return {"svg": svg(figure) if lines else "", "words": in_words(layer, kinds)}
