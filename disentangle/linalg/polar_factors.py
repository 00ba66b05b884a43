"""The polar factor by a singular value decomposition, or by an eigendecomposition of the Gram matrix."""

import math

import torch
from torch import Tensor

from disentangle.linalg.checks import finite


def svd_factors(g: Tensor, null: str, rtol: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Polar factor (m, n), left singular vectors (m, m) and singular values (m), 0 where negligible; m ≤ n."""
    left, sigma, right = torch.linalg.svd(finite(g, "g"), full_matrices=False)
    sigma = sigma.where(sigma > rtol * sigma[..., :1], 0)
    return (left * (sigma > 0)[..., None, :] if null == "drop" else left) @ right, left, sigma


def gram_factors(g: Tensor, null: str, rtol: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`svd_factors`, from the eigenvectors of the Gram matrix."""
    if dtype == torch.float64:  # whose squares may leave float64's range, as those of float32 cannot
        largest = torch.linalg.vector_norm(g, math.inf, (-2, -1), keepdim=True)
        factor, left, sigma = _unit_gram_factors(g / largest.where(largest > 0, 1), null, rtol, dtype)
        return factor, left, sigma * largest[..., 0]
    return _unit_gram_factors(g, null, rtol, dtype)


def gram_maps(grams: Tensor, rtol: float, dtype: torch.dtype) -> Tensor | None:
    """What takes matrices to their polar factors, from the left, by their Gram matrices; both ``(..., m, m)``.

    ``None`` where a singular value is so small that its square lacks the digits.
    """
    squares, left, negligible, too_small = _eigen_of_gram(grams, rtol, dtype)
    return None if bool(too_small.any()) else _map_of(squares, left, negligible)[0]


def _unit_gram_factors(g: Tensor, null: str, rtol: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    squares, left, negligible, too_small = _eigen_of_gram(g @ g.mT, rtol, dtype)
    if torch.compiler.is_compiling() or bool(too_small.any()):  # a compiled graph has one way for all matrices
        orthonormal, triangular = torch.linalg.qr(g.mT)
        factor, left, sigma = svd_factors(triangular.mT, null, rtol, dtype)
        return factor @ orthonormal.mT, left, sigma
    to_orthogonal, sigma = _map_of(squares, left, negligible)
    return to_orthogonal @ g, left, sigma


def _eigen_of_gram(gram: Tensor, rtol: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Eigenvalues and -vectors of Gram matrices; which are to count as zero; and which are too small to know that."""
    squares, left = torch.linalg.eigh(finite(gram, "g"))
    largest = squares[..., -1:]
    eps = torch.finfo(torch.float64).eps
    # An eigenvalue of the Gram matrix has an absolute error of some eps times the largest. Where that is too much for
    # the result's dtype, or hides whether the direction is to be kept, the QR factor, whose condition is g's own,
    # decides.
    needed = 100 * eps / max(torch.finfo(dtype).eps, 1e-12)
    known = rtol**2 > 100 * eps * gram.shape[-1]
    negligible = squares <= rtol**2 * largest if known else torch.zeros_like(squares).bool()
    return squares, left, negligible, (squares < needed * largest) & ~negligible


def _map_of(squares: Tensor, left: Tensor, negligible: Tensor) -> tuple[Tensor, Tensor]:
    sigma = squares.where(~negligible, 0).clamp_min(0).sqrt()
    inverse = torch.where(sigma > 0, 1 / sigma, 0)
    return (left * inverse[..., None, :]) @ left.mT, sigma
