"""The axes that subspace layers have learned.

He, Kan, Shan, "EigenGAN: Layer-Wise Eigen-Learning for GANs", ICCV 2021, arXiv 2104.12476.
"""

from torch import nn

from disentangle.directions.methods.base import Result, Task
from disentangle.directions.methods.coordinate import axes
from disentangle.directions.methods.matrices import find_in_matrices
from disentangle.errors import UserError
from disentangle.generator import Generator, Projection
from disentangle.subspace import SubspaceLayer


def find_subspace(task: Task, *, stack: bool = False, unit_rows: bool = False) -> Result:
    """Each latent of each subspace layer; its singular value is ``|L_j| * |u_j|``, the learned importance.

    Args:
        task: which generator and layers.
        stack: treat the layers that see the same latents as one.
        unit_rows: bring every feature's row of a matrix to unit length before the response is measured.

    Raises:
        UserError: where the generator has no subspace layer.
    """
    projections = task.generator.projections()
    possible = subspace_projections(task.generator)
    if projections and not possible:
        names = ", ".join(projection.name for projection in projections)
        raise UserError(
            f"{type(task.generator).__name__} has no subspace layer (its layers: {names}): "
            "possible here: activations, coordinate, jacobian, random, weights"
        )
    return find_in_matrices(task, axes, stack, unit_rows, possible)


def subspace_projections(generator: Generator) -> list[Projection]:
    """The layers whose parameter belongs to a subspace layer, directly or through a parametrisation of it."""
    return [projection for projection in generator.projections() if _is_subspace(generator, projection)]


def _is_subspace(generator: Generator, projection: Projection) -> bool:
    if not isinstance(generator, nn.Module):
        return False
    parts = projection.parameter.split(".")
    owners = (generator.get_submodule(".".join(parts[:i])) for i in range(1, len(parts)))
    return any(isinstance(owner, SubspaceLayer) for owner in owners)
