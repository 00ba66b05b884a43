"""Scenes show what their factors say."""

from colorsys import rgb_to_hsv
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from disentangle.data import raytrace
from disentangle.data.raytrace import ROOM, SHAPES, trace, view
from disentangle.data.scenes import AZIMUTHS, SCALES, Scenes

CENTRE = (32, 31)  # row, column: on the object in every scene
FLOOR = (61, 2)
WALL = (2, 40)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes(64)


def draw(data: Scenes, **factors: int) -> Tensor:
    """A picture ``(3, h, w)`` with these factors, others in the middle of their range."""
    names = [name.replace(" ", "_") for name in data.factor_names]
    middle = dict(zip(names, (2, 5, 8, 4, 2, 7), strict=True))
    assert factors.keys() <= middle.keys()
    return data.images(data.index(torch.tensor([list((middle | factors).values())])))[0]


def hue(picture: Tensor, place: tuple[int, int]) -> float:
    """In tenths of the circle."""
    red, green, blue = (picture[:, place[0], place[1]].double() / 255).tolist()
    return 10 * rgb_to_hsv(red, green, blue)[0]


def apart(first: float, second: float) -> float:
    """Distance on a circle of 10."""
    return abs((first - second + 5) % 10 - 5)


@pytest.mark.parametrize("orientation", [0, 7, 14])
@pytest.mark.parametrize(("factor", "place"), [("floor_hue", FLOOR), ("wall_hue", WALL), ("object_hue", CENTRE)])
def test_the_hues_are_those_of_the_factors(
    scenes: Scenes, factor: str, place: tuple[int, int], orientation: int
) -> None:
    for value in range(10):
        picture = draw(scenes, orientation=orientation, **{factor: value})
        assert apart(hue(picture, place), value) < 0.1


@pytest.mark.parametrize("shape", range(4))
@pytest.mark.parametrize("scale", [0, 7])
def test_the_object_has_its_hue_in_every_shape_and_scale(scenes: Scenes, shape: int, scale: int) -> None:
    for orientation in (0, 4, 14):
        picture = draw(scenes, shape=shape, scale=scale, orientation=orientation, object_hue=6)
        assert apart(hue(picture, CENTRE), 6) < 0.15  # rounding to 8 bits weighs more in a highlight


def test_a_hue_changes_its_own_surface_only(scenes: Scenes) -> None:
    start = draw(scenes)
    floor, walls, thing = (
        (draw(scenes, **{factor: 0}) != start).any(0) for factor in ("floor_hue", "wall_hue", "object_hue")
    )
    # they share the pixels along edges only, and leave none out
    assert (floor | walls | thing).all()
    for first, second in ((floor, walls), (walls, thing), (floor, thing)):
        assert (first & second).sum() < 160
        assert first.sum() > 300


