"""How much the pictures change along a direction."""

import dataclasses

import torch
from torch import Tensor

from disentangle.directions.methods import Progress
from disentangle.directions.moved import measured
from disentangle.directions.record import Directions
from disentangle.generator import Generator

POSITIONS = (-2.0, 0.0, 2.0)


@torch.no_grad()
def measure_activeness(
    generator: Generator,
    directions: Directions,
    samples: int = 16,
    seed: int = 0,
    batch: int = 64,
    progress: Progress | None = None,
) -> Directions:
    """Measure the activeness of each direction, the variance of the picture over the positions -2, 0 and 2 sigma.

    Source: the "activeness" of Peebles et al., "The Hessian Penalty", ECCV 2020, arXiv 2008.10599; here for any
    direction, and as the mean over pixels, channels and samples.

    Args:
        generator: makes the pictures.
        directions: what to measure.
        samples, seed, batch, progress: as in :func:`~disentangle.directions.moved.moved_pictures`.

    Returns:
        the same directions with ``activeness`` filled in; pictures being in [-1, 1], it lies between 0 and 8/9.

    Raises:
        ValueError, UserError: as :func:`~disentangle.directions.moved.moved_pictures` does.
    """

    def variance(images: Tensor) -> float:
        return float(images.cpu().flatten(2).double().var(dim=1, correction=0).mean())

    values = measured(
        generator, directions, POSITIONS, variance, samples=samples, seed=seed, batch=batch, what="activeness",
        progress=progress,
    )  # fmt: skip
    return dataclasses.replace(directions, activeness=values)
