"""Random directions, which any comparison needs beside it."""

import torch
from torch import Tensor

from disentangle.directions.methods.base import Result, Task
from disentangle.directions.methods.matrices import find_in_matrices


def find_random(task: Task, *, stack: bool = False, unit_rows: bool = False) -> Result:
    """A random orthonormal basis of the latents of each layer, sorted by the layer's response.

    Args:
        task: which generator, layers and seed.
        stack: treat the layers that see the same latents as one.
        unit_rows: bring every feature's row of a matrix to unit length before the response is measured.
    """
    draw = task.draw()

    def rotation(matrix: Tensor) -> Tensor:
        latents = matrix.shape[1]
        basis: Tensor = torch.linalg.qr(torch.randn(latents, latents, generator=draw, dtype=torch.float64)).Q
        return basis.mT

    return find_in_matrices(task, rotation, stack, unit_rows, seeded=True)
