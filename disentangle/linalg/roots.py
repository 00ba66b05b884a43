r"""The square root and the inverse square root of symmetric matrices, by every method."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from disentangle.linalg.approximate import APPROXIMATIONS, approximate_root
from disentangle.linalg.auto import root_method
from disentangle.linalg.checks import ASYMMETRY, a_tensor, full_precision, known
from disentangle.linalg.eigen import eigen_root
from disentangle.linalg.published import published_root

Backward = Literal["exact", "published"]

SQRT_METHODS = ("auto", "eigh", *APPROXIMATIONS)
BACKWARDS = ("exact", "published")


def matrix_sqrt(
    a: Float[Tensor, "*batch n n"], method: str = "auto", *, eps: float = 0.0, backward: Backward = "exact"
) -> Float[Tensor, "*batch n n"]:
    r"""The symmetric square root :math:`(A + \varepsilon I)^{1/2}` of positive semi-definite matrices.

    ===================  ====================================  =============================  =============  =======
    method               how                                   ``‖Y² − A‖₂ / ‖A‖`` at most    sure to κ_F    none at
    ===================  ====================================  =============================  =============  =======
    ``"eigh"``           eigendecomposition, exact             rounding                       any
    ``"newton_schulz"``  coupled iteration, to convergence     1e-10 in float64, else 1e-4    1e12, or 1e6
    ``"pade"``           Padé approximant [5, 5], one solve    2e-3                           9.0            27
    ``"taylor"``         Taylor polynomial of degree 10        1e-2                           4.9            12
    ===================  ====================================  =============================  =============  =======

    The last three work on A over its Frobenius norm ‖A‖, so that their error depends on
    :math:`\kappa_F = \|A\| / \lambda_{\min}`, which lies between the condition number κ and √n κ, and is √n for the
    identity. Every result is checked, and what misses the accuracy of the table is an error: never up to the κ_F of the
    column "sure", always from that of the last column on, and in between it depends on the other eigenvalues. Errors
    as measured over κ, and times, stand in ``docs/results/linalg.md``.

    The exact gradient is :math:`Q (L \circ Q^\top g Q) Q^\top` with
    :math:`L_{ij} = 1/(\sqrt{\lambda_i} + \sqrt{\lambda_j})`, for the root that was found; it is symmetric, finite at
    equal eigenvalues, and may be differentiated once more. Where two eigenvalues are both zero (below 4 machine
    epsilons of the largest) the derivative is infinite and that part of the gradient is set to zero: what is left is
    the gradient among matrices of the same rank. A ridge avoids the question.

    Args:
        a: symmetric positive semi-definite matrices, any batch shape. bfloat16 and float16 are computed in float32 and
            cast back, also under autocast. Eigenvalues that rounding made slightly negative count as zero.
        method: one of the table, or ``"auto"``, the fastest measured for the device and size among those that are as
            accurate as ``"eigh"``.
        eps: **absolute** ridge, added to every eigenvalue. Multiply by ``trace / n`` for a relative one.
        backward: ``"exact"``, or ``"published"``, which is automatic differentiation through the eigendecomposition or
            through the iteration, and for ``"pade"`` and ``"taylor"`` eight steps of an iteration for the Lyapunov
            equation. Those are checked when they run: a gradient that misses its Lyapunov equation by a relative 1e-2
            (for ``"eigh"`` and ``"newton_schulz"`` in float64 1e-5) is an error. ``"newton_schulz"`` then needs no
            eigendecomposition at all.

    Returns:
        Shape, dtype and device of ``a``.

    Raises:
        TypeError: ``a`` is not a tensor.
        ValueError: ``a`` is not a batch of square, real floating-point matrices, is not symmetric, not finite or has a
            negative eigenvalue; ``method`` or ``backward`` is unknown; ``eps`` is negative; the method did not reach
            its accuracy. On an accelerator the checks wait for the device.
    """
    return _power(a, method, eps, backward, inverse=False)


def matrix_inverse_sqrt(
    a: Float[Tensor, "*batch n n"], method: str = "auto", *, eps: float = 0.0, backward: Backward = "exact"
) -> Float[Tensor, "*batch n n"]:
    r"""The symmetric inverse square root :math:`(A + \varepsilon I)^{-1/2}` of positive definite matrices.

    Methods and backward passes are those of :func:`matrix_sqrt`, with these errors:

    ===================  ==============================  =============  =======
    method               ``‖Z A Z − I‖₂`` at most        sure to κ_F    none at
    ===================  ==============================  =============  =======
    ``"eigh"``           rounding, amplified by κ        any
    ``"newton_schulz"``  1e-6 in float64, else 1e-2      1e10, or 1e5
    ``"pade"``           2e-2                            9.2            19
    ``"taylor"``         2e-1                            4.6            9
    ===================  ==============================  =============  =======

    The exact gradient is :math:`Q (L \circ Q^\top g Q) Q^\top` with
    :math:`L_{ij} = -1/(\sqrt{\lambda_i} \sqrt{\lambda_j} (\sqrt{\lambda_i} + \sqrt{\lambda_j}))`; it is symmetric,
    finite at equal eigenvalues, and may be differentiated once more.

    Args:
        a: symmetric positive definite matrices; see :func:`matrix_sqrt`.
        method: see :func:`matrix_sqrt`.
        eps: **absolute** ridge, added to every eigenvalue: what makes the inverse root of a singular matrix exist.
        backward: see :func:`matrix_sqrt`.

    Returns:
        Shape, dtype and device of ``a``.

    Raises:
        TypeError, ValueError: as :func:`matrix_sqrt`; also where an eigenvalue, ridge included, is below 4 machine
            epsilons of the largest: the matrix is singular to working precision.
    """
    return _power(a, method, eps, backward, inverse=True)


def _power(a: Tensor, method: str, eps: float, backward: str, inverse: bool) -> Tensor:
    """The square root of ``a + eps I`` or its inverse."""
    a_tensor("a", a)
    known("method", method, SQRT_METHODS)
    known("backward", backward, BACKWARDS)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2] or a.dtype not in ASYMMETRY:
        possible = ", ".join(str(dtype).removeprefix("torch.") for dtype in ASYMMETRY)
        raise ValueError(f"a must be square matrices (..., n, n) of {possible}, got {a.dtype} of {tuple(a.shape)}")
    if not (math.isfinite(eps) and eps >= 0):
        raise ValueError(f"eps, the ridge, must be finite and at least 0, got {eps}")
    if a.numel() == 0:
        return a.clone()
    if method == "auto":
        method = root_method(a)
    with full_precision(a):
        wide = a if a.dtype == torch.float64 else a.float()
        if backward == "published":
            power = published_root(wide, method, eps, inverse, a.dtype)
        elif method == "eigh":
            power = eigen_root(wide, eps, inverse, a.dtype)
        else:
            power = approximate_root(wide, method, eps, inverse, a.dtype)
    return power.to(a.dtype)
