"""The singular vectors of the layers that the latents enter.

Shen, Zhou, "Closed-Form Factorization of Latent Semantics in GANs", CVPR 2021, arXiv 2007.06600, known as SeFa.
"""

import torch
from torch import Tensor

from disentangle.directions.methods.base import Result, Task
from disentangle.directions.methods.matrices import find_in_matrices


def find_weights(task: Task, *, stack: bool = False, unit_rows: bool = False) -> Result:
    """The right singular vectors of each layer's matrix; singular values are how long its response to a unit step is.

    Args:
        task: which generator and layers.
        stack: treat the layers that see the same latents as one, their matrices on top of one another.
        unit_rows: bring every feature's row of the matrix to unit length first, an option of SeFa's.
    """
    return find_in_matrices(task, singular_vectors, stack, unit_rows, given=False)


def singular_vectors(matrix: Tensor) -> Tensor:
    """All right singular vectors, ``(latents, latents)``, in descending order; those of a null space come last."""
    # An R factor has the singular vectors of its matrix and is only as large as the latents.
    triangle = torch.linalg.qr(matrix, mode="r").R
    vectors: Tensor = torch.linalg.svd(triangle, full_matrices=True).Vh
    return vectors
