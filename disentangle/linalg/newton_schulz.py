r"""The coupled Newton-Schulz iteration for a root and its inverse, and the backward pass through it.

Higham, "Functions of Matrices", 2008, eq. 6.35; Li, Xie, Wang, Gao, "Towards Faster Training of Global Covariance
Pooling Networks by Iterative Matrix Square Root Normalization", CVPR 2018, arXiv 1712.01034.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Matrices = Float[Tensor, "*batch n n"]

# 1.5^(2 · steps) is how far below 1 an eigenvalue may lie: to the working precision.
STEPS = {torch.float32: 25, torch.float64: 50}


def newton_schulz(a: Matrices, inverse: bool) -> Matrices:
    """The root of ``a``, or its inverse, by as many steps as it takes.

    Args:
        a: positive definite, Frobenius norm 1.
        inverse: the inverse root.
    """
    return last(iterates(a), inverse)


def iterates(a: Matrices) -> list[Tensor]:
    """Y, Z and T of every step, one after the other: ``T = (3 I - Z Y) / 2``, then ``Y T`` and ``T Z`` are the next Y
    and Z, which tend to the root and to its inverse.

    Under ``torch.compile``, whose graph is fixed, these are always all steps.
    """
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand_as(a)
    y, z = a, identity
    close = torch.finfo(a.dtype).eps ** 0.5
    kept = []
    for _ in range(STEPS[a.dtype]):
        rest = identity - z @ y
        t = identity + 0.5 * rest
        kept += [y, z, t]
        y, z = y @ t, t @ z
        if not torch.compiler.is_compiling() and bool((torch.linalg.matrix_norm(rest.detach()) <= 2 * close).all()):
            break  # the error is squared by each step
    return kept


def last(kept: list[Tensor], inverse: bool) -> Tensor:
    y, z, t = kept[-3:]
    return t @ z if inverse else y @ t


def through_iterates(kept: list[Tensor], gradient: Matrices, inverse: bool) -> Matrices:
    """The gradient with respect to ``a``, given that with respect to the root: automatic differentiation of
    :func:`newton_schulz`, written out."""
    zero = torch.zeros_like(gradient)
    of_y, of_z = (zero, gradient) if inverse else (gradient, zero)
    for k in range(len(kept) - 3, -1, -3):
        y, z, t = kept[k : k + 3]
        of_product = -0.5 * (y.mT @ of_y + of_z @ z.mT)
        of_y, of_z = of_y @ t.mT + z.mT @ of_product, t.mT @ of_z + of_product @ y.mT
    return of_y
