"""What a run recorded about its training: curves out of the rows of ``metrics.jsonl``."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Points = list[tuple[float, float]]

KAPPA = "log10_kappa"
"""The condition number of a covariance before the ridge; beside it stand ``log10_kappa_rank``, over the numerical rank,
and ``log10_kappa_ridge``, with the ridge."""

SAME = 0.01
"""How far the final log10 κ and that over the rank may be apart where the rank is full."""

LAST = 0.1
"""Share of the recorded rows, the last ones, whose median is the final value."""


@dataclass(frozen=True)
class Curve:
    """A scalar over the steps of a training.

    Attributes:
        points: ``(step, value)``, rising in step, at least one.
    """

    points: Points

    @property
    def final(self) -> float:
        """The median of the last tenth of the recorded values, of one at least."""
        values = [value for _, value in self.points]
        return statistics.median(values[-max(1, math.ceil(LAST * len(values))) :])

    @property
    def highest(self) -> float:
        """The greatest value: how far it spikes."""
        return max(value for _, value in self.points)


def curves_of(rows: Sequence[Row], quantity: str) -> dict[str, Curve]:
    """The curves of ``quantity/NAME`` or ``phase/quantity/NAME``, by name.

    Rows in which it is missing or not finite are passed over; a step that occurs twice keeps its last value.
    """
    pattern = re.compile(rf"(?:[^/]+/)?{re.escape(quantity)}/(.+)")
    found: dict[str, dict[float, float]] = {}
    for row in rows:
        step = row.get("step")
        if not isinstance(step, int | float):
            continue
        for key, value in row.items():
            match = pattern.fullmatch(key)
            if match and isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(match[1], {})[float(step)] = float(value)
    return {name: Curve(sorted(points.items())) for name, points in found.items()}


def last_value(rows: Sequence[Row], key: str) -> float | None:
    """The last finite number recorded as ``key``; ``None`` where there is none."""
    for row in reversed(rows):
        value = row.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def full_rank(kinds: Mapping[str, Any]) -> bool:
    """Whether a covariance has full rank, so that κ over its rank is κ; ``kinds`` as in a report's ``conditioning``."""
    whole, ranked = kinds.get(KAPPA), kinds.get(f"{KAPPA}_rank")
    return ranked is None or (whole is not None and abs(whole["final"] - ranked["final"]) < SAME)


def in_words(layer: str, kinds: Mapping[str, Any]) -> str:
    """What was recorded of a layer's covariance, in a sentence or two; ``kinds`` as in a report's ``conditioning``."""
    main = kinds.get(KAPPA) or kinds.get(f"{KAPPA}_rank")
    if main is None:
        return ""
    end = f"the median of the last {LAST:.0%} of {main['rows']:,} rows"
    words = f"{layer}: log₁₀ κ {main['final']:.2f} in the end ({end}), {main['highest']:.2f} at most."
    infinite = kinds["rank"]["rows"] - kinds[KAPPA]["rows"] if "rank" in kinds and KAPPA in kinds else 0
    if infinite > 0:
        words += f" In {infinite:,} more {'row' if infinite == 1 else 'rows'} it was infinite."
    if not full_rank(kinds) and "rank" in kinds:
        words += f" Its covariance has only rank {kinds['rank']['final']:g}: κ over all of it measures rounding."
    return words
