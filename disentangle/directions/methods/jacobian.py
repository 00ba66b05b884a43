"""The latent directions that change the picture most: the singular vectors of the Jacobian ``dG/dz``.

At one latent, or averaged over many: the eigenvectors of the mean of ``JᵀJ``, singular values being the root mean
square of how far the picture (in [-1, 1], as a vector of all its numbers) moves a unit of the latent. Ramesh, Choi,
LeCun, "A Spectral Regularizer for Unsupervised Disentanglement", 2018, arXiv 1812.01161, at one latent; Wang, Ponce,
"The Geometry of Deep Generative Image Models and its Applications", ICLR 2021, arXiv 2101.06006, averaged.
"""

import hashlib
from dataclasses import replace

import torch
from torch import Tensor

from disentangle.directions.methods.base import Result, Task, chosen_latents
from disentangle.directions.methods.derivatives import Derivative
from disentangle.directions.methods.eigenvectors import Pictures, exactly, iterating
from disentangle.errors import UserError, check_seed, unknown_name

SOLVERS = ("auto", "exact", "iteration")
EXACT_LATENTS, EXACT_NUMBERS = 1024, 2**27


def find_jacobian(
    task: Task,
    *,
    at: int | Tensor | None = None,
    samples: int = 32,
    solver: str = "auto",
    iterations: int = 60,
    batch: int = 32,
) -> Result:
    """Top right singular vectors of the Jacobian by the latents that enter the task's layers, or by all.

    Args:
        task: which generator, layers, count and seed.
        at: the one latent to look at, ``(d,)`` or ``(1, d)``, or the seed that it is drawn from; ``None`` averages.
        samples: latents to average over, at least 2, drawn from the task's seed.
        solver: ``"exact"`` computes every column of each Jacobian; ``"iteration"`` never forms one but iterates on a
            block of vectors; ``"auto"`` is exact up to 1,024 latents where a Jacobian fits into half a gigabyte.
        iterations: at most so many.
        batch: pictures computed at a time.

    Raises:
        UserError: where an option is impossible, or the pictures have no derivative or one that is not finite.
    """
    name, columns = chosen_latents(task)
    latents = draw_latents(task, at, samples)
    return find_in_jacobian(task, name, columns, latents, at, solver, iterations, batch)


def find_in_jacobian(
    task: Task,
    name: str,
    columns: Tensor,
    latents: Tensor,
    at: int | Tensor | None,
    solver: str,
    iterations: int,
    batch: int,
) -> Result:
    """As :func:`find_jacobian`, of the latents ``columns`` and at ``latents`` ``(n, d)``."""
    if solver not in SOLVERS:
        raise unknown_name("solver", solver, SOLVERS)
    if iterations < 1 or batch < 1:
        raise UserError(f"iterations and batch must be at least 1, got {iterations} and {batch}")
    with torch.no_grad():
        numbers = task.generator.synthesize(latents[:1]).numel()
    if solver == "auto":
        small = len(columns) <= EXACT_LATENTS and len(columns) * numbers <= EXACT_NUMBERS
        solver = "exact" if small else "iteration"
    pictures = Pictures(Derivative(task.generator), latents, columns, batch)
    if solver == "exact":
        found, how = exactly(task, pictures), dict[str, object](total="exact")
    else:
        found, how = iterating(task, pictures, iterations)
    flat = torch.zeros(len(found.vectors), task.generator.latent_size, dtype=torch.float64)
    flat[:, columns] = found.vectors
    settings = {
        "layers": None if task.layers is None else list(task.layers),
        "at": _described(at),
        "samples": len(latents),
        "solver": solver,
        "iterations": iterations,
        "batch": batch,
    }
    return Result([replace(found, layer=name, vectors=flat)], settings | how, seeded=at is None)


def draw_latents(task: Task, at: int | Tensor | None, samples: int) -> Tensor:
    """Where to differentiate, ``(n, d)``."""
    if at is None:
        if samples < 2:
            raise UserError(f"samples must be at least 2, got {samples}: for one latent name it, or its seed, by at")
        return task.generator.sample_latents(samples, task.draw())
    if isinstance(at, Tensor):
        size = task.generator.latent_size
        if at.numel() != size or at.shape[-1] != size or not bool(at.isfinite().all()):
            raise UserError(f"expected one latent of {size} finite numbers, got shape {tuple(at.shape)}")
        return at.detach().reshape(1, size).to(task.generator.sample_latents(1, task.draw()))
    check_seed(at)
    return task.generator.sample_latents(1, torch.Generator().manual_seed(at))


def _described(at: int | Tensor | None) -> int | str | None:
    """A seed as it is, a latent by its hash."""
    if not isinstance(at, Tensor):
        return at
    return f"a given latent, SHA-256 {hashlib.sha256(at.detach().cpu().double().numpy().tobytes()).hexdigest()[:16]}"
