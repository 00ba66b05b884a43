"""Faces: cartoons with ten factors, put together from the parts of the package python-avatars.

The parts are "Avataaars" by Pablo Stanley, drawn by resvg; both packages are MIT-licensed and come with the extra
``faces``.
"""

import io
import random
from functools import cached_property
from itertools import product
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from disentangle.data.base import FactorGrid
from disentangle.data.generated import GeneratedSet
from disentangle.errors import UserError

Floats = npt.NDArray[np.float32]

VIEW = "24 6 216 216"  # the square of the drawing that is shown: left, top, width, height
BACKGROUNDS = {"sky": "#B1E2FF", "sand": "#F5E6C8", "grass": "#A9D18E"}

BLOCK = 32  # pictures that are painted at a time, as many as fit a processor's cache

# The package's names of the parts, and ours.
SKINS = {"PALE": "pale", "LIGHT": "light", "BROWN": "tan", "DARK_BROWN": "brown", "BLACK": "dark"}
HAIRS = {
    "SHORT_FLAT": "short",
    "SHORT_CURLY": "short curly",
    "BUN": "bun",
    "BOB": "bob",
    "STRAIGHT_1": "long",
    "FRO": "afro",
}
HAIR_COLOURS = {"BLACK": "black", "BROWN": "brown", "RED": "red", "BLONDE_GOLDEN": "blond", "SILVER_GRAY": "grey"}
EYEBROWS = {"DEFAULT": "calm", "ANGRY": "angry", "SAD_CONCERNED": "worried"}
EYES = {"DEFAULT": "open", "CLOSED": "closed", "SURPRISED": "wide", "HAPPY": "laughing"}
MOUTHS = {"SMILE": "laugh", "SERIOUS": "serious", "SAD": "sad", "SCREAM_OPEN": "scream"}
BEARDS = {"NONE": "none", "BEARD_MEDIUM": "beard", "MOUSTACHE_MAGNUM": "moustache"}
GLASSES = {"NONE": "none", "PRESCRIPTION_2": "broad", "ROUND": "round"}  # through which the eyes are seen
SHIRTS = {"WHITE": "white", "BLUE_03": "blue", "RED": "red", "PASTEL_YELLOW": "yellow"}


