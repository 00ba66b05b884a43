"""The latents' own axes: the codes of a model with an encoder, and elsewhere what any comparison needs beside it."""

import torch
from torch import Tensor

from disentangle.directions.methods.base import Result, Task
from disentangle.directions.methods.matrices import find_in_matrices


def find_coordinate(task: Task, *, stack: bool = False, unit_rows: bool = False) -> Result:
    """The axes of the latents that enter the layers; singular values are the lengths of the matrices' columns.

    Args:
        task: which generator and layers.
        stack: treat the layers that see the same latents as one.
        unit_rows: bring every feature's row of a matrix to unit length before the response is measured.
    """
    return find_in_matrices(task, axes, stack, unit_rows)


def axes(matrix: Tensor) -> Tensor:
    """The latents' own axes, ``(latents, latents)``."""
    return torch.eye(matrix.shape[1], dtype=torch.float64)
