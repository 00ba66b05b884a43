"""Panels of a figure: curves over the steps, dots in rows, a reliability diagram."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from disentangle.apps.charts import short, ticks
from disentangle.apps.figure import Area, Dot, Path, Point, Shape, Text, box

GAP = 14
"""Least distance, in pixels, from the baseline of one line's name to the next."""

FEW = 10
"""Answers below which a bin of the reliability diagram is pale: their accuracy is mostly chance."""


@dataclass(frozen=True)
class Series:
    """A line of a curve panel, with a band around it.

    Attributes:
        name: written at its end.
        points: ``(step, value)``, rising in step.
        low: ``(step, value)`` of the band's lower edge; empty for no band.
        high: of its upper edge.
        ink: its colour.
        dash: its dashes.
    """

    name: str
    points: Sequence[Point]
    low: Sequence[Point] = ()
    high: Sequence[Point] = ()
    ink: str = "accent"
    dash: Sequence[float] = ()


@dataclass(frozen=True)
class Row:
    """A row of a dot panel: every run's value, and their mean.

    Attributes:
        name: written before it.
        values: of the runs, with their names.
        mean: of the group.
        text: the mean in words.
        ink: its colour.
    """

    name: str
    values: Sequence[tuple[str, float]]
    mean: float
    text: str
    ink: str


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels along one axis.

    Attributes:
        low: value at ``start``.
        high: value at ``end``.
        start: pixel.
        end: pixel.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @staticmethod
    def over(values: Sequence[float], start: float, end: float, margin: float = 0.0) -> "Scale":
        """From the least to the greatest of ``values``, and ``margin`` of that range beyond on both sides."""
        low, high = min(values), max(values)
        pad = margin * (high - low) if high > low else abs(low) * 0.1 or 1.0
        return Scale(low - pad, high + pad, start, end)


