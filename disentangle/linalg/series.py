r"""The square root as a polynomial or a rational function of the matrix: one fixed number of products for any matrix.

Song, Sebe, Wang, "Fast Differentiable Matrix Square Root", ICLR 2022, arXiv 2201.08663.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

DEGREE = 10
ORDER = 5


def taylor(a: Float[Tensor, "*batch n n"], inverse: bool) -> Float[Tensor, "*batch n n"]:
    r"""Matrix Taylor polynomial (MTP): that of :math:`(1 - x)^{\pm 1/2}`, of degree 10, at :math:`X = I - A`.

    Args:
        a: positive definite, Frobenius norm 1.
        inverse: the inverse root.
    """
    coefficients = [1.0]
    for k in range(1, DEGREE + 1):  # binomial coefficients of ±1/2, with alternating signs
        coefficients.append(coefficients[-1] * (k - 1 + (0.5 if inverse else -0.5)) / k)
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    x = identity - a
    result = coefficients[DEGREE] * x + coefficients[DEGREE - 1] * identity
    for coefficient in reversed(coefficients[: DEGREE - 1]):
        result = result @ x + coefficient * identity
    return result


def pade(a: Float[Tensor, "*batch n n"], inverse: bool) -> Float[Tensor, "*batch n n"]:
    r"""Matrix Padé approximant (MPA): the [5, 5] one of :math:`\sqrt{1 - x}` at :math:`X = I - A`; one linear solve.

    With :math:`s = \sqrt{1 - x}`, the approximant is :math:`s ((1+s)^{11} + (1-s)^{11}) / ((1+s)^{11} - (1-s)^{11})`.
    In powers of :math:`s^2`, which is a, the coefficients of its numerator and denominator are binomial coefficients:
    both are positive definite, so that the solve goes by Cholesky factors. The relative error is
    :math:`2 q / (1 - q)` with :math:`q = ((1-s)/(1+s))^{11}`, for the inverse root as well, which is the reciprocal.

    Args:
        a: positive definite, Frobenius norm 1.
        inverse: the inverse root.
    """
    powers = [torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand_as(a), a]
    while len(powers) <= ORDER:
        powers.append(powers[-1] @ a)
    numerator, denominator = (
        sum((math.comb(2 * ORDER + 1, 2 * k + odd) * power for k, power in enumerate(powers)), torch.zeros_like(a))
        for odd in (0, 1)
    )
    if inverse:
        numerator, denominator = denominator, numerator
    factor, _ = torch.linalg.cholesky_ex((denominator + denominator.mT) * 0.5)
    return torch.cholesky_solve(numerator, factor)
