"""What a method of discovery is given, what it gives back, and which layers it looks into."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from disentangle.errors import UserError, unknown_name
from disentangle.generator import Generator, Projection

Progress = Callable[[float, str], None]
"""Is told the share that is done, in [0, 1], and what is being done. What it raises ends the discovery."""

MOST = 64
"""Directions that a method finds unasked where the latents are many."""
MARGIN = 5
"""Directions that are found beyond those asked for, so that the last of these do not hang on where one stopped."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is wanted of a method.

    Attributes:
        generator: whose latents.
        count: how many directions; ``None`` for as many as the method finds by itself.
        layers: names of the layers to look into; ``None`` for all.
        seed: what is drawn is drawn from it.
        progress: is told how far the method is.
    """

    generator: Generator
    count: int | None
    layers: tuple[str, ...] | None
    seed: int
    progress: Progress

    def draw(self) -> torch.Generator:
        """A new source of randomness, on the CPU, so that a seed means the same everywhere."""
        return torch.Generator().manual_seed(self.seed)

    def wanted(self, possible: int) -> int:
        """How many directions to find of as many as there can be."""
        return min(possible, MOST if self.count is None else self.count)


@dataclass(frozen=True, eq=False)
class Found:
    """What a method found in one layer.

    Attributes:
        layer: its name.
        vectors: ``(k, d)`` float64, of unit length, in the flat latent space.
        spectrum: ``(m,)`` float64, ``m >= k``: all singular values that are known, those of the vectors first.
        total: sum of the squares of all singular values there are; ``None`` where ``spectrum`` has them all.
        stability: ``(k,)`` degrees between what each half of the samples gave; ``None`` where nothing was sampled.
        errors: ``(k,)``: standard errors of the singular values (:func:`half_errors`); ``None`` likewise.
        given: whether the vectors were chosen without regard to the singular values, which are only how strong the
            response to them is: values that are the same then say nothing against them.
    """

    layer: str
    vectors: Tensor
    spectrum: Tensor
    total: float | None = None
    stability: Tensor | None = None
    errors: Tensor | None = None
    given: bool = False


@dataclass(frozen=True, eq=False)
class Result:
    """What a method found, layer by layer.

    Attributes:
        found: of each layer.
        settings: what the method was told, in JSON's types and by the names of its options, and how it did it.
        seeded: whether another seed would have given other directions.
    """

    found: Sequence[Found]
    settings: dict[str, Any] = field(default_factory=dict)
    seeded: bool = False


def within(progress: Progress, start: float, size: float, prefix: str = "") -> Progress:
    """The progress of a part of some work, that begins at the share ``start`` of the whole and takes ``size`` of it;
    what the part says comes after ``prefix``."""
    return lambda share, text: progress(start + size * share, prefix + text)


def chosen_projections(task: Task, possible: Sequence[Projection] | None = None) -> list[Projection]:
    """The layers that a task names, in the network's order.

    Args:
        task: by its ``layers``; all where it names none.
        possible: the layers to choose from; by default all that the generator names.

    Raises:
        UserError: where there is no layer, or none of a name.
    """
    projections = list(task.generator.projections() if possible is None else possible)
    if not projections:
        raise UserError(
            f"{type(task.generator).__name__} names no layer that its latents enter: there is nothing to discover"
        )
    if task.layers is None:
        return projections
    known = [projection.name for projection in projections]
    for name in task.layers:
        if name not in known:
            raise unknown_name("layer", name, known)
    if not task.layers:
        raise UserError(f"no layer chosen: possible: {', '.join(known)}")
    return [projection for projection in projections if projection.name in task.layers]


def chosen_latents(task: Task) -> tuple[str, Tensor]:
    """Which of the latents a task is about: those that enter the layers it names, or all.

    Returns:
        A name for them, and their indices in ascending order.
    """
    every = torch.arange(task.generator.latent_size)
    if task.layers is None:
        return "latents", every
    projections = chosen_projections(task)
    indices = torch.cat([every[projection.latents] for projection in projections]).unique()
    return " + ".join(projection.name for projection in projections), indices


def half_errors(values: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Standard errors of singular values that all samples gave, from those that each half of the samples gave.

    Half the difference of the halves is an estimate with one degree of freedom; so the relative error is taken to be
    the same for all values, as it is for the standard deviations of Gaussian samples: the mean of the squares of the
    relative differences, of the values above a thousandth of the largest, as what is smaller may be rounding alone.

    Args:
        values: ``(k,)``, of all samples.
        first: ``(m,)``, of one half, in the same order; a half has fewer values where it has fewer samples than that.
        second: ``(n,)``, of the other.

    Returns:
        ``(k,)``; zero where all values are.
    """
    k = min(len(values), len(first), len(second))
    sums, differences = first[:k] + second[:k], first[:k] - second[:k]
    known = sums > 1e-3 * sums.amax()
    if not bool(known.any()):
        return torch.zeros_like(values)
    relative = (differences[known] / sums[known]).square().mean().sqrt()
    return relative * values


def gram(rows: Tensor) -> Tensor:
    """``rows @ rowsᵀ`` in float64 on the CPU, of ``(n, features)`` in any precision anywhere; in pieces, since a copy
    of them all in float64 may not fit into memory."""
    products = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for part in rows.split(4096, dim=1):
        part = part.cpu().double()
        products.addmm_(part, part.mT)
    return products
