r"""The polar factor by matrix products alone: odd polynomials that move every singular value to 1.

- ``newton_schulz``: the cubic :math:`(3 x - x^3) / 2`, again and again.
- ``polar_express``: a composition of quintics, each the minimax approximation of 1 on the interval to which those
  before it have moved the singular values: no other composition of as many quintics does better. Amsel, Persson, Musco,
  Gower, "The Polar Express: Optimal Matrix Sign Methods and Their Application to the Muon Algorithm", 2025, arXiv
  2505.16932.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from disentangle.linalg.checks import demand, finite

# The least singular value, over the Frobenius norm, that surely reaches 1. Far enough above rounding that directions
# which only rounding made cannot be taken for real ones.
LEAST = {
    "newton_schulz": {torch.float32: 1e-4, torch.float64: 1e-7},
    "polar_express": {torch.float32: 1e-3, torch.float64: 1e-3},
}

# Coefficients of x, x³, x⁵, for singular values from 1e-3 to 1, made by a Remez iteration in 60 digits. A smaller least
# value would cost digits for all: between its extrema a quintic takes some large singular values down to the least one.
QUINTICS = (
    (8.4703288038480689, -25.10807470666187, 18.629275599118009),
    (4.1828341832939419, -3.108701109889241, 0.58060668135004902),
    (3.9618572789615992, -2.9540637463593785, 0.56297611795389639),
    (3.2865862170279599, -2.464720134531282, 0.50735769386145483),
    (2.2737499944340393, -1.6446603679080695, 0.41619092749788634),
    (1.8887161973518292, -1.265157225338601, 0.37651892555749073),
    (1.8750008858550685, -1.2500009842830572, 0.37500009842831936),
    (1.875, -1.25, 0.375),
)
CUBIC = (1.5, -0.5, 0.0)
CUBIC_STEPS = {torch.float32: 30, torch.float64: 48}  # so that 1.5^steps takes LEAST past 1, and some to converge

# ‖P Pᵀ − I‖ of the polar factor P, over √m.
LIMITS = {torch.float32: 1e-5, torch.float64: 1e-13}


def iterate_polar(g: Float[Tensor, "*batch m n"], method: str, null: str) -> Float[Tensor, "*batch m n"]:
    """The polar factor of matrices of full rank, and, for ``null="drop"``, of zero.

    Args:
        g: m ≤ n, float32 or float64.
        method: ``"newton_schulz"`` or ``"polar_express"``.

    Raises:
        ValueError: ``g`` is not finite, or a singular value is too small.
    """
    g = finite(g, "g")
    largest = g.abs().amax((-2, -1), keepdim=True)
    zero = largest == 0
    x = g / largest.masked_fill(zero, 1)
    x = x / torch.linalg.matrix_norm(x, keepdim=True).masked_fill(zero, 1)
    steps = QUINTICS if method == "polar_express" else (CUBIC,) * CUBIC_STEPS[g.dtype]
    for first, third, fifth in steps:
        gram = x @ x.mT
        polynomial = third * gram + fifth * (gram @ gram) if fifth else third * gram
        x = first * x + polynomial @ x
    residual = x @ x.mT - torch.eye(g.shape[-2], dtype=g.dtype, device=g.device)
    size = torch.linalg.matrix_norm(residual).nan_to_num(nan=math.inf) / math.sqrt(g.shape[-2])
    message = (
        f'method="{method}" did not reach orthonormal rows: they miss it by {{0:.1e}}; a singular value of g is '
        f'below {LEAST[method][g.dtype]:.0e} of the Frobenius norm, or zero: use method="svd"'
    )
    if null == "drop":
        size = size.masked_fill(zero[..., 0, 0], 0)
    return demand(x, size, LIMITS[g.dtype], message)
