"""Figures of lines, areas, dots and words, written as SVG (light and dark) and, for those who cannot show it, as PNG.

A figure is a list of shapes in pixels whose colours have names; what a name looks like is the theme's business. The
themes are those of ``page.html.jinja``, and the colours of lines keep apart under every kind of colour blindness: in
CIELAB at least 20 from each other, and at least 3 : 1 in contrast to the paper.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from markupsafe import Markup, escape
from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]

LIGHT = {
    "paper": "#fbfaf7",
    "ink": "#1d2327",
    "quiet": "#5d676d",
    "line": "#e2dfd8",
    "bar": "#b9bfc1",
    "accent": "#0c6e72",
    "c1": "#5d676d",
    "c2": "#2e2e74",
    "c3": "#90521a",
    "c4": "#18a35c",
    "c5": "#c96fba",
    "c6": "#a68f00",
    "c7": "#717afe",
    "c8": "#84002e",
}
DARK = {
    "paper": "#14181b",
    "ink": "#e6e9ea",
    "quiet": "#9aa5ab",
    "line": "#2d343a",
    "bar": "#566067",
    "accent": "#5cc8c2",
    "c1": "#c3cbcf",
    "c2": "#3881f3",
    "c3": "#e59716",
    "c4": "#2ada8f",
    "c5": "#b67fb2",
    "c6": "#ffde75",
    "c7": "#9fccff",
    "c8": "#ba4e48",
}
COLOURS = 8
"""How many colours lines have, ``c1`` to ``c8``."""

DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 3), (8, 3, 2, 3))
"""Lines beyond the eighth take the colours again, dashed."""

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

PLAIN = str.maketrans({"−": "-", "→": ">", "–": "-", "·": "|", "κ": "kappa", "₁": "1", "₀": "0", "±": "+-", "…": "..."})
"""What Pillow's own font lacks, for machines without DejaVu."""


@dataclass(frozen=True)
class Path:
    """A line through ``points``; one point is a dot as wide as the line."""

    points: Sequence[Point]
    ink: str = "ink"
    width: float = 1.5
    dash: Sequence[float] = ()
    title: str = ""


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    ink: str
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Dot:
    """A disc around ``x, y``."""

    x: float
    y: float
    radius: float
    ink: str
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Text:
    """Words whose baseline starts, is centred or ends (``anchor``) at ``x, y``."""

    x: float
    y: float
    words: str
    ink: str = "quiet"
    size: float = 11
    anchor: str = "start"
    bold: bool = False


Shape = Path | Area | Dot | Text


@dataclass(frozen=True)
class Figure:
    """Shapes on a sheet, the later ones above the earlier.

    Attributes:
        width: in pixels.
        height: in pixels.
        label: what is to be seen, for readers who cannot see it.
        shapes: what is drawn.
    """

    width: float
    height: float
    label: str
    shapes: list[Shape] = field(default_factory=list)


