"""Groups of runs that differ only in their seed: their names, and what their runs have in common."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disentangle.apps.summary import MINUTES, STEPS, Measure, Summary
from disentangle.errors import UserError

Json = dict[str, Any]

NAMES = "treatment.names"
ORDER = ("sn", "ol", "ow", "nog", "olr")
"""The treatments as the paper lists them."""

MANY = 3
"""Differing settings up to which a group is named by them alone, and not by its recipe."""


@dataclass(frozen=True)
class Statistic:
    """A measure over the runs of a group.

    Attributes:
        mean: over those that have it.
        deviation: sample standard deviation; ``None`` for one run.
        values: of the runs, in their order; ``None`` where a run has none.
    """

    mean: float
    deviation: float | None
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed.

    Attributes:
        label: its name, among the groups that it is compared with.
        runs: at least one.
        statistics: by the measure's name.
    """

    label: str
    runs: tuple[Summary, ...]
    statistics: dict[str, Statistic]


@dataclass(frozen=True)
class Comparison:
    """Groups of runs and what there is to compare.

    Attributes:
        groups: at least one.
        measures: those that some run has, in order.
        differing: settings in which the groups differ.
        notes: what a reader must know.
    """

    groups: tuple[Group, ...]
    measures: tuple[Measure, ...]
    differing: tuple[str, ...]
    notes: tuple[str, ...]


def compare(summaries: Sequence[Summary]) -> Comparison:
    """Group runs and summarise the groups.

    Raises:
        UserError: where there is no run, or one is there twice.
    """
    if not summaries:
        raise UserError("there is no run to compare: name run folders, or a folder of them")
    seen: set[Path] = set()
    for summary in summaries:
        if summary.path.resolve() in seen:
            raise UserError(f"{summary.path} is named twice: name every run once")
        seen.add(summary.path.resolve())
    by_settings: dict[str, list[Summary]] = {}
    for summary in summaries:
        key = json.dumps([summary.kind, summary.settings], sort_keys=True)
        by_settings.setdefault(key, []).append(summary)
    members = list(by_settings.values())
    differing = _differing([runs[0] for runs in members])
    if differing == [NAMES]:
        members.sort(key=lambda runs: _paper_order(runs[0].settings[NAMES]))
    measures = list(dict.fromkeys(measure for summary in summaries for measure in summary.measures))
    tail = [measure for measure in (STEPS, MINUTES) if measure in measures]
    measures = [measure for measure in measures if measure not in tail] + tail
    groups = tuple(
        Group(label, tuple(runs), _statistics(runs, measures))
        for label, runs in zip(labels([runs[0] for runs in members]), members, strict=True)
    )
    return Comparison(groups, tuple(measures), tuple(differing), tuple(_notes(groups, measures)))


def _statistics(runs: Sequence[Summary], measures: Sequence[Measure]) -> dict[str, Statistic]:
    found = {}
    for measure in measures:
        values = [run.values.get(measure.name) for run in runs]
        known = [value for value in values if value is not None]
        if known:
            deviation = statistics.stdev(known) if len(known) > 1 else None
            found[measure.name] = Statistic(statistics.fmean(known), deviation, tuple(values))
    return found


def _differing(firsts: Sequence[Summary]) -> list[str]:
    """Settings in which groups differ; one that a group does not have differs from every value."""
    names = dict.fromkeys(name for first in firsts for name in first.settings)
    return [n for n in names if len({json.dumps(first.settings.get(n, "—")) for first in firsts}) > 1]


def _paper_order(names: Sequence[str]) -> tuple[int, list[int]]:
    return len(names), [ORDER.index(name) if name in ORDER else len(ORDER) for name in names]


def labels(firsts: Sequence[Summary]) -> list[str]:
    """A name for each group, given a run of each: the settings that differ, or, where these are many, the recipe and
    those that differ among the groups of one recipe."""
    if len(firsts) == 1:
        return [firsts[0].recipe]
    differing = _differing(firsts)
    if len(differing) <= MANY:
        named = [described(first, differing) for first in firsts]
    else:
        named = []
        for first in firsts:
            inner = _differing([other for other in firsts if other.recipe == first.recipe])
            named.append(" ".join(filter(None, [first.recipe, described(first, inner[:MANY])])))
    return [
        f"{label} ({first.name})" if named.count(label) > 1 else label
        for label, first in zip(named, firsts, strict=True)
    ]


