"""Which known factors a direction moves, and how far it leaks into the others."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from disentangle.directions.methods import Progress
from disentangle.directions.moved import moved_pictures
from disentangle.directions.record import Directions
from disentangle.generator import Generator

POSITIONS = (-2.0, 0.0, 2.0)

Reader = Callable[[Tensor], Sequence[Tensor]]
"""Pictures ``(n, c, h, w)`` in [-1, 1] to the probabilities of each factor's values, ``(n, values)`` a factor."""


@torch.no_grad()
def measure_effects(
    generator: Generator,
    directions: Directions,
    reader: Reader,
    *,
    factors: Sequence[str],
    readable: Tensor,
    noise: Tensor | None = None,
    scales: Sequence[Tensor | None] = (),
    samples: int = 64,
    positions: Sequence[float] = POSITIONS,
    seed: int = 0,
    batch: int = 64,
    progress: Progress | None = None,
) -> Directions:
    r"""Measure how far each direction moves each known factor.

    A picture is put at every position along the direction. To a sure reader the direction has moved a factor where the
    factor's value differs between any two of the positions, and the effect is the share of starting pictures of which
    this is so. A reader that gives probabilities :math:`q` is taken at its word: the share is the mean of the largest
    Jensen-Shannon divergence between two positions, in bits (Lin 1991, "Divergence Measures Based on the Shannon
    Entropy"): how much a value tells about which of the two it was read at. It is 0 or 1 for a sure reader, nearly 0
    where a vague one wavers, and the same for factors with an order, in a circle, or of mere names.

    Two more things keep readers from seeing what is not there. One that is now and then wrong sees changes among
    pictures of the data, too, that have the factor in common; the share :math:`t` is corrected by that share
    :math:`\nu`, as Cohen's κ is by chance (1960): :math:`(t - \nu) / (1 - \nu)`, not below 0. And the effect is that
    times how readable the factor is: not better than of the data, and not better than the reader is sure of it on the
    generator's pictures, since a generator may not have learned the factor at all.

    Of a factor whose values are ordered numbers it is also measured how far the value moves, in shares of its range:
    the reader's expected value at the least and at the greatest position, less that where the position is nearest to
    the middle, on average over the pictures. A reader that is unsure expects something near the middle of the range, so
    that what it cannot read hardly seems to move.

    Args:
        generator: makes the pictures.
        directions: what to measure.
        reader: reads factors off pictures.
        factors: their ``f`` names.
        readable: ``(f,)`` in [0, 1]: how well each can be read off the data, 0 for a reader that guesses.
        noise: ``(f,)`` in [0, 1]: how often the reader sees a factor change where it does not (see
            :func:`largest_change`); never by default.
        scales: of each factor where its values lie in its range, ``(values,)`` from 0 to 1, or ``None`` where they are
            no ordered numbers; by default none are.
        samples: latents to start from, the same for all directions.
        positions: at least two, in sigma.
        seed: what the latents are drawn from.
        batch: pictures made at a time.
        progress: is told the share that is done and what is being done.

    Returns:
        the same directions with ``factors``, ``effects``, ``spans`` and ``readable`` (off the generator's pictures)
        filled in.
        What leaks into other factors than the one that a direction moves most is ``1 - purity``.

    Raises:
        ValueError: where there are no samples, fewer than two positions, or numbers do not belong to the factors.
        UserError: where a picture is not finite.
    """
    noise = torch.zeros(len(factors)) if noise is None else noise
    if len(positions) < 2:
        raise ValueError(f"expected two positions at least, got {tuple(positions)}")
    for name, values in (("readable", readable), ("noise", noise)):
        if tuple(values.shape) != (len(factors),) or not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError(f"expected {name} of {len(factors)} factors, in [0, 1], got {values.tolist()}")
    scales = list(scales) or [None] * len(factors)
    if len(scales) != len(factors):
        raise ValueError(f"expected a scale, or None, of each of {len(factors)} factors, got {len(scales)}")
    shares, sureness, spans = [], [], []
    for parts in moved_pictures(
        generator, directions, positions, samples=samples, seed=seed, batch=batch, what="effects", progress=progress
    ):
        read = [reader(images) for images in parts]
        if any(len(each) != len(factors) for each in read):
            raise ValueError(f"expected a reader of {len(factors)} factors, got one of {len(read[0])}")
        joined = [torch.cat(values).unflatten(0, (samples, len(positions))) for values in zip(*read, strict=True)]
        shares.append(torch.stack([largest_change(each).mean() for each in joined]).cpu())
        sureness.append(torch.stack([_sureness(each) for each in joined]).cpu())
        spans.append(torch.stack([_span(*each, positions) for each in zip(joined, scales)]))
    wrong = noise.double()
    moved_by = ((torch.stack(shares) - wrong) / (1 - wrong).clamp_min(1e-6)).clamp(0, 1)
    readable = torch.minimum(readable.double(), torch.stack(sureness).mean(0))
    return dataclasses.replace(
        directions,
        factors=tuple(factors),
        effects=(moved_by * readable).float(),
        readable=readable.float(),
        spans=torch.stack(spans).float(),
    )


def largest_change(probabilities: Tensor) -> Tensor:
    """Largest Jensen-Shannon divergence between any two of ``m`` distributions.

    Args:
        probabilities: ``(n, m, values)``, each row of which sums to 1.

    Returns:
        ``(n,)`` bits, in [0, 1].
    """
    p = probabilities.double()
    entropy = torch.special.entr(p).sum(-1)
    between = torch.special.entr((p[:, :, None] + p[:, None, :]) / 2).sum(-1)
    divergence: Tensor = between - (entropy[:, :, None] + entropy[:, None, :]) / 2
    return (divergence.amax((1, 2)) / math.log(2)).clamp(0, 1)


def _span(probabilities: Tensor, scale: Tensor | None, positions: Sequence[float]) -> Tensor:
    """How far the expected value moves from the middle to the least and the greatest position; NaN without a scale."""
    if scale is None:
        return torch.full((2,), torch.nan, dtype=torch.float64)
    values = (probabilities.double().cpu() @ scale.double()).mean(0)
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    middle = min(order, key=lambda i: abs(positions[i]))
    return values[[order[0], order[-1]]] - values[middle]


def _sureness(probabilities: Tensor) -> Tensor:
    """The share of guesses that are right if the reader knows what it knows, over chance: 0 to 1."""
    values = probabilities.shape[-1]
    return ((probabilities.double().amax(-1).mean() * values - 1) / max(values - 1, 1)).clamp(0, 1)