def curve_panel(
    title: str, series: Sequence[Series], x: float, y: float, width: float, height: float, right: float
) -> list[Shape]:
    """Lines over the steps, each with its name at its end.

    Args:
        title: above the panel.
        series: at least one, each with at least one point.
        x: left edge of the panel, words included.
        y: its upper edge.
        width: of all of it.
        height: of all of it.
        right: width that is left for the names.
    """
    left, top, bottom = x + 40, y + 28, y + height - 30
    edge = x + width - right
    every = [point for line in series for point in (*line.points, *line.low, *line.high)]
    across = Scale.over([step for step, _ in every], left, edge)
    down = Scale.over([value for _, value in every], bottom, top, margin=0.04)
    shapes: list[Shape] = [Text(x, y + 12, title, "ink", 13, bold=True)]
    for value in ticks(down.low, down.high, least=4):
        shapes.append(Path([(left, down(value)), (edge, down(value))], "line", 1))
        shapes.append(Text(left - 7, down(value) + 4, short(value), anchor="end"))
    for value in ticks(across.low, across.high, least=4):
        shapes.append(Text(across(value), bottom + 17, short(value), anchor="middle"))
    shapes.append(Text(edge, bottom + 30, "step", anchor="end"))
    for line in series:
        band = [*line.high, *reversed(line.low)]
        if len(band) > 2:
            shapes.append(Area([(across(a), down(b)) for a, b in band], line.ink, 0.16))
    for line in series:
        path = [(across(a), down(b)) for a, b in line.points]
        shapes.append(Path(path, line.ink, 1.75, line.dash, title=line.name))
    ends = [down(line.points[-1][1]) for line in series]
    for line, end, place in zip(series, ends, spread(ends, GAP, top, bottom), strict=True):
        start = across(line.points[-1][0])
        shapes.append(Dot(start, end, 2, line.ink))
        # Dotted, so that the way to a name is not taken for values of a run that was shorter than others.
        shapes.append(Path([(start + 4, end), (edge + 10, place)], line.ink, 1, (1.5, 3)))
        shapes.append(Dot(edge + 10, place, 3, line.ink))
        shapes.append(Text(edge + 18, place + 4, line.name, "ink", 11.5))
    return shapes


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near ``wanted``, in the same order, at least ``gap`` apart, in ``[low, high]`` as far as they fit.

    Neighbours that would overlap are put as a block around the mean of their wanted places.
    """
    blocks: list[tuple[list[int], float]] = []
    for i in sorted(range(len(wanted)), key=lambda i: wanted[i]):
        members = [i]
        while True:
            half = (len(members) - 1) * gap / 2
            centre = sum(wanted[j] for j in members) / len(members)
            centre = max(low + half, min(high - half, centre))
            if not blocks or centre - half >= blocks[-1][1] + (len(blocks[-1][0]) + 1) * gap / 2:
                break
            members = blocks.pop()[0] + members
        blocks.append((members, centre))
    places = [0.0] * len(wanted)
    for members, centre in blocks:
        for k, i in enumerate(members):
            places[i] = centre + (k - (len(members) - 1) / 2) * gap
    return places


def dot_panel(
    title: str, rows: Sequence[Row], x: float, y: float, width: float, left: float, right: float = 96
) -> tuple[list[Shape], float]:
    """A row for each group: a dot for every run, a stroke for their mean, and the mean in words.

    Args:
        title: above the panel.
        rows: at least one, each with at least one value.
        x: left edge.
        y: upper edge.
        width: of all of it.
        left: width for the rows' names.
        right: width for the means in words.

    Returns:
        The shapes, and how high the panel is.
    """
    pitch = 20
    start, end, top = x + left, x + width - right, y + 24
    across = Scale.over([value for row in rows for _, value in row.values], start + 6, end - 6, margin=0.03)
    bottom = top + pitch * len(rows)
    shapes: list[Shape] = [Text(x, y + 12, title, "ink", 13, bold=True)]
    for value in ticks(across.low, across.high):
        shapes.append(Path([(across(value), top), (across(value), bottom)], "line", 1))
        shapes.append(Text(across(value), bottom + 14, short(value), anchor="middle"))
    for i, row in enumerate(rows):
        middle = top + (i + 0.5) * pitch
        shapes.append(Text(start - 8, middle + 4, row.name, "ink", 11.5, "end"))
        shapes += [
            Dot(across(value), middle, 3.5, row.ink, 0.75, f"{name}: {short(value)}") for name, value in row.values
        ]
        shapes.append(Path([(across(row.mean), middle - 7), (across(row.mean), middle + 7)], row.ink, 2))
        shapes.append(Text(x + width, middle + 4, row.text, "ink", 11.5, "end"))
    return shapes, bottom + 22 - y


def reliability_panel(
    edges: Sequence[float], counts: Sequence[int], confidence: Sequence[float], accuracy: Sequence[float]
) -> list[Shape]:
    """A reliability diagram, 320 by 330: a bar for each bin of confidence, as high as its answers are right, beside the
    diagonal on which it would end if it were calibrated; below it how many answers each bin has."""
    across, down = Scale(0, 1, 40, 312), Scale(0, 1, 246, 8)
    floor, tall = 316.0, 34.0
    most = max(counts)
    shapes: list[Shape] = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        shapes.append(Path([(across(0), down(value)), (across(1), down(value))], "line", 1))
        shapes.append(Text(34, down(value) + 4, f"{value:.0%}", anchor="end"))
        shapes.append(Text(across(value), down(0) + 16, f"{value:.0%}", anchor="end" if value == 1 else "middle"))
    for low, high, count, sure, right in zip(edges[:-1], edges[1:], counts, confidence, accuracy, strict=True):
        if not count:
            continue
        x, wide = across(low) + 1, across(high) - across(low) - 2
        title = f"{count:,} answers, {sure:.1%} sure on average, {right:.1%} right"
        faint = 0.85 if count >= FEW else 0.35
        shapes.append(Area(box(x, down(right), wide, down(0) - down(right)), "accent", faint, title))
        shapes.append(Path([(x, down(sure)), (x + wide, down(sure))], "ink", 2, title=title))
        height = max(1.0, tall * math.sqrt(count / most))
        shapes.append(Area(box(x, floor - height, wide, height), "bar", title=f"{count:,} answers"))
    shapes.append(Path([(across(0), down(0)), (across(1), down(1))], "quiet", 1, (4, 4)))
    shapes.append(Text(across(0), floor + 13, "below: answers in each bin (areas by their square root)", size=10))
    return shapes
