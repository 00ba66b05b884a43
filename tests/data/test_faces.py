"""Cartoon faces: the layers against whole drawings, and what each factor changes."""

import io
import random
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import python_avatars as avatars
import resvg_py
import torch
from PIL import Image

from disentangle.data import faces, load


@pytest.fixture(scope="module")
def data() -> faces.Faces:
    return load("faces")


def drawn(values: tuple[int, ...], size: int) -> np.ndarray:
    """A face that resvg draws as a whole, from the package's own description of it."""

    def name(factor: int, part: dict[str, str]) -> str:
        return list(part)[values[factor]]

    hair_colour = avatars.HairColor[name(7, faces.HAIR_COLOURS)]
    svg = avatars.Avatar(
        style=avatars.AvatarStyle.TRANSPARENT,
        skin_color=avatars.SkinColor[name(1, faces.SKINS)],
        clothing=avatars.ClothingType.HOODIE,
        clothing_color=avatars.ClothingColor[name(2, faces.SHIRTS)],
        eyebrows=avatars.EyebrowType[name(3, faces.EYEBROWS)],
        eyes=avatars.EyeType[name(4, faces.EYES)],
        mouth=avatars.MouthType[name(5, faces.MOUTHS)],
        nose=avatars.NoseType.DEFAULT,
        top=avatars.HairType[name(6, faces.HAIRS)],
        hair_color=hair_colour,
        facial_hair=avatars.FacialHairType[name(8, faces.BEARDS)],
        facial_hair_color=hair_colour,
        accessory=avatars.AccessoryType[name(9, faces.GLASSES)],
    ).render()
    drawing = ElementTree.fromstring(svg)
    for attribute, value in (("viewBox", faces.VIEW), ("width", str(size)), ("height", str(size))):
        drawing.set(attribute, value)
    png = resvg_py.svg_to_bytes(
        svg_string=ElementTree.tostring(drawing, encoding="unicode"),
        background=list(faces.BACKGROUNDS.values())[values[0]],
        skip_system_fonts=True,
    )
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float64)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_layers_make_the_whole_drawing(size: int) -> None:
    data = load("faces", size=size)
    indices = torch.randint(len(data), (12,), generator=torch.Generator().manual_seed(size))
    pictures = data.images(indices).permute(0, 2, 3, 1).numpy()
    for picture, values in zip(pictures, data.factors(indices).tolist(), strict=True):
        difference = np.abs(picture - drawn(tuple(values), size))
        # edges that meet are antialiased each by itself; and with some hair, glasses sit one or two units lower
        assert difference.mean() < (3 if data.factor_values[6][values[6]] in ("bun", "short curly") else 0.2)
        assert np.median(difference) == 0


def test_every_value_of_every_factor_is_seen(data: faces.Faces) -> None:
    generator = torch.Generator().manual_seed(0)
    for column, size in enumerate(data.factor_sizes):
        factors = data.factors(torch.randint(len(data), (4,), generator=generator))
        rows = factors.repeat_interleave(size, 0)
        rows[:, column] = torch.arange(size).repeat(4)
        pictures = data.images(data.index(rows)).view(4, size, -1).int()
        for other in range(1, size):
            changed = (pictures != pictures.roll(other, 1)).sum(2)
            assert changed.min() > 60, data.factor_names[column]  # values of 12,288


def test_there_are_ten_factors_as_promised(data: faces.Faces) -> None:
    assert data.factor_sizes == (3, 5, 4, 3, 4, 4, 6, 5, 3, 3)
    assert len(data) == 777_600


def test_drawing_leaves_random_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "python_avatars"]:
        monkeypatch.delitem(sys.modules, name)  # it draws from them when it is imported
    random.seed(1)
    load("faces")
    assert random.random() == random.Random(1).random()
