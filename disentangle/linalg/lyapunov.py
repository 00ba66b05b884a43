r"""The continuous Lyapunov equation by products alone.

Song, Sebe, Wang, "Fast Differentiable Matrix Square Root", ICLR 2022, arXiv 2201.08663.
"""

import torch
from jaxtyping import Float
from torch import Tensor

STEPS = 8


def solve_lyapunov(b: Float[Tensor, "*batch n n"], c: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    r"""X with :math:`B X + X B = C`, by eight Newton-Schulz steps for the sign of :math:`[[B, C], [0, -B]]`.

    That sign is :math:`[[I, 2 X], [0, -I]]`. The blocks are iterated by themselves. It converges where the least
    eigenvalue of B is not far below its norm; the caller checks.

    Args:
        b: symmetric positive definite.
        c: symmetric.
    """
    norm = torch.linalg.matrix_norm(b, keepdim=True)
    b, c = b / norm, c / norm
    identity = torch.eye(b.shape[-1], dtype=b.dtype, device=b.device)
    for _ in range(STEPS):
        square = b @ b
        step = 3 * identity - square
        left = square @ c
        c = 0.5 * (b @ c @ b - left - left.mT) + 1.5 * c
        b = 0.5 * (b @ step)
    return 0.5 * c
