"""Small charts for a page without scripts: curves as inline SVG, bars and matrices as HTML tables.

Their classes and colours are those of ``report.html.jinja``, so that they follow its light and dark themes. Everything
that came from outside is escaped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 300, 132
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 20


def number(value: float) -> str:
    """A number for a reader: about three significant digits, thousands without an exponent, a real minus sign."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        text = f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return text.replace("-", "−")


def short(value: float) -> str:
    """A round number on an axis: no more digits than it needs."""
    return number(value) if abs(value) >= 1e5 else f"{value:,.6g}".replace("-", "−")


def ticks(low: float, high: float, about: int = 3) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside ``[low, high]``, roughly ``about`` of them."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    rough = span / about
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next((m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough), 10 * magnitude)
    first = math.ceil(low / step - 1e-9)
    values = [i * step for i in range(first, first + 20)]
    return [0.0 if abs(v) < step * 1e-9 else v for v in values if v <= high + step * 1e-9]


def thin(points: Sequence[tuple[float, float]], limit: int = 240) -> list[tuple[float, float]]:
    """At most ``limit`` points: means of equal runs of neighbours, so that a long, noisy curve stays readable."""
    if len(points) <= limit:
        return list(points)
    edges = [round(i * len(points) / limit) for i in range(limit + 1)]
    runs = [points[a:b] for a, b in pairwise(edges)]
    return [(math.fsum(x for x, _ in run) / len(run), math.fsum(y for _, y in run) / len(run)) for run in runs]


def curve(title: str, points: Sequence[tuple[float, float]]) -> Markup:
    """One scalar over the steps of a training: an SVG line chart with round ticks.

    Args:
        title: name of the scalar, for readers who cannot see the picture.
        points: ``(step, value)``; points that are not finite are left out. One point is drawn as a dot.
    """
    finite = thin([(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)])
    if not finite:
        return Markup('<p class="quiet">no finite value was recorded</p>')
    (x0, x1), (y0, y1) = _range([x for x, _ in finite]), _range([y for _, y in finite])

    def across(x: float) -> float:
        return LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return TOP + (y1 - y) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for value in ticks(y0, y1):
        parts.append(f'<path class="rule" d="M{LEFT} {down(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{down(value) + 3.5:.1f}" text-anchor="end">{short(value)}</text>')
    for value in ticks(x0, x1):
        anchor = "end" if across(value) > WIDTH - 24 else "middle"
        parts.append(f'<text x="{across(value):.1f}" y="{HEIGHT - 4}" text-anchor="{anchor}">{short(value)}</text>')
    if len(finite) == 1:
        parts.append(f'<circle class="dot" cx="{across(finite[0][0]):.1f}" cy="{down(finite[0][1]):.1f}" r="2.5"/>')
    else:
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in finite)
        parts.append(f'<polyline class="curve" points="{path}"/>')
    label = escape(f"{title}: from {number(finite[0][1])} to {number(finite[-1][1])}")
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class Bar:
    """One line of a bar chart: ``low … high`` is an interval around ``value``, drawn as a whisker."""

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    main: bool = False


def bars(rows: Sequence[Bar], high: float) -> Markup:
    """Horizontal bars from 0 to ``high`` with their names and values: a score among its reference points."""

    def across(x: float) -> float:
        return 100.0 * min(1.0, max(0.0, x / high)) if high > 0 else 0.0

    lines = []
    for row in rows:
        whisker = ""
        if row.low is not None and row.high is not None:
            left, right = across(row.low), across(row.high)
            whisker = f'<i class="whisker" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        lines.append(
            f'<tr{" class=main" if row.main else ""}><th scope="row">{escape(row.name)}</th><td class="track">'
            f'<span><i class="bar" style="width:{across(row.value):.2f}%"></i>{whisker}</span></td>'
            f"<td>{escape(row.text)}</td></tr>"
        )
    return Markup(f'<table class="bars"><tbody>{"".join(lines)}</tbody></table>')


def columns(names: Sequence[str], values: Sequence[float], lit: Sequence[bool], unit: str) -> Markup:
    """Upright bars, one a code, those of ``lit`` in the accent: an SVG of fixed height."""
    top = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    pitch, height, floor = 28, 96, 78
    parts = []
    for i, (name, value, on) in enumerate(zip(names, values, lit, strict=True)):
        tall = max(0.5, min(1.0, value / top) * (floor - 14))
        parts.append(
            f'<rect class="{"lit" if on else "off"}" x="{i * pitch + 4}" y="{floor - tall:.1f}" width="{pitch - 8}" '
            f'height="{tall:.1f}" rx="1.5"><title>{escape(name)}: {number(value)}</title></rect>'
            f'<text x="{(i + 0.5) * pitch:g}" y="{floor + 13}" text-anchor="middle">{escape(name)}</text>'
            f'<text x="{(i + 0.5) * pitch:g}" y="{floor - tall - 3:.1f}" text-anchor="middle">{value:.1f}</text>'
        )
    width = pitch * len(names)
    label = escape(f"{unit} of each code, the largest {number(top)}")
    return Markup(
        f'<div class="wide"><svg class="chart" viewBox="0 0 {width} {height}" style="width:{width}px" '
        f'role="img" aria-label="{label}">{"".join(parts)}</svg></div>'
    )


@dataclass(frozen=True)
class Matrix:
    """A table of numbers with names: what each factor has to do with each code.

    Attributes:
        rows: names of the rows, ``k`` of them.
        columns: names of the columns, ``d`` of them.
        values: ``k`` rows of ``d`` finite numbers, none negative.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]

    def arranged(self, floor: float = 0.02, limit: int = 24) -> "Matrix":
        """Columns in the order of the row they have most to do with, strongest first: one to one shows as a diagonal.

        Columns whose largest value is below ``floor`` of the matrix's largest are left out, and so are the weakest beyond
        ``limit``.
        """
        peak = [max(row[j] for row in self.values) for j in range(len(self.columns))]
        owner = [max(range(len(self.rows)), key=lambda i: self.values[i][j]) for j in range(len(self.columns))]
        top = max(peak, default=0.0)
        kept = [j for j in range(len(self.columns)) if peak[j] > 0 and peak[j] >= floor * top]
        kept = sorted(kept, key=lambda j: -peak[j])[:limit]
        order = sorted(kept, key=lambda j: (owner[j], -peak[j], j))
        return Matrix(self.rows, [self.columns[j] for j in order], [[row[j] for j in order] for row in self.values])


def heatmap(matrix: Matrix, caption: str) -> Markup:
    """The matrix as a table, each cell shaded by its share of the largest value, its number readable on every shade."""
    top = max((value for row in matrix.values for value in row), default=0.0) or 1.0
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in matrix.columns)
    body = []
    for name, row in zip(matrix.rows, matrix.values, strict=True):
        cells = "".join(_cell(value, value / top) for value in row)
        body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return Markup(
        f'<div class="wide"><table class="heat"><caption>{escape(caption)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(value: float, share: float) -> str:
    # Text turns to the paper's colour where the shade is dark enough for it: both sides keep a contrast above 4.5 : 1.
    ink = ' class="on"' if share > 0.62 else ""
    return f'<td{ink} style="--share:{100 * share:.0f}%">{value:.2f}</td>'


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    return low, high
