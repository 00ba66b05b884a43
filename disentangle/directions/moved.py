"""The pictures that measurements of directions look at."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from disentangle.directions.edits import place
from disentangle.directions.methods import Progress
from disentangle.directions.record import Directions
from disentangle.errors import UserError
from disentangle.generator import Generator


def moved_pictures(
    generator: Generator,
    directions: Directions,
    positions: Sequence[float],
    *,
    samples: int,
    seed: int,
    batch: int,
    what: str,
    progress: Progress | None,
) -> Iterator[Iterator[Tensor]]:
    """Pictures at some positions along each direction in turn, from the same starting latents for all.

    Args:
        generator: makes the pictures.
        directions: along which.
        positions: ``m`` of them, in sigma.
        samples: latents to start from.
        seed: what they are drawn from.
        batch: pictures made at a time.
        what: is measured of the directions, in words.
        progress: is told the share that is done and what is being done.

    Yields:
        of each direction parts of the pictures ``(samples * m, c, h, w)``, all positions of the first sample first,
        made as they are asked for.

    Raises:
        ValueError: where ``samples`` or ``batch`` is less than one.
        UserError: where a picture is not finite.
    """
    if samples < 1 or batch < 1:
        raise ValueError(f"expected at least one sample and a batch of one, got {samples} and {batch}")
    latents = generator.sample_latents(samples, torch.Generator().manual_seed(seed))
    for k in range(len(directions)):
        if progress is not None:
            progress(k / len(directions), f"{what} of direction {k} of {len(directions)}")
        yield _pictures(generator, place(latents, directions, k, positions).flatten(0, 1), batch)


def measured(
    generator: Generator,
    directions: Directions,
    positions: Sequence[float],
    value: Callable[[Tensor], float],
    *,
    samples: int,
    seed: int,
    batch: int,
    what: str,
    progress: Progress | None,
) -> Tensor:
    """A number of each direction, ``(k,)``: the value of its pictures ``(samples, m, c, h, w)``, float32; all else as
    in :func:`moved_pictures`."""
    parts = moved_pictures(
        generator, directions, positions, samples=samples, seed=seed, batch=batch, what=what, progress=progress
    )
    shape = (samples, len(positions))
    return torch.tensor([value(torch.cat([part.float() for part in each]).unflatten(0, shape)) for each in parts])


def _pictures(generator: Generator, latents: Tensor, batch: int) -> Iterator[Tensor]:
    for part in latents.split(batch):
        images = generator.synthesize(part)
        if not bool(images.isfinite().all()):
            raise UserError("the pictures are not finite: the training of the generator has diverged")
        yield images
