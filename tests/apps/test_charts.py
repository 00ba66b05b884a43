"""Charts draw the numbers that they are given, readably."""

import re
from pathlib import Path

import pytest
from markupsafe import Markup

from disentangle.apps import charts
from disentangle.apps.charts import Bar, Matrix, bars, columns, curves, heatmap, number, shade, short, thin, ticks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.12345, "0.123"),
        (0.0374, "0.0374"),
        (12.345, "12.3"),
        (1234.5, "1,234"),
        (-2.5, "−2.50"),
        (1.2e-5, "1.2e−5"),
        (-3.4e7, "−3.4e7"),
    ],
)
def test_numbers_for_readers(value: float, text: str) -> None:
    assert number(value) == text


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 10) == [0, 5, 10]
    assert ticks(-0.3, 0.31) == pytest.approx([-0.2, 0, 0.2])
    assert ticks(3, 3) == [3]
    for low, high in ((0.013, 0.97), (-5e6, 3), (1e-9, 2e-9)):
        values = ticks(low, high)
        assert 3 <= len(values) <= 7
        assert all(low <= v <= high for v in values)
    assert short(0.2) == "0.2"
    assert short(-2_000) == "−2,000"


def test_a_curve_goes_through_its_points() -> None:
    svg = curves("loss", {"loss": [(0, 1.0), (50, float("nan")), (100, 3.0), (200, 2.0)]})
    (points,) = re.findall(r'points="([^"]+)"', svg)
    (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, p.split(","))) for p in points.split()]
    assert (x0, x2) == (charts.LEFT, charts.WIDTH - charts.RIGHT)
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert (y0, y1) == (charts.HEIGHT - charts.BOTTOM, charts.TOP)
    assert y2 == pytest.approx((y0 + y1) / 2, abs=0.1)
    assert "nan" not in svg
    assert "loss from 1.00 to 2.00" in svg


def test_curves_that_are_hard_to_draw() -> None:
    assert "no finite value" in curves("loss", {"loss": [(1, float("inf"))]})
    for points in ([(5, 2.0)], [(1, 0.0), (2, 0.0)], [(1, -7.0), (2, -7.0)]):
        coordinates = re.findall(r'points="([^"]+)"', curves("flat", {"flat": points}))
        assert len(coordinates) == 1
        assert "nan" not in coordinates[0]


def test_thinning_keeps_the_mean_and_the_order() -> None:
    points = [(float(i), float(i % 7)) for i in range(10_080)]
    few = thin(points, 240)
    assert len(few) == 240
    assert [x for x, _ in few] == sorted(x for x, _ in few)
    assert sum(y for _, y in few) / 240 == pytest.approx(3)
    assert thin(points[:240], 240) == points[:240]


def test_bars_have_the_length_of_their_values() -> None:
    html = bars([Bar("this", 0.25, "0.25", 0.2, 0.5, True), Bar("over", 3.0, "3"), Bar("none", 0.0, "0")], 1.0)
    assert re.findall(r'class="bar" style="width:([\d.]+)%', html) == ["25.00", "100.00", "0.00"]
    assert 'left:20.00%;width:30.00%"' in html
    assert "100" not in bars([Bar("zero", 0.0, "0")], 0.0)


def test_one_to_one_shows_as_a_diagonal() -> None:
    values = [[0.1, 0.0, 0.9, 0.001], [0.0, 0.8, 0.1, 0.0], [0.6, 0.1, 0.0, 0.001]]
    matrix = Matrix(["a", "b", "c"], ["0", "1", "2", "3"], values)
    assert matrix.order() == [2, 1, 0]
    shown = matrix.take(matrix.order())
    assert shown.columns == ["2", "1", "0"]
    assert [shown.values[i][i] for i in range(3)] == [0.9, 0.8, 0.6]
    assert matrix.order(limit=1) == [2]
    assert Matrix(["a"], ["0", "1"], [[0.0, 0.0]]).order() == []


def test_what_came_from_outside_is_escaped() -> None:
    nasty = "<b onload='x'>\"&"
    drawn: list[Markup] = [
        heatmap(Matrix([nasty], [nasty], [[0.5]]), nasty),
        bars([Bar(nasty, 1, nasty)], 1),
        curves(nasty, {nasty: [(0, 1), (1, 2)]}),
        columns([nasty], [1.0], [True], nasty),
    ]
    for markup in drawn:
        assert "<b " not in markup
        assert "&lt;b " in markup


def test_numbers_in_the_heat_map_are_readable_on_every_shade() -> None:
    page = (Path(charts.__file__).parent / "page.html.jinja").read_text()
    blocks = re.findall(r":root \{([^}]+)\}", page)
    assert len(blocks) == 3  # light, dark, print
    assert page.index("td.fd {") < page.index(
        "td.fl {"
    )  # a cell that has both is dark in either theme: the latter counts
    for block, flips, flipped in zip(blocks, ("fl", "fd", "fl"), ("flip-light", "flip-dark", "flip-light")):
        colours = dict(re.findall(r"--([\w-]+): (#\w{6});", block))
        for percent in range(101):
            cell = heatmap(Matrix(["r"], ["c"], [[percent / 100]]), "")
            classes = re.findall(r'<td class="([^"]*)"', cell)[0].split()
            ink = colours[flipped] if flips in classes else colours["full"]
            assert contrast(mix(colours["shade"], colours["card"], shade(percent / 100)), rgb(ink)) >= 4.5


def rgb(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def mix(a: str, b: str, share: float) -> list[float]:
    return [share * x + (1 - share) * y for x, y in zip(rgb(a), rgb(b))]


def contrast(a: list[float], b: list[float]) -> float:
    """WCAG 2.2's contrast ratio."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
