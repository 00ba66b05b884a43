"""What a run came to, read from what it has recorded, whatever its kind: ``config.json``, ``metrics.jsonl``,
``report.json``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disentangle.apps.history import KAPPA, SAME, Curve, curves_of, last_value
from disentangle.errors import UserError
from disentangle.training.run import Run

Json = dict[str, Any]

ASIDE = frozenset({"seed", "summary", "tensorboard"})
"""Settings that do not tell groups apart."""


@dataclass(frozen=True)
class Measure:
    """A number that runs have.

    Attributes:
        name: what it is called.
        better: ``"higher"``, ``"lower"``, or empty where neither is.
        percent: whether it is a share that is shown in percent.
    """

    name: str
    better: str = ""
    percent: bool = False

    @property
    def heading(self) -> str:
        """The name, with an arrow towards the better values."""
        arrow = {"higher": " ↑", "lower": " ↓"}.get(self.better, "")
        return f"{self.name}{' %' if self.percent else ''}{arrow}"


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        path: its folder.
        name: the folder's name.
        kind: ``"gan"``, ``"vae"``, ``"classifier"``.
        recipe: the recipe's name.
        settings: the recipe, dotted name to value, without those of ``ASIDE``.
        seed: its seed.
        values: what was measured, by the measure's name.
        measures: what these are.
        variants: definition of the scores that are in ``report.json``.
        kappa: layer -> the curve of log10 κ.
        scored: whether ``report.json`` is there, of the last step.
        singular: layers whose covariance has a lower rank than rows, so that its κ says nothing, in words.
        infinite: layers whose κ was infinite in some rows, which the curve leaves out.
    """

    path: Path
    name: str
    kind: str
    recipe: str
    settings: Json
    seed: int
    values: dict[str, float]
    measures: tuple[Measure, ...]
    variants: dict[str, str] = field(default_factory=dict)
    kappa: dict[str, Curve] = field(default_factory=dict)
    scored: bool = False
    singular: tuple[str, ...] = ()
    infinite: tuple[str, ...] = ()


ACCURACY = Measure("Test accuracy", "higher", percent=True)
STEPS = Measure("Steps")
MINUTES = Measure("Training minutes", "lower")


def summarise(run: Run) -> Summary:
    """Read what a run came to.

    Raises:
        UserError: where it has not reached its last step, or a file is damaged.
    """
    recipe, rows, report = run.config["recipe"], run.metrics(), read_report(run)
    if run.step < recipe["steps"]:
        raise UserError(
            f"{run.path} is at step {run.step:,} of {recipe['steps']:,}: go on with it by "
            f"`disentangle train --resume {run.path}`, or leave it out"
        )
    kappa = curves_of(rows, KAPPA)
    over_rank = {layer: curve for layer, curve in curves_of(rows, f"{KAPPA}_rank").items() if layer not in kappa}
    found = _of_kappa(kappa, "") + _of_kappa(over_rank, " over the rank")
    found += _of_scores(report["scores"] if report is not None else [], last_value(rows, "test/accuracy"))
    found.append((STEPS, float(run.step)))
    seconds = last_value(rows, "time")
    if seconds is not None:
        found.append((MINUTES, seconds / 60))
    return Summary(
        path=run.path,
        name=run.name,
        kind=run.kind,
        recipe=str(run.config.get("name", run.kind)),
        settings={name: value for name, value in flatten(recipe).items() if name not in ASIDE},
        seed=recipe["seed"],
        values={measure.name: value for measure, value in found},
        measures=tuple(measure for measure, _ in found),
        variants={score["name"]: score["variant"] for score in (report or {"scores": []})["scores"]},
        kappa=kappa | over_rank,
        scored=report is not None,
        singular=tuple(_singular(rows, kappa)),
        infinite=tuple(_infinite(rows, kappa)),
    )


def _of_kappa(curves: Mapping[str, Curve], words: str) -> list[tuple[Measure, float]]:
    found = []
    for layer, curve in curves.items():
        where = f"{words} ({layer})" if len(curves) > 1 else words
        found.append((Measure(f"Final log₁₀ κ{where}", "lower"), curve.final))
        found.append((Measure(f"Highest log₁₀ κ{where}", "lower"), curve.highest))
    return found


def _of_scores(scores: Sequence[Json], accuracy: float | None) -> list[tuple[Measure, float]]:
    """The scores of a report; where it has no accuracy, that which was recorded last in training."""
    found = []
    if accuracy is not None and not any(score["name"] == "Accuracy" for score in scores):
        found.append((ACCURACY, accuracy))
    for score in scores:
        name = ACCURACY.name if score["name"] == "Accuracy" else score["name"]
        share = score["name"].lower().endswith("accuracy")
        found.append((Measure(name, score["better"], percent=share), float(score["value"])))
    return found


def _singular(rows: Sequence[Mapping[str, Any]], kappa: Mapping[str, Curve]) -> list[str]:
    """Layers whose covariance was singular in the end, exactly or but for rounding."""
    ranks = curves_of(rows, "rank")
    words = []
    for layer, curve in curves_of(rows, f"{KAPPA}_rank").items():
        if layer not in kappa or kappa[layer].final - curve.final > SAME:
            rank = f" (rank {ranks[layer].final:g})" if layer in ranks else ""
            words.append(f"{layer}{rank}")
    return words


def _infinite(rows: Sequence[Mapping[str, Any]], kappa: Mapping[str, Curve]) -> list[str]:
    """Layers of which some rows have the rank and, as it was infinite, no κ."""
    ranks = curves_of(rows, "rank")
    return [layer for layer, curve in kappa.items() if layer in ranks and len(ranks[layer].points) > len(curve.points)]


def read_report(run: Run) -> Json | None:
    """The contents of a run's ``report.json``; ``None`` where there is none of its newest checkpoint.

    Raises:
        UserError: where it is damaged.
    """
    path = run.path / "report.json"
    try:
        report: Json = json.loads(path.read_text())
        return report if report["step"] == run.step and isinstance(report["scores"], list) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error}; `disentangle evaluate {run.path}` makes it again") from None


def flatten(values: Mapping[str, Any], prefix: str = "") -> Json:
    """Nested settings by their dotted names."""
    flat: Json = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
