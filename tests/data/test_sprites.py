"""Sprites have the geometry that their factors say."""

from math import cos, pi, radians, sin, sqrt

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from disentangle.data.sprites import FIRST_POSITION, RADIUS, SCALES, Sprites

SQUARE, ELLIPSE, HEART = range(3)
CENTROID = (4 + pi / 2 + pi / 2 * (2 + 4 / (3 * pi))) / (4 + pi)
AREAS = (2.0, 0.55 * pi, (4 + pi) / (2 * CENTROID**2))  # of shapes that reach 1 from their centroid


@pytest.fixture(scope="module")
def sprites() -> Sprites:
    return Sprites(64)


def draw(data: Sprites, shape: int = 0, scale: int = 5, orientation: int = 0, x: int = 10, y: int = 20) -> Tensor:
    return data.images(data.index(torch.tensor([[shape, scale, orientation, x, y]])))[0, 0].double() / 255


def centroid(picture: Tensor) -> tuple[float, float]:
    place = torch.arange(len(picture)) + 0.5
    total = picture.sum()
    return float((picture.sum(0) * place).sum() / total), float((picture.sum(1) * place).sum() / total)


@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE, HEART])
@pytest.mark.parametrize("size", [64, 32])
def test_area_grows_with_the_square_of_the_scale(shape: int, size: int) -> None:
    data = Sprites(size)
    for scale, length in enumerate(SCALES):
        expected = AREAS[shape] * (length * RADIUS * size / 64) ** 2
        areas = [float(draw(data, shape, scale, orientation).sum()) for orientation in range(40)]
        assert sum(areas) / 40 == pytest.approx(expected, rel=4e-3)
        assert areas == pytest.approx([expected] * 40, rel=4e-2)


@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE, HEART])
@pytest.mark.parametrize("size", [64, 32])
def test_centroid_follows_x_and_y(shape: int, size: int) -> None:
    data = Sprites(size)
    for step in range(32):
        picture = draw(data, shape, scale=4, orientation=step, x=step, y=(7 * step) % 32)
        expected = [(FIRST_POSITION + at) * size / 64 for at in (step, (7 * step) % 32)]
        assert centroid(picture) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("size", [64, 32])
def test_a_step_of_x_moves_to_the_right_and_of_y_down(size: int) -> None:
    data = Sprites(size)
    pixel = 64 // size
    here, right, down = draw(data, x=3, y=4), draw(data, x=3 + pixel, y=4), draw(data, x=3, y=4 + pixel)
    assert torch.equal(right, here.roll(1, 1))
    assert torch.equal(down, here.roll(1, 0))


def test_every_sprite_stays_inside(sprites: Sprites) -> None:
    shapes, orientations, corners = torch.arange(3), torch.arange(40), torch.tensor([0, 31])
    factors = torch.cartesian_prod(shapes, torch.tensor([5]), orientations, corners, corners)
    pictures = sprites.images(sprites.index(factors))[:, 0]
    border = torch.ones(64, 64, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert pictures[:, border].max() == 0
    assert pictures.flatten(1).amax(1).min() == 255


def test_edges_are_smooth_and_the_inside_is_white(sprites: Sprites) -> None:
    picture = draw(sprites, HEART, orientation=3, x=15, y=15)
    assert picture[31, 31] == 1
    edge = ((picture > 0) & (picture < 1)).sum()
    assert 60 < edge < 200  # about its circumference
    assert len(picture.unique()) > 15


def test_the_ellipse_lies_along_its_orientation(sprites: Sprites) -> None:
    for orientation in range(40):
        picture = draw(sprites, ELLIPSE, orientation=orientation)
        x, y = centroid(picture)
        across, down = torch.arange(64) + 0.5 - x, torch.arange(64)[:, None] + 0.5 - y
        moments = [float((picture * product).sum()) for product in (across * across, down * down, across * down)]
        angle = radians(9 * orientation)
        # twice the angle of the long axis: the ellipse is the same after half a turn
        length = sqrt((moments[0] - moments[1]) ** 2 + 4 * moments[2] ** 2)
        assert (moments[0] - moments[1]) / length == pytest.approx(cos(2 * angle), abs=0.02)
        assert 2 * moments[2] / length == pytest.approx(sin(2 * angle), abs=0.02)


def test_a_quarter_turn_of_the_heart_turns_the_picture(sprites: Sprites) -> None:
    for orientation in range(0, 40, 7):
        picture = draw(sprites, HEART, orientation=orientation, x=5, y=11)
        turned = draw(sprites, HEART, orientation=(orientation + 10) % 40, x=31 - 11, y=5)
        assert (picture.rot90(-1) - turned).abs().max() < 0.06
        assert (picture.rot90(1) - turned).abs().max() > 0.9


def test_the_heart_stands_on_its_tip(sprites: Sprites) -> None:
    picture = draw(sprites, HEART, x=15, y=15)
    rows = picture.sum(1)
    filled = rows.nonzero()[:, 0]
    assert rows[filled[-1]] < 3 < rows[filled[0]]
    assert torch.allclose(picture[:, :63], picture[:, :63].flip(1), atol=0.06)  # symmetric about column 31
    assert picture[filled[0], 31] == 0  # the notch


def test_orientations_alias_as_the_symmetry_says_and_only_so(sprites: Sprites) -> None:
    for shape, period in ((SQUARE, 10), (ELLIPSE, 20), (HEART, 40)):
        pictures = torch.stack([draw(sprites, shape, 5, orientation, 15, 15) for orientation in range(40)])
        difference = (pictures[:, None] - pictures[None]).abs().amax((2, 3))
        step = torch.arange(40)
        same = (step[:, None] - step[None]) % period == 0
        assert difference[same].max() < 0.06
        assert difference[~same].min() > 0.2


def test_the_small_picture_is_the_large_one_averaged(sprites: Sprites) -> None:
    small = Sprites(32)
    indices = torch.randint(len(sprites), (200,), generator=torch.Generator().manual_seed(0))
    averaged = avg_pool2d(sprites.images(indices).double(), 2)
    assert (small.images(indices) - averaged).abs().max() <= 1


def test_each_factor_changes_the_picture(sprites: Sprites) -> None:
    start = torch.tensor([[2, 2, 13, 12, 17]])
    for column, size in enumerate(sprites.factor_sizes):
        factors = start.repeat(size, 1)
        factors[:, column] = torch.arange(size)
        pictures = sprites.images(sprites.index(factors))
        assert len(pictures.flatten(1).unique(dim=0)) == size