def described(summary: Summary, names: Sequence[str]) -> str:
    """A run's values of these settings, in words: ``nog+olr groups=2``."""
    short = [name.rpartition(".")[2] for name in names]
    words = []
    for name, brief in zip(names, short, strict=True):
        value = summary.settings.get(name, "—")
        if name == NAMES:
            words.append(treatment_name(value) if isinstance(value, list) else str(value))
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(f"{brief if short.count(brief) == 1 else name}={text}")
    return " ".join(words)


def treatment_name(names: Sequence[str]) -> str:
    """``nog+olr``, or ``none``."""
    return "+".join(names) or "none"


def _notes(groups: Sequence[Group], measures: Sequence[Measure]) -> list[str]:
    runs = [run for group in groups for run in group.runs]
    notes = []
    for words in dict.fromkeys(words for run in runs for words in run.singular):
        where = _listed([run for run in runs if words in run.singular])
        notes.append(f"The covariance at {words} is singular in {where}: its κ over all of it says nothing.")
    for layer in dict.fromkeys(layer for run in runs for layer in run.infinite):
        where = _listed([run for run in runs if layer in run.infinite])
        notes.append(f"κ at {layer} was infinite in some rows of {where}: its final and highest are of the others.")
    for group in groups:
        seeds = [run.seed for run in group.runs]
        again = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if again:
            notes.append(f"{group.label} has the seed {', '.join(map(str, again))} more than once.")
    for name in dict.fromkeys(name for run in runs for name in run.variants):
        if len({run.variants[name] for run in runs if name in run.variants}) > 1:
            notes.append(f"{name} was not computed in the same way in all runs: see “variant” in each report.json.")
    for measure in measures:
        without = [run for run in runs if measure.name not in run.values]
        if without:
            notes.append(f"Without {measure.name}: {_listed(without)}.")
    unscored = [run for run in runs if not run.scored]
    if unscored:
        notes.append(f"Without a report of their last step (`disentangle evaluate RUN`): {_listed(unscored)}.")
    return notes


def _listed(runs: Sequence[Summary]) -> str:
    more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
    return ", ".join(run.name for run in runs[:3]) + more


def figure_of(statistic: Statistic | None, measure: Measure) -> str:
    """``mean ± deviation`` for a reader, to about two digits of the deviation; a dash where there is nothing."""
    if statistic is None:
        return "–"
    factor = 100.0 if measure.percent else 1.0
    mean, deviation = statistic.mean * factor, (statistic.deviation or 0.0) * factor
    if deviation > 0:
        # A third decimal of a large number is not worth the space, however small the deviation.
        decimals = min(2 if abs(mean) >= 1 else 6, max(0, 1 - math.floor(math.log10(deviation))))
        return f"{mean:,.{decimals}f} ± {deviation:,.{decimals}f}".replace("-", "−")
    if mean == round(mean) and abs(mean) >= 1:
        return f"{mean:,.0f}".replace("-", "−")
    decimals = min(6, max(0, 2 - math.floor(math.log10(abs(mean))))) if mean else 0
    return f"{mean:,.{decimals}f}".replace("-", "−")


def to_dict(comparison: Comparison) -> Json:
    """As ``compare.json`` holds it."""
    return {
        "differing": list(comparison.differing),
        "measures": [{"name": m.name, "better": m.better} for m in comparison.measures],
        "groups": [
            {
                "label": group.label,
                "settings": {name: group.runs[0].settings.get(name) for name in comparison.differing},
                "runs": [
                    {"name": run.name, "path": str(run.path), "kind": run.kind, "recipe": run.recipe, "seed": run.seed}
                    | {"values": run.values}
                    for run in group.runs
                ],
                "statistics": {
                    name: {
                        "mean": s.mean,
                        "standard_deviation": s.deviation,
                        "runs": sum(v is not None for v in s.values),
                    }
                    for name, s in group.statistics.items()
                },
            }
            for group in comparison.groups
        ],
        "notes": list(comparison.notes),
    }