class Faces(GeneratedSet):
    """A labelled grid set (:class:`disentangle.data.base.GridSet`) of cartoon faces.

    A face is three layers, one over the other: background, body and shirt; the features; and hair, beard and glasses.
    All 378 of them are drawn when the first picture is asked for, which takes a second, and stay in memory (24 MB at
    size 64). Whatever the size of a batch, a picture has the same bits.

    Args:
        size: 64, 32 or 128.
        channels: 3.

    Raises:
        UserError: for another size or number of channels, or where the extra is not installed.
    """

    name = "faces"
    grid = FactorGrid(
        names=(
            "background",
            "skin",
            "shirt",
            "eyebrows",
            "eyes",
            "mouth",
            "hair",
            "hair colour",
            "beard",
            "glasses",
        ),
        values=(
            tuple(BACKGROUNDS),
            *(
                tuple(part.values())
                for part in (SKINS, SHIRTS, EYEBROWS, EYES, MOUTHS, HAIRS, HAIR_COLOURS, BEARDS, GLASSES)
            ),
        ),
    )
    sizes = (64, 32, 128)
    possible_channels = (3,)

    def __init__(self, size: int | None = None, channels: int | None = None) -> None:
        super().__init__(size, channels)
        self._draw = _Parts(self.size)

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, 3, size, size)``, uint8."""
        places = self.factors(indices).cpu().numpy()
        pictures = np.empty((len(places), 3, self.size, self.size), np.uint8)
        for start in range(0, len(places), BLOCK):
            pictures[start : start + BLOCK] = self._paint(places[start : start + BLOCK].T)
        return torch.from_numpy(pictures)

    def _paint(self, places: npt.NDArray[np.int64]) -> Floats:
        """Pictures ``(n, 3, size, size)`` in 0 … 255, to be rounded down, of factors ``(k, n)``."""
        below, *layers = self._layers
        picture: Floats = below[tuple(places[:3])]
        # product and sum, each rounded as IEEE 754 prescribes: the same bits alone and in any batch
        for layer, which in zip(layers, (places[3:6], places[6:]), strict=True):
            chosen = layer[tuple(which)]
            picture *= chosen[:, 3:]
            picture += chosen[:, :3]
        picture += np.float32(0.5)
        return picture

    @cached_property
    def _layers(self) -> tuple[Floats, Floats, Floats]:
        """The lowest layers ``(…, 3, size, size)``, and two of those over it (see :func:`_over`), by their factors."""
        draw = self._draw
        backgrounds = [draw.plain(colour) for colour in BACKGROUNDS.values()]
        bodies = [draw.part(body=True, skin_color=draw.of("SkinColor", name)) for name in SKINS]
        hoodie = draw.of("ClothingType", "HOODIE")
        shirts = [draw.part(clothing=hoodie, clothing_color=draw.of("ClothingColor", name)) for name in SHIRTS]
        below = [_over(s, _over(body, b)) for b, body, s in product(backgrounds, bodies, shirts)]

        nose = draw.part(nose=draw.of("NoseType", "DEFAULT"))
        eyebrows = [draw.part(eyebrows=draw.of("EyebrowType", name)) for name in EYEBROWS]
        eyes = [draw.part(eyes=draw.of("EyeType", name)) for name in EYES]
        mouths = [draw.part(mouth=draw.of("MouthType", name)) for name in MOUTHS]
        features = [_over(b, _over(e, _over(nose, mouth))) for b, e, mouth in product(eyebrows, eyes, mouths)]

        bald = draw.of("HairType", "NONE")  # what beard and glasses hang on
        colours = [draw.of("HairColor", name) for name in HAIR_COLOURS]
        hairs = [[draw.part(top=draw.of("HairType", name), hair_color=c) for c in colours] for name in HAIRS]
        beards = [
            [draw.part(top=bald, facial_hair=draw.of("FacialHairType", name), facial_hair_color=c) for name in BEARDS]
            for c in colours
        ]
        glasses = [draw.part(top=bald, accessory=draw.of("AccessoryType", name)) for name in GLASSES]
        above = [
            _over(g, _over(beard, hair[c]))
            for hair in hairs
            for c in range(len(colours))
            for beard in beards[c]
            for g in glasses
        ]
        sizes = self.factor_sizes
        return (
            np.stack(below)[:, :3].reshape(*sizes[:3], 3, self.size, self.size),
            np.stack(features).reshape(*sizes[3:6], 4, self.size, self.size),
            np.stack(above).reshape(*sizes[6:], 4, self.size, self.size),
        )


class _Parts:
    """Draws single parts of a face, as layers ``(4, size, size)``."""

    def __init__(self, size: int) -> None:
        before = random.getstate()
        try:
            import python_avatars
            import resvg_py
        except ImportError:
            raise UserError(
                "the data set 'faces' is drawn by python-avatars and resvg-py: install them with "
                "pip install 'disentangle-svd[faces]'"
            ) from None
        finally:
            random.setstate(before)  # the import draws a random shirt
        self._avatars: ModuleType = python_avatars
        self._render = resvg_py.svg_to_bytes
        self._size = size

    def of(self, kind: str, name: str) -> object:
        """A part of the package's."""
        return getattr(self._avatars, kind)[name]

    def plain(self, colour: str) -> Floats:
        """An opaque layer of one colour."""
        values = np.array([*bytes.fromhex(colour[1:]), 0], np.float32)
        return np.broadcast_to(values[:, None, None], (4, self._size, self._size))

    def part(self, body: bool = False, **parts: object) -> Floats:
        """What ``parts`` of a face, which are arguments of the package's ``Avatar``, look like without the others."""
        empty = dict.fromkeys(("top", "eyebrows", "eyes", "nose", "mouth", "facial_hair", "accessory", "clothing"))
        style = self.of("AvatarStyle", "TRANSPARENT")
        drawing = ElementTree.fromstring(self._avatars.Avatar(style=style, **{**empty, **parts}).render())
        for attribute, value in (("viewBox", VIEW), ("width", str(self._size)), ("height", str(self._size))):
            drawing.set(attribute, value)
        for parent in [] if body else drawing.iter():
            for child in [child for child in parent if str(child.get("id")).endswith("_Body")]:
                parent.remove(child)
        png = self._render(
            svg_string=ElementTree.tostring(drawing, encoding="unicode"),
            skip_system_fonts=True,
        )
        with Image.open(io.BytesIO(png)) as image:
            layer = np.asarray(image.convert("RGBA"), np.float32).transpose(2, 0, 1).copy()
        opacity = layer[3] / np.float32(255)
        layer[:3] *= opacity
        layer[3] = 1 - opacity
        return layer


def _over(layer: Floats, below: Floats) -> Floats:
    """A layer on top of another.

    A layer ``(4, h, w)`` has three colours in 0 … 255, times its opacity, and how much is seen through it, 0 … 1.
    """
    result: Floats = below * layer[3]
    result[:3] += layer[:3]
    return result


DESCRIPTION = Faces.description("cartoon faces (needs the extra faces)")
