"""Whether another seed finds the same directions."""

import dataclasses

import torch

from disentangle.directions.angles import angles_between
from disentangle.directions.discover import discover, option_names
from disentangle.directions.matching import assign
from disentangle.directions.methods import Progress
from disentangle.directions.methods.base import MARGIN, within
from disentangle.directions.record import Directions
from disentangle.errors import UserError
from disentangle.generator import Generator


def measure_seed_stability(
    generator: Generator, directions: Directions, seeds: int = 2, progress: Progress | None = None
) -> Directions:
    """Discover again from other seeds, and measure by how much each direction turns.

    A repeated singular value lets the single axes turn freely; see :attr:`Directions.repeated`.

    Args:
        generator: whose directions these are.
        directions: as :func:`disentangle.directions.discover` returned them, or some of them.
        seeds: how many others, those that follow the directions' own.
        progress: is told how far it is; what it raises ends it.

    Returns:
        The same directions with ``seed_stability``: degrees, the mean angle to their partners of the other seeds,
        matched one-to-one by absolute cosine; 0 where the method draws nothing, 90 where there is no partner.

    Raises:
        ValueError: where ``seeds`` is less than one.
        UserError: where the directions were not discovered in this generator.
    """
    if seeds < 1:
        raise ValueError(f"expected at least one other seed, got {seeds}")
    if directions.vectors.shape[1] != generator.latent_size:
        raise UserError(
            f"these directions are of {directions.vectors.shape[1]} latents and {type(generator).__name__} has "
            f"{generator.latent_size}: name the generator that they were found in"
        )
    settings = directions.settings
    angles = torch.zeros(len(directions), dtype=torch.float64)
    if settings.get("seeded", True):
        options = {name: settings[name] for name in option_names(directions.method) if name in settings}
        count = None if settings.get("count") is None else settings["count"] + MARGIN
        for i in range(seeds):
            report = None if progress is None else within(progress, i / seeds, 1 / seeds, f"seed {i + 1} of {seeds}: ")
            other = discover(
                generator,
                directions.method,
                count=count,
                layers=settings.get("layers"),
                seed=(directions.seed + 1 + i) % 2**63,
                progress=report,
                **options,
            )
            rows, columns = assign(directions.vectors, other.vectors)
            turned = torch.full((len(directions),), 90.0, dtype=torch.float64)
            turned[rows] = angles_between(directions.vectors[rows], other.vectors[columns])
            angles += turned / seeds
    return dataclasses.replace(directions, seed_stability=angles.float())