def weights(shape: str, scale: float = 1.0, azimuth: float = 0.0, size: int = 32) -> np.ndarray:
    return trace(view(np.deg2rad(azimuth), size), shape, scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_object_grows_with_its_scale(shape: str) -> None:
    areas = [int((weights(shape, scale, 10.0, 64)[2] > 0).sum()) for scale in SCALES]
    assert all(larger > smaller * 1.05 for smaller, larger in pairwise(areas))
    assert areas[-1] / areas[0] == pytest.approx(
        (1.25 / 0.75) ** 2, rel=0.25
    )  # more than that, as it also comes nearer


def test_a_larger_object_is_seen_in_front_of_a_smaller_one() -> None:
    for shape in SHAPES:
        seen = [weights(shape, scale)[2] > 0 for scale in SCALES]
        for smaller, larger in pairwise(seen):
            # the foot comes towards the camera, so that all but the lowest part of the smaller one is covered
            assert (smaller & ~larger).sum() <= 0.12 * smaller.sum()


def test_the_camera_walks_round_the_object() -> None:
    outlines = {shape: [weights(shape, azimuth=azimuth)[2] > 0 for azimuth in AZIMUTHS] for shape in SHAPES}
    for shape in ("cylinder", "sphere", "capsule"):
        for outline in outlines[shape]:
            assert (outline != outlines[shape][0]).sum() <= 4  # round about the axis; roundings apart
    assert all((outline != outlines["cube"][7]).sum() > 10 for outline in (outlines["cube"][0], outlines["cube"][14]))


def test_the_corner_of_the_room_moves_with_the_azimuth() -> None:
    places = []
    for azimuth in AZIMUTHS[8:]:
        room = view(np.deg2rad(azimuth), 64)
        top = room.point[0].reshape(-1, 64, 64)[0, 0]  # x along the topmost row
        on_left_wall = np.isclose(top, -ROOM, atol=1e-4)
        places.append(int(on_left_wall.sum()))
    assert places == sorted(places)
    assert places[-1] - places[0] > 12


def test_both_ends_of_the_azimuth_are_mirrored() -> None:
    left, right = view(np.deg2rad(-30), 32), view(np.deg2rad(30), 32)
    axes = (4, 4, 32, 32)  # sample row and column, pixel row and column
    mirrored = right.point[0].reshape(axes)[:, ::-1, :, ::-1]
    assert np.allclose(left.point[0].reshape(axes), -mirrored, atol=1e-4)
    assert not np.allclose(left.direct.reshape(axes), right.direct.reshape(axes)[:, ::-1, :, ::-1], atol=0.1)


def test_rays_end_on_the_room() -> None:
    for azimuth in AZIMUTHS:
        room = view(np.deg2rad(azimuth), 16)
        x, y, z = room.point
        assert np.abs(x).max() < ROOM + 1e-4
        assert y.max() < ROOM + 1e-4
        assert z.min() > -1e-4
        off = np.stack([ROOM - np.abs(x), ROOM - y, z])
        assert np.abs(off.min(0)).max() < 1e-4
        assert np.array_equal(room.on_floor, off.argmin(0) == 2)


def shade(shape: str) -> np.ndarray:
    """How much of the lamp's light the object takes from each pixel of the floor, 0 to 1."""
    room = view(0.0, 64)
    lit, ambient = ((light * room.on_floor).mean(0).reshape(64, 64) for light in (room.direct, room.ambient))
    floor, _, thing, _ = trace(room, shape, 1.0)
    free = (thing == 0) & (lit > 0.9 * lit.max())
    return np.where(free, (lit + ambient - floor) / lit.max(), 0)  # ambient light is less near the foot, too


def test_the_shadow_lies_away_from_the_lamp() -> None:
    dark = shade("sphere") > 0.8
    assert dark.sum() > 20
    assert np.nonzero(dark)[1].mean() > 36  # the lamp stands on the left


def test_the_shadow_is_soft_as_the_lamp_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = shade("capsule")
    monkeypatch.setattr(raytrace, "LAMP", 0.0)
    sharp = shade("capsule")
    counts = [int(((shadow > 0.3) & (shadow < 0.85)).sum()) for shadow in (soft, sharp)]
    assert counts[0] > 1.3 * counts[1]


def test_no_two_geometries_are_the_same() -> None:
    data = Scenes(32)
    pictures = data.images(torch.arange(480)).flatten(1)
    assert len(pictures.unique(dim=0)) == 480


def test_edges_are_smooth(scenes: Scenes) -> None:
    thing = trace(view(0.3, 64), "cube", 1.0)
    seen = thing[2] > 0
    inner = seen & (thing[0] + thing[1] == 0)
    assert (seen & ~inner).sum() > 60
    assert inner.sum() > 200


def test_weights_are_finite_float32_and_positive() -> None:
    with np.errstate(invalid="raise", over="raise"):
        for azimuth in AZIMUTHS:
            room = view(np.deg2rad(azimuth), 8)
            for shape in SHAPES:
                for scale in (SCALES[0], SCALES[-1]):
                    result = trace(room, shape, scale)
                    assert result.dtype == np.float32
                    assert np.isfinite(result).all()
                    assert result.min() >= 0
                    assert (result.sum(0) > 0.1).all()  # nothing is black
