"""The axes that codes move along in a diffusion model's h-space, and what of them changes the picture most.

Haas, Huberman-Spiegelglas, Mulayoff, Graßhof, Brandt, Michaeli, "Discovering Interpretable Directions in the Semantic
Latent Space of Diffusion Models", 2023, arXiv 2303.11073. The axes differ from theirs: see
:mod:`disentangle.models.hspace`.
"""

from dataclasses import replace

import torch
from torch import Tensor

from disentangle.directions.methods.base import Found, Result, Task, chosen_projections
from disentangle.directions.methods.jacobian import draw_latents, find_in_jacobian
from disentangle.errors import UserError, unknown_name
from disentangle.generator import Projection

LAYER = "h-space"
"""Name of the projection by which a generator says that it has one."""
BASES = ("pca", "jacobian")


def find_hspace(
    task: Task,
    *,
    basis: str = "pca",
    at: int | Tensor | None = None,
    samples: int = 32,
    solver: str = "auto",
    iterations: int = 60,
    batch: int = 32,
) -> Result:
    """Directions among a diffusion model's codes.

    Args:
        task: which generator, count and seed.
        basis: ``"pca"``: the principal axes of the mid-block's output that the model was fitted to, singular values
            being its spread along them and shares those among the fitted axes; ``"jacobian"``: the singular vectors of
            the pictures' Jacobian by the codes.
        at: the Jacobian's one latent, or the seed it is drawn from; ``None`` averages.
        samples: latents that the Jacobian is averaged over.
        solver: as :func:`disentangle.directions.methods.jacobian.find_jacobian`'s.
        iterations: likewise.
        batch: pictures computed at a time.

    Raises:
        UserError: where the generator has no h-space, its axes are not fitted, or an option is impossible.
    """
    if basis not in BASES:
        raise unknown_name("basis of the h-space", basis, BASES)
    projection = _projection(task)
    matrix = projection.matrix().detach().cpu().double()
    if not bool(matrix.isfinite().all()):
        raise UserError("the axes of the h-space are not finite: the training has diverged")
    if not bool(matrix.any()):
        raise UserError("the axes of the h-space are not fitted, so that codes change nothing: call fit() first")
    codes = torch.arange(task.generator.latent_size)[projection.latents]
    settings = {"layers": [LAYER], "basis": basis}
    if basis == "jacobian":
        latents = draw_latents(task, at, samples)
        result = find_in_jacobian(task, LAYER, codes, latents, at, solver, iterations, batch)
        return replace(result, settings=result.settings | settings)
    spread, order = torch.linalg.vector_norm(matrix, dim=0).sort(descending=True, stable=True)
    vectors = torch.zeros(len(codes), task.generator.latent_size, dtype=torch.float64)
    vectors[torch.arange(len(codes)), codes[order]] = 1.0
    return Result([Found(LAYER, vectors, spread)], settings)


def _projection(task: Task) -> Projection:
    """The one from the codes to the h-space."""
    found = [projection for projection in task.generator.projections() if projection.name == LAYER]
    if not found:
        raise UserError(
            f"{type(task.generator).__name__} has no h-space, which is a diffusion model's: "
            "possible here: activations, jacobian, weights, coordinate, random, and subspace where it has such layers"
        )
    return chosen_projections(task, found)[0]
