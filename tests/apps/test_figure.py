"""Figures: the same shapes as SVG and as PNG, in colours that everybody can tell apart."""

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageFont

from disentangle.apps import figure as figure_module
from disentangle.apps.figure import DARK, LIGHT, Area, Dot, Figure, Text, _dashed, box, line_style, png, svg
from disentangle.apps.figure import Path as Line
from disentangle.apps.panels import Row, Scale, Series, curve_panel, dot_panel, reliability_panel, spread

NASTY = "<b onload='x'>&"

# Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009.
VISION = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> NDArray[np.float64]:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(values: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = TO_XYZ @ values.clip(0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_lines_are_told_apart_by_everybody(theme: dict[str, str], vision: str) -> None:
    colours = [lab(VISION[vision] @ linear(theme[f"c{i}"])) for i in range(1, 9)]
    assert min(np.linalg.norm(a - b) for a, b in combinations(colours, 2)) > 20


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_stand_out_from_the_paper(theme: dict[str, str]) -> None:
    for name in ("ink", "quiet", "accent", *(f"c{i}" for i in range(1, 9))):
        low, high = sorted(float(TO_XYZ[1] @ linear(theme[key])) for key in (name, "paper"))
        assert (high + 0.05) / (low + 0.05) >= (4.5 if name in ("ink", "quiet") else 3), name


def test_the_themes_are_the_pages() -> None:
    page = (Path(figure_module.__file__).parent / "page.html.jinja").read_text()
    blocks = [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in re.findall(r":root \{([^}]+)\}", page)]
    for theme, block in zip((LIGHT, DARK), blocks):
        for name in ("paper", "ink", "quiet", "line", "bar", "accent"):
            assert theme[name] == block[name]


def test_lines_beyond_the_eighth_are_dashed() -> None:
    styles = [line_style(i) for i in range(24)]
    assert len(set(styles)) == 24
    assert styles[0] == ("c1", ())
    assert styles[9][0] == "c2"
    assert styles[9][1] != ()


SHAPES = [
    Area(box(10, 10, 20, 20), "c3", title=NASTY),
    Line([(5, 50), (55, 50)], "c5", 4),
    Dot(50, 15, 4, "c8"),
    Text(5, 35, NASTY),
]


def test_an_svg_is_whole_and_escaped() -> None:
    text = str(svg(Figure(60, 60, NASTY, list(SHAPES)), alone=True))
    root = ElementTree.fromstring(text)  # raises where it is not well formed
    tags = [element.tag.rpartition("}")[2] for element in root]
    assert tags == ["style", "polygon", "polygon", "polyline", "circle", "text"]
    assert root.attrib["aria-label"] == NASTY
    assert root[-1].text == NASTY
    assert "<b " not in text
    assert root.attrib["width"] == "60"
    inline = str(svg(Figure(60, 60, "x", list(SHAPES))))
    assert "xmlns" not in inline
    assert inline.count("<polygon") == 1  # no paper: the page has its own


def test_every_ink_has_a_colour() -> None:
    names = set(re.findall(r"var\(--([\w-]+)\)", str(svg(Figure(9, 9, "", list(SHAPES)), alone=True))))
    assert names <= LIGHT.keys() & DARK.keys()
    assert LIGHT.keys() == DARK.keys()


def test_a_png_has_the_shapes_where_the_svg_has_them() -> None:
    picture = png(Figure(60, 60, "", list(SHAPES)))
    assert picture.size == (120, 120)
    expected = {(40, 40): "c3", (60, 100): "c5", (100, 30): "c8", (2, 2): "paper"}
    for place, ink in expected.items():
        assert "#{:02x}{:02x}{:02x}".format(*picture.getpixel(place)) == LIGHT[ink]
    faint = png(Figure(60, 60, "", [Area(box(0, 0, 60, 60), "c2", 0.5)]))
    middle = [round((int(LIGHT["paper"][i : i + 2], 16) + int(LIGHT["c2"][i : i + 2], 16)) / 2) for i in (1, 3, 5)]
    assert faint.getpixel((60, 60)) == pytest.approx(middle, abs=2)


def test_a_png_needs_no_font_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ImageFont.truetype

    def missing(font: object, *arguments: Any, **options: Any) -> object:
        if isinstance(font, str):
            raise OSError("cannot open resource")
        return real(font, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageFont, "truetype", missing)
    picture = png(Figure(80, 20, "", [Text(4, 14, "log₁₀ κ −3 ± 1")]))
    assert np.asarray(picture).std() > 5


def test_dashes() -> None:
    pieces = _dashed([(0, 0), (10, 0), (10, 10)], (4, 3))
    assert pieces == [[(0, 0), (4, 0)], [(7, 0), (10, 0), (10, 1)], [(10, 4), (10, 8)]]
    assert _dashed([(0, 0), (10, 0)], ()) == [[(0, 0), (10, 0)]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([10, 50, 90], [10, 50, 90]),
        ([50, 50], [45, 55]),
        ([50, 52, 48], [50, 60, 40]),
        ([0, 0], [0, 10]),
        ([100, 98], [100, 90]),
        ([44, 52, 54, 90], [40, 50, 60, 90]),
    ],
)
def test_names_are_spread(wanted: list[float], expected: list[float]) -> None:
    assert spread(wanted, 10, 0, 100) == pytest.approx(expected)


def test_crowded_names_never_overlap_and_keep_their_order() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        wanted = list(draw.uniform(0, 100, 9))
        places = spread(wanted, 10, 0, 100)
        order = np.argsort(wanted)
        assert all(b - a >= 10 - 1e-9 for a, b in pairwise(np.array(places)[order]))
        assert min(places) >= -1e-9
        assert max(places) <= 100 + 1e-9


def test_a_scale_is_linear_and_wide_enough_for_one_value() -> None:
    scale = Scale.over([1, 3], 0, 100)
    assert [scale(1), scale(2), scale(3)] == [0, 50, 100]
    assert Scale.over([5], 0, 100)(5) == 50
    assert Scale.over([0, 0], 0, 100)(0) == 50


def test_the_curve_panel_puts_points_where_they_belong() -> None:
    banded = Series("b", [(0, 4), (10, 4)], [(0, 3), (10, 4)], [(0, 5), (10, 4)], "c2")
    lines = [Series("a", [(0, 0), (10, 4)], ink="c1"), banded]
    shapes = curve_panel("title", lines, 0, 0, 500, 300, 100)
    first, second = (shape for shape in shapes if isinstance(shape, Line) and shape.title)
    assert first.points[1] == second.points[1]
    assert first.points[0][1] > second.points[0][1]  # smaller values are lower
    assert first.points[1][0] == 400
    assert sum(isinstance(shape, Area) for shape in shapes) == 1
    names = {shape.words: shape.y for shape in shapes if isinstance(shape, Text)}
    assert abs(names["a"] - names["b"]) >= 14
    assert "title" in names


def test_the_dot_panel_has_every_run() -> None:
    rows = [Row("a", [("r1", 1.0), ("r2", 3.0)], 2.0, "2 ± 1", "c1"), Row("b", [("r3", 3.0)], 3.0, "3", "c2")]
    shapes, height = dot_panel("title", rows, 0, 0, 400, 80)
    dots = [shape for shape in shapes if isinstance(shape, Dot)]
    assert [dot.title for dot in dots] == ["r1: 1", "r2: 3", "r3: 3"]
    assert dots[1].x == dots[2].x > dots[0].x
    means = [shape for shape in shapes if isinstance(shape, Line) and shape.ink == "c1"]
    assert means[0].points[0][0] == pytest.approx((dots[0].x + dots[1].x) / 2)
    assert height > dots[2].y


def test_the_reliability_panel_leaves_empty_bins_out() -> None:
    shapes = reliability_panel([0, 0.5, 1], [0, 40], [0, 0.8], [0, 0.6])
    bars = [shape for shape in shapes if isinstance(shape, Area) and shape.ink == "accent"]
    assert len(bars) == 1
    top, bottom = bars[0].points[0][1], bars[0].points[2][1]
    assert (bottom - top) / (246 - 8) == pytest.approx(0.6)
    assert "80.0% sure on average, 60.0% right" in bars[0].title
    few = reliability_panel([0, 1], [9], [0.5], [1])
    assert next(shape.opacity for shape in few if isinstance(shape, Area)) < bars[0].opacity