def line_style(index: int) -> tuple[str, tuple[float, ...]]:
    """Colour and dashes of the line number ``index``, counted from 0."""
    return f"c{index % COLOURS + 1}", DASHES[index // COLOURS % len(DASHES)]


def box(x: float, y: float, width: float, height: float) -> list[Point]:
    """The corners of a rectangle."""
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def svg(figure: Figure, *, alone: bool = False) -> Markup:
    """The figure as an SVG element; everything in it is escaped.

    Args:
        figure: what to draw.
        alone: as a file of its own, on paper, instead of part of a page.
    """
    size = f"{figure.width:g} {figure.height:g}"
    paper = [Area(box(0, 0, figure.width, figure.height), "paper")] if alone else []
    shapes = "\n".join(_element(shape) for shape in (*paper, *figure.shapes))
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    measures = (
        f' width="{figure.width:g}" height="{figure.height:g}"' if alone else f' style="width:{figure.width:g}px"'
    )
    return Markup(
        f'<svg{space} class="figure" viewBox="0 0 {size}"{measures} role="img" aria-label="{escape(figure.label)}">'
        f"<style>{STYLE}</style>\n{shapes}\n</svg>\n"
    )


def _variables(theme: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in theme.items())


STYLE = (
    f".figure,.inks{{{_variables(LIGHT)}}}"
    f"@media (prefers-color-scheme:dark){{.figure,.inks{{{_variables(DARK)}}}}}"
    f"@media print{{.figure,.inks{{{_variables(LIGHT)}}}}}"
    f".figure text{{font-family:{FONT};font-variant-numeric:tabular-nums}}"
)


def _element(shape: Shape) -> str:
    if isinstance(shape, Text):
        weight = ' font-weight="650"' if shape.bold else ""
        look = f'font-size="{shape.size:g}" text-anchor="{shape.anchor}"{weight} style="fill:var(--{shape.ink})"'
        return f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" {look}>{escape(shape.words)}</text>'
    title = f"<title>{escape(shape.title)}</title>" if shape.title else ""
    if isinstance(shape, Dot):
        where = f'cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}"'
        return f'<circle {where} style="fill:var(--{shape.ink});opacity:{shape.opacity:g}">{title}</circle>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    if isinstance(shape, Area):
        return f'<polygon points="{points}" style="fill:var(--{shape.ink});opacity:{shape.opacity:g}">{title}</polygon>'
    points = f"{points} {points}" if len(shape.points) == 1 else points  # its round cap shows
    dash = f";stroke-dasharray:{','.join(f'{d:g}' for d in shape.dash)}" if shape.dash else ""
    look = (
        f"fill:none;stroke:var(--{shape.ink});stroke-width:{shape.width:g};stroke-linejoin:round;stroke-linecap:round"
    )
    return f'<polyline points="{points}" style="{look}{dash}">{title}</polyline>'


def png(figure: Figure, scale: int = 2, fine: int = 2) -> Image.Image:
    """The figure in the light theme, ``scale`` pixels to each of its own; drawn ``fine`` times larger and shrunk."""
    k = scale * fine
    size = (round(figure.width * k), round(figure.height * k))
    sheet = Image.new("RGB", size, LIGHT["paper"])
    for shape in figure.shapes:
        opacity = 1.0 if isinstance(shape, Path | Text) else shape.opacity
        if opacity == 1:
            _paint(ImageDraw.Draw(sheet), shape, k)
        else:
            layer = sheet.copy()
            _paint(ImageDraw.Draw(layer), shape, k)
            sheet = Image.blend(sheet, layer, opacity)
    return sheet.resize((size[0] // fine, size[1] // fine), Image.Resampling.LANCZOS)


def _paint(draw: ImageDraw.ImageDraw, shape: Shape, k: float) -> None:
    colour = LIGHT[shape.ink]
    if isinstance(shape, Text):
        font, words = _font(shape, k)
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
        draw.text((shape.x * k, shape.y * k), words, fill=colour, font=font, anchor=anchor)
    elif isinstance(shape, Dot):
        _disc(draw, shape.x * k, shape.y * k, shape.radius * k, colour)
    elif isinstance(shape, Area):
        draw.polygon([(x * k, y * k) for x, y in shape.points], fill=colour)
    else:
        width = shape.width * k
        for piece in _dashed(shape.points, shape.dash):
            scaled = [(x * k, y * k) for x, y in piece]
            draw.line(scaled, fill=colour, width=max(1, round(width)), joint="curve")
            for x, y in (scaled[0], scaled[-1]):
                _disc(draw, x, y, width / 2, colour)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: str) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _font(text: Text, k: float) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, str]:
    name = "DejaVuSans-Bold.ttf" if text.bold else "DejaVuSans.ttf"
    try:
        return ImageFont.truetype(name, 0.92 * text.size * k), text.words  # it is a wide font
    except OSError:
        return ImageFont.load_default(text.size * k), text.words.translate(PLAIN)


def _dashed(points: Sequence[Point], dash: Sequence[float]) -> list[list[Point]]:
    """The pieces of a line that are drawn: all of it, or by turns the dashes and not the gaps."""
    if not dash or len(points) == 1:
        return [list(points)]
    pieces, drawn, left, turn = [[points[0]]], True, dash[0], 0
    for (x0, y0), (x1, y1) in pairwise(points):
        length, done = math.hypot(x1 - x0, y1 - y0), 0.0
        while length - done > left:
            done += left
            here = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length)
            if drawn:
                pieces[-1].append(here)
            else:
                pieces.append([here])
            drawn, turn = not drawn, turn + 1
            left = dash[turn % len(dash)]
        left -= length - done
        if drawn:
            pieces[-1].append((x1, y1))
    return [piece for piece in pieces if len(piece) > 1]
