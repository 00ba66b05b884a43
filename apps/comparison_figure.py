"""The picture of a comparison: the curves of log10 κ, a line for each group, and a row of dots for each measure."""

from collections.abc import Sequence
from itertools import pairwise

from disentangle.apps.comparison import Comparison, Group, figure_of
from disentangle.apps.figure import Figure, Shape, line_style
from disentangle.apps.history import Points
from disentangle.apps.panels import Row, Series, curve_panel, dot_panel
from disentangle.apps.summary import MINUTES, STEPS, Measure

WIDTH, MARGIN, TALL = 980.0, 22.0, 360.0

LAYERS, MEASURES = 3, 8
"""Panels of curves and of dots, at most."""

POINTS = 120
"""Points of a curve, at most: of runs of more neighbours the mean is drawn, and the band from their least to their
greatest, so that no spike is lost."""


def draw(comparison: Comparison) -> Figure | None:
    """The picture, or ``None`` where there is nothing to draw."""
    layers = list(dict.fromkeys(layer for group in comparison.groups for run in group.runs for layer in run.kappa))
    measures = [m for m in comparison.measures if m not in (STEPS, MINUTES)][:MEASURES]
    if not layers and not measures:
        return None
    inner = WIDTH - 2 * MARGIN
    longest = max(len(group.label) for group in comparison.groups)
    names = min(260.0, 16 + 6.6 * longest)
    shapes: list[Shape] = []
    y = MARGIN
    for layer in layers[:LAYERS]:
        lines = [line for i, group in enumerate(comparison.groups) if (line := series(group, layer, i)) is not None]
        title = f"log₁₀ κ of the covariance at {layer}: mean over the runs, band from the least to the greatest"
        shapes += curve_panel(title, lines, MARGIN, y, inner, TALL, names + 10)
        y += TALL + 16
    half = (inner - 36) / 2
    for pair in (measures[i : i + 2] for i in range(0, len(measures), 2)):
        tall = 0.0
        for column, measure in enumerate(pair):
            x = MARGIN + column * (half + 36)
            panel, height = dot_panel(measure.heading, rows(comparison, measure), x, y, half, min(names, half / 2))
            shapes += panel
            tall = max(tall, height)
        y += tall + 16
    return Figure(WIDTH, y + 4, described(comparison), shapes)


def series(group: Group, layer: str, index: int) -> Series | None:
    """The group's curve of log10 κ at ``layer``: over the steps that all of its runs recorded."""
    curves = [run.kappa[layer].points for run in group.runs if layer in run.kappa]
    if not curves:
        return None
    values = [dict(points) for points in curves]
    steps = sorted(set.intersection(*map(set, values))) or [step for step, _ in curves[0]]
    every = [[points[step] for points in values if step in points] for step in steps]
    ink, dash = line_style(index)
    middle, low, high = thinned(steps, every)
    return Series(group.label, middle, low, high, ink, dash)


def thinned(steps: Sequence[float], values: Sequence[Sequence[float]]) -> tuple[Points, Points, Points]:
    """Mean, least and greatest of ``values`` over the steps, neighbours put together beyond ``POINTS`` steps."""
    count = min(POINTS, len(steps))
    edges = [round(i * len(steps) / count) for i in range(count + 1)]
    middle, low, high = [], [], []
    for a, b in pairwise(edges):
        step = sum(steps[a:b]) / (b - a)
        means = [sum(row) / len(row) for row in values[a:b]]
        middle.append((step, sum(means) / len(means)))
        low.append((step, min(map(min, values[a:b]))))
        high.append((step, max(map(max, values[a:b]))))
    return middle, low, high


def rows(comparison: Comparison, measure: Measure) -> list[Row]:
    """A row for each group that has the measure."""
    factor = 100.0 if measure.percent else 1.0
    found = []
    for i, group in enumerate(comparison.groups):
        statistic = group.statistics.get(measure.name)
        if statistic is None:
            continue
        values = [
            (run.name, value * factor)
            for run, value in zip(group.runs, statistic.values, strict=True)
            if value is not None
        ]
        text = figure_of(statistic, measure)
        found.append(Row(group.label, values, statistic.mean * factor, text, line_style(i)[0]))
    return found


def described(comparison: Comparison) -> str:
    """The picture in words."""
    measures = [m for m in comparison.measures if m not in (STEPS, MINUTES)]
    parts = []
    for measure in measures[:2]:
        texts = [
            f"{group.label} {figure_of(group.statistics[measure.name], measure)}"
            for group in comparison.groups
            if measure.name in group.statistics
        ]
        parts.append(f"{measure.name}: {', '.join(texts)}")
    return ". ".join(parts) or "no measure"
