"""The tab of a run's scores: the parts of its report, and how well conditioned its layers were."""

from collections.abc import Sequence
from shlex import quote
from typing import Any

from pydantic import ValidationError

from disentangle.apps.charts import curves
from disentangle.apps.evaluation.schema import ADAPTER
from disentangle.apps.history import KAPPA, curves_of
from disentangle.apps.page import judged, render_template
from disentangle.apps.report import matrices
from disentangle.errors import UserError
from disentangle.training.run import Run

Json = dict[str, Any]


def tab(run: Run) -> Json:
    """The tab as HTML, and whether there are scores; what is missing is told with the command that makes it."""
    report, problem = _report(run)
    values: Json = {"cards": [], "verdict": "", "legend": [], "ranges": "", "notes": [], "heatmaps": [], "left_out": ""}
    if report is not None:
        try:
            values = judged(report, "") | matrices(report)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            problem = f"its report is damaged ({type(error).__name__}: {str(error)[:80]})"
            report = None
    rows, lines = _rows(run), []
    for layer, curve in curves_of(rows, KAPPA).items():
        lines.append(
            {"layer": layer, "svg": curves(f"log10 of κ of {layer}", {layer: curve.points}), "final": curve.final}
        )
    html = render_template(
        "traverse/scores.html.jinja",
        **{name: values[name] for name in ("cards", "verdict", "legend", "ranges", "notes", "heatmaps", "left_out")},
        run=run.name,
        path=run.path,
        command=quote(str(run.path)),
        recipe=run.config.get("name", "RECIPE"),
        step=None if report is None else report.get("step"),
        stale=report is not None and bool(run.checkpoints()) and report.get("step") not in (None, run.step),
        newest=run.step if run.checkpoints() else 0,
        problem=problem,
        scored=report is not None,
        kappa=lines,
    )
    return {"html": html, "scored": report is not None}


def _report(run: Run) -> tuple[Json | None, str]:
    """The run's report, or what is the matter with it."""
    try:
        text = (run.path / "report.json").read_text()
    except FileNotFoundError:
        return None, ""
    except (OSError, UnicodeDecodeError) as error:
        return None, f"its report cannot be read ({error})"
    try:
        report: Json = dict(ADAPTER.validate_json(text))
    except ValidationError as error:
        if any(each["loc"] == ("version",) and each["type"] == "literal_error" for each in error.errors()):
            return None, "its report was written by another version of this program"
        return None, "its report is damaged"
    return report, ""


def _rows(run: Run) -> Sequence[Json]:
    try:
        return [row for row in run.metrics() if isinstance(row, dict)]
    except UserError:
        return []
