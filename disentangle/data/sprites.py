"""Sprites: one white shape on black, with dSprites' factors; generated.

The factor grid is that of Matthey, Higgins, Hassabis, Lerchner, "dSprites: Disentanglement testing Sprites dataset"
(2017): shape 3 × scale 6 × orientation 40 × x 32 × y 32 = 737,280 pictures, the last factor running fastest.
"""

from functools import cached_property
from math import cos, pi, sin, sqrt

import torch
from torch import Tensor
from torch.nn.functional import pad

from disentangle.data.base import FactorGrid
from disentangle.data.generated import GeneratedSet

SCALES = tuple(0.5 + 0.1 * step for step in range(6))
ORIENTATIONS = 40
POSITIONS = 32

# Lengths are in units of 1/64 of the picture: a step of x or y is one such unit, and every shape at scale 1 reaches
# RADIUS from its centroid, so that it stays inside the picture wherever it stands and however it is turned.
FIRST_POSITION = 16.5
RADIUS = 15.0
# A sprite is drawn in as many cells of a unit a side, and in each as many samples a side; counting these is exact.
CELLS = 33
SAMPLES = 6

GRID = FactorGrid(
    names=("shape", "scale", "orientation", "x", "y"),
    values=(
        ("square", "ellipse", "heart"),
        tuple(f"{scale:.1f}" for scale in SCALES),
        tuple(f"{360 * step // ORIENTATIONS}°" for step in range(ORIENTATIONS)),
        *(tuple(f"{FIRST_POSITION + step:g}/64" for step in range(POSITIONS)),) * 2,
    ),
)


class Sprites(GeneratedSet):
    """A labelled grid set (:class:`disentangle.data.base.GridSet`) of sprites; x runs from the left, y from the top.

    A sprite moved by whole pixels is the same picture shifted, so each shape, scale and orientation is drawn once (at
    size 32, once for each half-pixel position), antialiased by 6×6 samples a unit, and a picture is a window cut out of
    that. The drawing takes a fraction of a second at the first use.

    As in the published set the square looks the same after a quarter turn and the ellipse after half a turn, so that
    orientations 10 (20) apart alias. Unlike there, the 40 orientations leave out 360°, which would repeat 0°: no two of
    the hearts are the same.

    Args:
        size: 64 or 32.
        channels: 1, or 3 equal ones.

    Raises:
        UserError: for another size or number of channels.
    """

    name = "sprites"
    grid = GRID
    sizes = (64, 32)
    possible_channels = (1, 3)

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, uint8."""
        shape, scale, orientation, x, y = self.factors(indices).cpu().unbind(1)
        pixel = 64 // self.size
        last = (POSITIONS - 1) // pixel
        windows = self._windows
        pictures = windows[shape, scale, orientation, y % pixel, x % pixel, last - y // pixel, last - x // pixel]
        return pictures[:, None].expand(-1, self.channels, -1, -1).contiguous()

    @cached_property
    def _windows(self) -> Tensor:
        """All windows on the drawings, ``(shape, scale, orientation, y phase, x phase, top, left, size, size)``."""
        pixel = 64 // self.size  # in units; x and y have this many phases between two pixels
        last = (POSITIONS - 1) // pixel
        patch = (CELLS + pixel - 1) // pixel
        samples = (SAMPLES * pixel) ** 2
        counts = torch.stack([_count(2 * pi * step / ORIENTATIONS) for step in range(ORIENTATIONS)], dim=2)
        drawings = torch.zeros(*self.factor_sizes[:3], pixel, pixel, *(self.size + last,) * 2, dtype=torch.uint8)
        for y_phase in range(pixel):
            for x_phase in range(pixel):
                rest = patch * pixel - CELLS
                cells = pad(counts, (x_phase, rest - x_phase, y_phase, rest - y_phase))
                inside = cells.view(*cells.shape[:3], patch, pixel, patch, pixel).sum((-3, -1))
                target = drawings[..., y_phase, x_phase, last : last + patch, last : last + patch]
                target.copy_((inside * 255 + samples // 2) // samples)
        return drawings.unfold(-2, self.size, 1).unfold(-2, self.size, 1)


def _count(angle: float) -> Tensor:
    """Samples inside every shape in every scale, turned by ``angle``: ``(3, 6, CELLS, CELLS)``, of SAMPLES² a cell."""
    # float32 products and sums, rounded one by one: the same bits whatever else is drawn
    x = (torch.arange(CELLS * SAMPLES) + 0.5) / SAMPLES - CELLS / 2
    y = x[:, None]
    u, v = x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
    counts = [
        inside(u / (scale * RADIUS), v / (scale * RADIUS)).view(CELLS, SAMPLES, CELLS, SAMPLES).sum((1, 3))
        for inside in (_in_square, _in_ellipse, _in_heart)
        for scale in SCALES
    ]
    return torch.stack(counts).view(3, len(SCALES), CELLS, CELLS)


# The shapes, of radius 1 about their centroid; v points down.


def _in_square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) <= sqrt(0.5)


def _in_ellipse(u: Tensor, v: Tensor) -> Tensor:
    return u * u + (v / 0.55) * (v / 0.55) <= 1


def _in_heart(u: Tensor, v: Tensor) -> Tensor:
    """A square of side 2 on its tip, with half-discs of radius 1 on the two upper sides."""
    # centroid, along either side from the tip, of square and half-discs, whose own lies 4/(3π) from the diameter
    centroid = (4 + pi / 2 + pi / 2 * (2 + 4 / (3 * pi))) / (4 + pi)
    reach = sqrt(2) * centroid
    a = (u - v) * (sqrt(0.5) * reach) + centroid
    b = (-u - v) * (sqrt(0.5) * reach) + centroid
    square = (torch.minimum(a, b) >= 0) & (torch.maximum(a, b) <= 2)
    discs = [(p - 1) * (p - 1) + (q - 2) * (q - 2) <= 1 for p, q in ((a, b), (b, a))]
    return square | discs[0] | discs[1]


DESCRIPTION = Sprites.description("one white shape on black, with dSprites' factors")
