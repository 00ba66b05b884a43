"""What the methods share that look at the matrices by which the latents enter a generator."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from disentangle.directions.methods.base import Found, Result, Task, chosen_projections
from disentangle.errors import UserError
from disentangle.generator import Projection


def find_in_matrices(
    task: Task,
    axes_of: Callable[[Tensor], Tensor],
    stack: bool,
    unit_rows: bool,
    possible: Sequence[Projection] | None = None,
    seeded: bool = False,
    given: bool = True,
) -> Result:
    """An orthonormal basis of the latents of each layer, and how strongly the layer responds to each.

    Args:
        task: which generator and layers.
        axes_of: makes the basis, as rows ``(q, q)``, of a layer's matrix ``(features, q)`` in float64.
        stack: treat the layers that see the same latents as one, their matrices on top of one another.
        unit_rows: bring every row of a matrix to unit length first.
        possible: the layers to choose from; by default all.
        seeded: whether ``axes_of`` draws.
        given: whether the basis does not follow from the matrix.

    Raises:
        UserError: where a layer is unknown or its weights are not finite.
    """
    if given and task.layers is None and possible is None and not task.generator.projections():
        # Axes that are given need no layer: all latents are one then, and respond alike.
        size = task.generator.latent_size
        return Result(
            [Found("latents", axes_of(torch.eye(size, dtype=torch.float64)), torch.ones(size).double(), given=True)],
            {"layers": None, "stack": stack, "unit_rows": unit_rows},
            seeded,
        )
    projections = chosen_projections(task, possible)
    found = []
    for name, latents, matrix in _layers(projections, stack, unit_rows):
        axes = axes_of(matrix)
        response = torch.linalg.vector_norm(matrix @ axes.mT, dim=0)
        order = torch.argsort(response, descending=True, stable=True)
        vectors = torch.zeros(len(axes), task.generator.latent_size, dtype=torch.float64)
        vectors[:, latents] = axes[order]
        found.append(Found(name, vectors, response[order], given=given))
        task.progress(len(found) / len(projections), f"decomposed {name}")
    settings = {"layers": [projection.name for projection in projections], "stack": stack, "unit_rows": unit_rows}
    return Result(found, settings, seeded)


def _layers(projections: Sequence[Projection], stack: bool, unit_rows: bool) -> list[tuple[str, slice, Tensor]]:
    """Name, latents and matrix ``(features, latents)``, in float64 on the CPU, of what is to be decomposed."""
    groups: dict[object, list[Projection]] = {}
    for projection in projections:
        key = (projection.latents.start, projection.latents.stop) if stack else projection.name
        groups.setdefault(key, []).append(projection)
    layers = []
    for members in groups.values():
        matrix = torch.cat([member.matrix().detach().cpu().double() for member in members])
        if not bool(matrix.isfinite().all()):
            raise UserError(f"the weights of {members[0].name} are not finite: the training has diverged")
        if unit_rows:
            matrix = nn.functional.normalize(matrix, dim=1)
        layers.append((" + ".join(member.name for member in members), members[0].latents, matrix))
    return layers
