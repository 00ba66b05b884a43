"""How far a step along a direction takes the picture, to the eye."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from disentangle.directions.methods import Progress
from disentangle.directions.moved import measured
from disentangle.directions.record import Directions
from disentangle.generator import Generator

POSITIONS = (-1.0, 0.0, 1.0)

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two batches of pictures ``(n, c, h, w)`` in [-1, 1] to their distances ``(n,)``."""


@torch.no_grad()
def measure_step_sizes(
    generator: Generator,
    directions: Directions,
    distance: Distance,
    *,
    samples: int = 8,
    seed: int = 0,
    batch: int = 64,
    progress: Progress | None = None,
) -> Directions:
    """Measure the distance between pictures that are one sigma apart along each direction.

    Args:
        generator: makes the pictures.
        directions: what to measure.
        distance: how different two pictures look.
        samples, seed, batch, progress: as in :func:`~disentangle.directions.moved.moved_pictures`; so many pairs are
            compared at a time, too.

    Returns:
        the same directions with ``step_sizes``, in units of ``distance``: the mean over the steps from 0 to 1 sigma and
        from 0 to -1 sigma.

    Raises:
        ValueError: where there is not one distance a pair; and, like UserError, as
            :func:`~disentangle.directions.moved.moved_pictures` does.
    """

    def size(images: Tensor) -> float:
        below, middle, above = images.unbind(1)
        pairs = zip(torch.cat([middle, middle]).split(batch), torch.cat([below, above]).split(batch), strict=True)
        far = torch.cat([distance(a, b) for a, b in pairs])
        if far.shape != (2 * samples,):
            raise ValueError(f"expected a distance for each of {2 * samples} pairs, got shape {tuple(far.shape)}")
        return float(far.double().mean())

    sizes = measured(
        generator, directions, POSITIONS, size, samples=samples, seed=seed, batch=batch, what="step size",
        progress=progress,
    )  # fmt: skip
    return dataclasses.replace(directions, step_sizes=sizes)
