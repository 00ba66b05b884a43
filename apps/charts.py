"""Small charts for a page without scripts: curves as inline SVG, bars and matrices as HTML tables.

Their classes and colours are those of ``report.html.jinja``, so that they follow its light and dark themes. Everything
that came from outside is escaped.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 300, 132
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 20

FLIP_LIGHT, FLIP_DARK = 0.87, 0.49
"""Shades above which a cell's text changes colour, in the light and in the dark theme, so that the contrast of text and
shade is above 4.5 : 1 everywhere."""


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


def ticks(low: float, high: float, least: int = 3) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) in ``[low, high]``, at least ``least`` and not many more."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    magnitude = 10.0 ** math.floor(math.log10(span / least))
    values: list[float] = []
    for step in (10 * magnitude, 5 * magnitude, 2 * magnitude, magnitude):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        values = [i * step for i in range(first, last + 1)]
        if len(values) >= least:
            break
    return values


def thin(points: Sequence[tuple[float, float]], limit: int = 240) -> list[tuple[float, float]]:
    """At most ``limit`` points: means of equal runs of neighbours, so that a long, noisy curve stays readable."""
    if len(points) <= limit:
        return list(points)
    edges = [round(i * len(points) / limit) for i in range(limit + 1)]
    runs = [points[a:b] for a, b in pairwise(edges)]
    return [(math.fsum(x for x, _ in run) / len(run), math.fsum(y for _, y in run) / len(run)) for run in runs]


def curves(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> Markup:
    """Scalars over the steps of a training: an SVG line chart with round ticks, the first line the boldest.

    Args:
        title: what is drawn, for readers who cannot see it.
        lines: name -> ``(step, value)``; points that are not finite are left out. A single point is drawn as a dot.
    """
    finite = {
        name: thin([(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)])
        for name, points in lines.items()
    }
    every = [point for points in finite.values() for point in points]
    if not every:
        return Markup('<p class="quiet">no finite value was recorded</p>')
    (x0, x1), (y0, y1) = _range([x for x, _ in every]), _range([y for _, y in every])

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
    for i, (name, points) in enumerate(finite.items()):
        faint = 1 - 0.75 * i / max(1, len(finite) - 1) if len(finite) > 1 else 1
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
        # A line of one point would not show: its round cap does.
        path = path if len(points) != 1 else f"{path} {path}"
        shape = f'<polyline class="curve" style="opacity:{faint:.2f}" points="{path}">'
        parts.append(f"{shape}<title>{escape(name)}</title></polyline>")
    ends = "; ".join(f"{n} from {number(p[0][1])} to {number(p[-1][1])}" for n, p in finite.items() if p)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {ends}")}">'
        f"{''.join(parts)}</svg>"
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


def columns(names: Sequence[str], values: Sequence[float], lit: Sequence[bool], unit: str, digits: int = 1) -> Markup:
    """Upright bars, one a code, those of ``lit`` in the accent: an SVG of fixed height. What is negative has no bar."""
    top = max((value for value in values if math.isfinite(value) and value > 0), default=1.0)
    # As wide as the longest name needs, of letters about 6 pixels wide.
    pitch, height, floor = max(34, 6 * max(map(len, names), default=0) + 10), 96, 78
    parts = []
    for i, (name, value, on) in enumerate(zip(names, values, lit, strict=True)):
        tall = max(0.5, min(1.0, value / top) * (floor - 14))
        text = f"{value:.{digits}f}".replace("-", "−")
        parts.append(
            f'<rect class="{"lit" if on else "off"}" x="{(i + 0.5) * pitch - 13:g}" y="{floor - tall:.1f}" width="26" '
            f'height="{tall:.1f}" rx="1.5"><title>{escape(name)}: {number(value)}</title></rect>'
            f'<text x="{(i + 0.5) * pitch:g}" y="{floor + 13}" text-anchor="middle">{escape(name)}</text>'
            f'<text x="{(i + 0.5) * pitch:g}" y="{floor - tall - 3:.1f}" text-anchor="middle">{text}</text>'
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

    def order(self, floor: float = 0.02, limit: int = 24) -> list[int]:
        """Columns by the row they have most to do with, the strongest first: one to one then shows as a diagonal.

        Columns whose largest value is below ``floor`` of the matrix's largest are left out, and so are the weakest
        beyond ``limit``.
        """
        peaks = [max(column) for column in zip(*self.values, strict=True)]
        owners = [column.index(peak) for column, peak in zip(zip(*self.values, strict=True), peaks, strict=True)]
        kept = [j for j, peak in enumerate(peaks) if peak > 0 and peak >= floor * max(peaks)]
        strongest = sorted(kept, key=lambda j: -peaks[j])[:limit]
        return sorted(strongest, key=lambda j: (owners[j], -peaks[j]))

    def take(self, order: Sequence[int]) -> "Matrix":
        """Only these columns, in this order."""
        return Matrix(self.rows, [self.columns[j] for j in order], [[row[j] for j in order] for row in self.values])


def heatmap(matrix: Matrix, caption: str, texts: Sequence[Sequence[str]] | None = None) -> Markup:
    """The matrix, of values from 0 to 1, as a table; each cell is shaded by its value, and shows it or its text."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in matrix.columns)
    body = []
    words = texts or [[f"{value:.2f}" for value in row] for row in matrix.values]
    for name, row, said in zip(matrix.rows, matrix.values, words, strict=True):
        cells = "".join(_cell(value, text) for value, text in zip(row, said, strict=True))
        body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return Markup(
        f'<figure><figcaption>{escape(caption)}</figcaption><div class="wide">'
        f'<table class="heat" aria-label="{escape(caption)}">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div></figure>"
    )


def shade(value: float) -> float:
    """How dark a value is drawn, both from 0 to 1: small values are lifted, so that they can be told from none."""
    return float(min(1.0, max(0.0, value)) ** 0.7)


def _cell(value: float, text: str) -> str:
    flips = ("fl " if shade(value) > FLIP_LIGHT else "") + ("fd" if shade(value) > FLIP_DARK else "")
    return f'<td class="{flips}" style="--share:{100 * shade(value):.0f}%">{escape(text)}</td>'


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin
    return low, high
