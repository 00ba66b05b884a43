"""How far a step along a direction takes the picture, to the eye."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from disentangle.directions.methods import Progress
from disentangle.directions.moved import moved_pictures
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
        samples: latents to start from, the same for all directions.
        seed: what they are drawn from.
        batch: pictures made, and pairs of them compared, at a time.
        progress: is told the share that is done and what is being done.

    Returns:
        the same directions with ``step_sizes``, in units of ``distance``: the mean over the steps from 0 to 1 sigma and
        from 0 to -1 sigma.

    Raises:
        ValueError: where ``samples`` or ``batch`` is less than one, or there is not one distance a pair.
        UserError: where a picture is not finite.
    """
    sizes = []
    for parts in moved_pictures(
        generator,
        directions,
        POSITIONS,
        samples=samples,
        seed=seed,
        batch=batch,
        what="step size",
        progress=progress,
    ):
        images = torch.cat([part.float() for part in parts]).unflatten(0, (samples, len(POSITIONS)))
        below, middle, above = images.unbind(1)
        pairs = zip(torch.cat([middle, middle]).split(batch), torch.cat([below, above]).split(batch), strict=True)
        far = torch.cat([distance(a, b) for a, b in pairs])
        if far.shape != (2 * samples,):
            raise ValueError(f"expected a distance for each of {2 * samples} pairs, got shape {tuple(far.shape)}")
        sizes.append(float(far.double().mean()))
    return dataclasses.replace(directions, step_sizes=torch.tensor(sizes))
