"""Scenes: an object in the middle of a room, with 3D Shapes' factors; ray-traced here.

The factor grid is that of Burgess, Kim, "3D Shapes Dataset" (2018): floor hue 10 × wall hue 10 × object hue 10 × scale
8 × shape 4 × orientation 15 = 480,000 pictures, the last factor running fastest.
"""

from colorsys import hsv_to_rgb
from functools import cached_property
from math import radians

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from disentangle.data.base import FactorGrid
from disentangle.data.generated import GeneratedSet
from disentangle.data.raytrace import SHAPES, Array, View, trace, view

HUES = tuple(step / 10 for step in range(10))
SCALES = tuple(0.75 + 0.5 * step / 7 for step in range(8))
AZIMUTHS = tuple(-30 + 60 * step / 14 for step in range(15))  # of the camera, in degrees

# Saturation and value of floor, wall and object: an object stands out of a room of its own hue.
TONES = ((0.6, 0.95), (0.5, 0.95), (0.85, 1.0))

_HUE_NAMES = tuple(f"{360 * step // 10}°" for step in range(10))
GRID = FactorGrid(
    names=("floor hue", "wall hue", "object hue", "scale", "shape", "orientation"),
    values=(
        *(_HUE_NAMES,) * 3,
        tuple(f"{scale:.2f}" for scale in SCALES),
        tuple(SHAPES),
        tuple(f"{azimuth:.1f}°" for azimuth in AZIMUTHS),
    ),
)


class Scenes(GeneratedSet):
    """A labelled grid set (:class:`disentangle.data.base.GridSet`) of scenes.

    Light that falls on a surface of one colour is that colour times a weight. So each of the 480 geometries (scale,
    shape, orientation) is traced once, when first needed, to four weights a pixel: how much of the floor's, the wall's
    and the object's colour reaches it, and how much white of the highlight. A picture is their sum. The weights stay in
    memory (31 MB at size 64), as do the 15 views of the empty room (34 MB).

    Everything after the tables of hues and angles is products, sums, quotients and square roots in float32, each
    rounded as IEEE 754 prescribes and none reordered: a picture has the same bits alone and in any batch.

    Args:
        size: 64 or 32.
        channels: 3.

    Raises:
        UserError: for another size or number of channels.
    """

    name = "scenes"
    grid = GRID
    sizes = (64, 32)
    possible_channels = (3,)

    def __init__(self, size: int | None = None, channels: int | None = None) -> None:
        super().__init__(size, channels)
        self._views: dict[int, View] = {}
        self._weights: dict[tuple[int, ...], Array] = {}

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, 3, size, size)``, uint8."""
        factors = self.factors(indices).cpu()
        hues, geometries = factors[:, :3].numpy(), factors[:, 3:].tolist()
        pictures = np.empty((len(factors), 3, self.size, self.size), np.uint8)
        for picture, hue, geometry in zip(pictures, hues, geometries, strict=True):
            self._paint(picture, hue, self._geometry(*geometry))
        return torch.from_numpy(pictures)

    def _paint(self, picture: npt.NDArray[np.uint8], hues: npt.NDArray[np.int64], weights: Array) -> None:
        """Fill a picture ``(3, h, w)`` of hues ``(3,)`` and weights ``(4, h, w)``."""
        for channel, target in enumerate(picture):
            light = weights[3].copy()
            for surface, hue in enumerate(hues):
                light += weights[surface] * self._palette[surface, hue, channel]
            # The root undoes the palette's square: light adds up linearly, pictures are stored with a gamma of 2.
            np.sqrt(np.minimum(light, 1, out=light), out=light)
            light *= 255
            light += 0.5
            target[:] = light  # rounds down

    def _geometry(self, scale: int, shape: int, orientation: int) -> Array:
        """Weights ``(4, h, w)``."""
        key = (scale, shape, orientation)
        if orientation not in self._views:
            self._views[orientation] = view(radians(AZIMUTHS[orientation]), self.size)
        if key not in self._weights:
            name = GRID.values[4][shape]
            self._weights[key] = trace(self._views[orientation], name, SCALES[scale])
        return self._weights[key]

    @cached_property
    def _palette(self) -> Array:
        """The colours in linear light: ``(3 surfaces, 10 hues, 3)``."""
        return np.square(np.array([[hsv_to_rgb(hue, *tone) for hue in HUES] for tone in TONES], np.float32))


DESCRIPTION = Scenes.description("an object in a room, with 3D Shapes' factors")
