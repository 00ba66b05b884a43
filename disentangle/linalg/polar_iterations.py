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
LEAST = {torch.float32: 1e-4, torch.float64: 1e-7}

# Coefficients of x, x³, x⁵ from [LEAST, 1] on, made by a Remez iteration in 60 digits, as the tests make them again.
QUINTICS = {
    torch.float32: (
        (8.5098853025862775, -25.264304190830911, 18.753567899739639),
        (4.2495734789228772, -3.1549764881142303, 0.58588478249132738),
        (4.2251221907778435, -3.1380444350845752, 0.58395345512991633),
        (4.1248386869943979, -3.0683324528059918, 0.57600295364569517),
        (3.758010335802898, -2.8092738924032869, 0.54648420658768513),
        (2.8561775412916086, -2.134056233175481, 0.47011076918027424),
        (2.0206004157761758, -1.4037211504667026, 0.39067389685203301),
        (1.8758751004808886, -1.2509719904811062, 0.37509721234197992),
        (1.8750000002349902, -1.2500000002611002, 0.37500000002611002),
    ),
    torch.float64: (
        (8.5142978546903609, -25.281733049803956, 18.76743434368381),
        (4.2571435427560052, -3.1602135605557008, 0.5864821580745039),
        (4.2571188076332224, -3.1601964523303319, 0.58648020658293133),
        (4.2570135104602647, -3.1601236225009301, 0.58647189907122508),
        (4.256565316657464, -3.1598136196987471, 0.58643653786400109),
        (4.2546585951638793, -3.1584947021626467, 0.5862860927011512),
        (4.2465650224380499, -3.1528945365746955, 0.5856473033504266),
        (4.2125328749835275, -3.1293167683544779, 0.58295798354691768),
        (4.0749711176342132, -3.0335012857318187, 0.57203133871963528),
        (3.599065367552684, -2.6947556541651247, 0.53345705211638471),
        (2.6085042066498233, -1.9336502253181602, 0.44779413637271114),
        (1.9426878036064341, -1.3233142632922897, 0.38240361674927835),
        (1.8750979089935687, -1.2501087834678735, 0.37501087851339604),
        (1.8750000000003295, -1.2500000000003662, 0.37500000000003662),
    ),
}
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
    steps = QUINTICS[g.dtype] if method == "polar_express" else (CUBIC,) * CUBIC_STEPS[g.dtype]
    for first, third, fifth in steps:
        gram = x @ x.mT
        polynomial = third * gram + fifth * (gram @ gram) if fifth else third * gram
        x = first * x + polynomial @ x
    residual = x @ x.mT - torch.eye(g.shape[-2], dtype=g.dtype, device=g.device)
    size = torch.linalg.matrix_norm(residual).nan_to_num(nan=math.inf) / math.sqrt(g.shape[-2])
    message = (
        f'method="{method}" did not reach orthonormal rows: they miss it by {{0:.1e}}; a singular value of g is '
        f'below {LEAST[g.dtype]:.0e} of the Frobenius norm, or zero: use method="svd"'
    )
    if null == "drop":
        size = size.masked_fill(zero[..., 0, 0], 0)
    return demand(x, size, LIMITS[g.dtype], message)
