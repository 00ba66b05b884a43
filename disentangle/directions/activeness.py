"""How much the pictures change along a direction."""

import dataclasses

import torch
from torch import Tensor

from disentangle.directions.edits import place
from disentangle.directions.file import Directions
from disentangle.directions.methods import Progress
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
        samples: latents to start from, the same for all directions.
        seed: what they are drawn from.
        batch: pictures made at a time.
        progress: is told the share that is done and what is being done.

    Returns:
        the same directions with ``activeness`` filled in; pictures being in [-1, 1], it lies between 0 and 8/9.

    Raises:
        ValueError: where ``samples`` or ``batch`` is less than one.
    """
    if samples < 1 or batch < 1:
        raise ValueError(f"expected at least one sample and a batch of one, got {samples} and {batch}")
    latents = generator.sample_latents(samples, torch.Generator().manual_seed(seed))
    values = []
    for k in range(len(directions)):
        if progress is not None:
            progress(k / len(directions), f"activeness of direction {k} of {len(directions)}")
        values.append(float(_variance(generator, place(latents, directions, k, POSITIONS), batch)))
    return dataclasses.replace(directions, activeness=torch.tensor(values))


def _variance(generator: Generator, latents: Tensor, batch: int) -> Tensor:
    """Mean variance over the middle dimension of ``(n, m, d)``."""
    parts = torch.split(latents.flatten(0, 1), batch)
    images = torch.cat([generator.synthesize(part).float().cpu() for part in parts])
    return images.reshape(*latents.shape[:2], -1).double().var(dim=1, correction=0).mean()
