"""Angles between directions and between the subspaces that they span."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from disentangle.directions.record import Directions


def principal_angles(a: "Tensor | Directions", b: "Tensor | Directions") -> Tensor:
    """The principal angles between two subspaces.

    The first is the smallest angle between a vector of the one and a vector of the other, the next the smallest among
    what is orthogonal to these two, and so on: all are 0 where one subspace lies in the other. Small angles are
    computed from their sine and large ones from their cosine, so that both are exact to about 1e-15.

    Source: Björck, Golub, "Numerical Methods for Computing Angles Between Linear Subspaces", Mathematics of
    Computation 27, 1973.

    Args:
        a: ``(k, d)``, any basis of the one, as rows; a single vector ``(d,)``; or directions.
        b: ``(m, d)``, of the other.

    Returns:
        ``min(k, m)`` angles in radians, from 0 to π/2 in ascending order, float64 on the CPU; as many fewer as rows
        depend on others.

    Raises:
        ValueError: where the two are not of one latent space, or one is zero or not finite.
    """
    first, second = _orthonormal(a), _orthonormal(b)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"expected vectors of the same size, got {first.shape[1]} and {second.shape[1]}")
    if len(first) < len(second):
        first, second = second, first
    overlap = second @ first.mT
    cosines = torch.linalg.svdvals(overlap)
    sines = torch.linalg.svdvals(second - overlap @ first).flip(0)
    small = cosines.square() >= 0.5
    angles: Tensor = torch.where(small, sines.clamp(max=1).asin(), cosines.clamp(max=1).acos())
    return angles


def angles_between(a: Tensor, b: Tensor) -> Tensor:
    """Degrees, 0 to 90, between the lines of unit vectors ``(k, d)`` and ``(k, d)``, row by row and whatever their
    signs; in float64, exact for small angles as the arc cosine is not."""
    a, b = a.double(), b.double()
    chord = torch.minimum(torch.linalg.vector_norm(a - b, dim=1), torch.linalg.vector_norm(a + b, dim=1))
    return torch.rad2deg(2 * torch.asin((chord / 2).clamp(max=0.5**0.5)))


def _orthonormal(given: "Tensor | Directions") -> Tensor:
    """An orthonormal basis, as rows in float64, of what the rows span."""
    rows: Tensor = torch.atleast_2d(torch.as_tensor(getattr(given, "vectors", given))).detach().cpu().double()
    if rows.ndim != 2 or rows.numel() == 0 or not bool(rows.isfinite().all()):
        raise ValueError(f"expected a basis (k, d) of finite numbers, got shape {tuple(rows.shape)}")
    _, values, basis = torch.linalg.svd(rows, full_matrices=False)
    rank = int((values > values[0] * max(rows.shape) * torch.finfo(torch.float64).eps).sum())
    if rank == 0:
        raise ValueError("expected a basis, got zeros, which span nothing")
    kept: Tensor = basis[:rank]
    return kept
