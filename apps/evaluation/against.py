"""Two reports side by side: the differences of their scores, and whether other pictures might have told otherwise."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

from scipy.stats import t as student

from disentangle.metrics import interval

Json = dict[str, Any]


def compare(report: Mapping[str, Any], other: Mapping[str, Any]) -> Json:
    """What the report says of the other run: for each score that both have, the difference and its 95 % interval.

    Where both were measured on the same pictures (the same data, seed and numbers of samples), the two scores were
    resampled on the same rows: the spread of the differences, row set by row set, is the standard error of the
    difference, and what both have in common, such as a hard picture, drops out of it. Otherwise the two are independent
    and their variances add up.

    Args:
        report: the contents of a ``report.json``.
        other: of another.
    """
    same = report["data"] == other["data"]
    matched = same and report["seed"] == other["seed"]
    theirs = {score["name"]: score for score in other["scores"]}
    rows = []
    for score in report["scores"]:
        counterpart = theirs.get(score["name"])
        if counterpart is None:
            continue
        rows.append(difference(score, counterpart, same, matched))
    return {"run": other["run"], "step": other.get("step"), "weights": other.get("weights"), "scores": rows}


def left_out(report: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Which scores of the report are not compared, in a sentence; ``""`` if all are."""
    theirs = {score["name"] for score in other["scores"]}
    missing = [score["name"] for score in report["scores"] if score["name"] not in theirs]
    return f"Not compared, since {other['run']} has not been scored so: {', '.join(missing)}." if missing else ""


def difference(score: Mapping[str, Any], other: Mapping[str, Any], same: bool, matched: bool) -> Json:
    """The difference of two scores of one name; see :func:`compare`.

    Args:
        score: the one.
        other: the other.
        same: whether both are on the same data; otherwise nothing can be said.
        matched: whether both are on the same pictures of these.
    """
    comparable = same and score["variant"] == other["variant"]
    mine, theirs = score["resamples"], other["resamples"]
    paired = matched and comparable and len(mine) == len(theirs) > 1
    value = score["value"] - other["value"]
    ends = None
    if paired:
        ends = interval(value, [a - b for a, b in zip(mine, theirs, strict=True)])
    elif comparable and min(len(mine), len(theirs)) > 1:
        spread = math.hypot(statistics.stdev(mine), statistics.stdev(theirs))
        reach = float(student.ppf(0.975, min(len(mine), len(theirs)) - 1)) * spread
        ends = value - reach, value + reach
    return {
        "name": score["name"],
        "value": score["value"],
        "other": other["value"],
        "difference": value,
        "interval": list(ends) if ends is not None else None,
        "paired": paired,
        "comparable": comparable,
        "verdict": verdict(score["better"], ends),
    }


def verdict(better: str, ends: tuple[float, float] | None) -> str:
    """``"better"``, ``"worse"``, ``"not clear"`` where the interval has 0 in it; empty where there is none."""
    if ends is None or better not in ("higher", "lower"):
        return ""
    if ends[0] <= 0 <= ends[1]:
        return "not clear"
    return "better" if (ends[0] > 0) == (better == "higher") else "worse"
