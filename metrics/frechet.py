"""The Fréchet distance between two sets of features.

Dowson, Landau, "The Fréchet distance between multivariate normal distributions", J. Multivariate Analysis 12, 1982;
for pictures, Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, arXiv 1706.08500. It is FID
only with the Inception network and the resize of the latter; with other features it carries their name.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.metrics.common import Result, as_array

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frechet(Result):
    """A Fréchet distance (squared, as is the custom) and its parts.

    Attributes:
        mean_term: ``‖μ₁ − μ₂‖²``.
        covariance_term: ``tr Σ₁ + tr Σ₂ − 2 tr √(Σ₁Σ₂)``.
        n: samples of the first set.
        m: samples of the second set.
        dimension: ``d``, the number of features.
        features: the name of the network that made them, with the size its pictures were resized to.
    """

    mean_term: float
    covariance_term: float
    n: int
    m: int
    dimension: int
    features: str | None

    @property
    def score(self) -> float:
        """The squared distance, in squared units of the features; 0 for equal means and covariances."""
        return self.mean_term + self.covariance_term


def frechet_distance(x: ArrayLike | Tensor, y: ArrayLike | Tensor, features: str | None = None) -> Frechet:
    r"""The squared Fréchet (2-Wasserstein) distance between the Gaussians of two sets of features.

    .. math:: \|\mu_1-\mu_2\|^2 + \operatorname{tr}\Sigma_1 + \operatorname{tr}\Sigma_2
              - 2\operatorname{tr}\sqrt{\Sigma_1\Sigma_2}

    with unbiased covariances (``N - 1``), in float64. With any factors :math:`\Sigma_1 = A^\top A`,
    :math:`\Sigma_2 = B^\top B`, the last three terms are the residual of an orthogonal Procrustes problem,
    :math:`\min_Q \|A - QB\|_F^2`, solved by the polar factor of :math:`BA^\top`, whose nuclear norm is
    :math:`\operatorname{tr}\sqrt{\Sigma_1\Sigma_2}`. Computed as that residual where the sets are close, nothing
    cancels, no matrix square root is taken and singular covariances (fewer samples than features, constant or
    repeated features) need no ridge.

    The estimate is biased upwards, the more so the fewer the samples: compare only scores of equal ``n`` and ``m``.
    Memory beyond the features is a few ``d × d`` matrices.

    Args:
        x: ``(n, d)`` features of one set, ``n ≥ 2``; any float type, NumPy or torch.
        y: ``(m, d)`` features of the other, ``m ≥ 2``.
        features: name of the features, kept in the result.

    Raises:
        ValueError: for fewer than two samples, different numbers of features, or values that are not finite.
    """
    a, b = as_array(x, "x"), as_array(y, "y")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x and y must have the same features, got {a.shape[1]} and {b.shape[1]} columns")
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a covariance needs at least 2 samples, got {len(a)} and {len(b)}")
    origin = a.mean(axis=0, dtype=np.float64)  # one origin for both: a large common offset costs no digits
    mean_a, factor_a = _moments(a, origin)
    mean_b, factor_b = _moments(b, origin)
    mean_term = float(np.sum(np.square(mean_a - mean_b)))
    covariance_term = _procrustes_residual(factor_a, factor_b)
    return Frechet("Gaussians, N - 1", mean_term, covariance_term, len(a), len(b), a.shape[1], features)


def _moments(features: NDArray[np.generic], origin: Matrix) -> tuple[Matrix, Matrix]:
    """The mean ``(d,)`` relative to ``origin``, and a factor ``R (r, d)``, ``r ≤ d``, with ``RᵀR`` the covariance.

    The factor comes from QR decompositions of the centred features, over blocks of rows so that no second copy of a
    large set is made. The covariance itself is never formed: that would halve the digits.
    """
    n, d = features.shape
    step = max(4 * d, 1024)
    blocks = [slice(start, start + step) for start in range(0, n, step)]
    mean: Matrix = sum((features[b].astype(np.float64) - origin).sum(axis=0) for b in blocks) / n
    rows = np.empty((0, d))
    for block in blocks:
        rows = np.vstack([rows, features[block].astype(np.float64) - origin - mean])
        if len(rows) > d:
            rows = np.asarray(np.linalg.qr(rows, mode="r"))
    return mean, rows / np.sqrt(n - 1)


def _procrustes_residual(a: Matrix, b: Matrix) -> float:
    """``min ‖A − QB‖²`` over orthogonal ``Q``, the shorter matrix filled up with zero rows."""
    if len(a) > len(b):
        a, b = b, a
    total = float(np.sum(np.square(a)) + np.sum(np.square(b)))
    difference = total - 2 * float(np.linalg.svd(b @ a.T, compute_uv=False).sum())
    if difference > 1e-3 * total or total == 0:
        return difference  # few digits cancelled; singular values alone take a third of the time
    a, b = _graded(a), _graded(b)
    left, _, right = np.linalg.svd(b @ a.T, full_matrices=False)
    left, right = _orthonormal(left), _orthonormal(right.T)
    aligned = left.T @ b
    return float(np.sum(np.square(a - right @ aligned)) + np.sum(np.square(b - left @ aligned)))


def _graded(factor: Matrix) -> Matrix:
    """Another factor of the same covariance, its rows in descending order of size, by QR with pivoting.

    The product of two such factors is graded, and its singular vectors are then right for small singular values too,
    on which the digits of a small distance depend (Drmač, "Accurate computation of the product-induced singular value
    decomposition", SIAM Journal on Numerical Analysis 35, 1998).
    """
    triangle, order = scipy.linalg.qr(factor, mode="r", pivoting=True)
    graded = np.empty((min(factor.shape), factor.shape[1]))
    graded[:, order] = triangle[: len(graded)]
    return graded


def _orthonormal(columns: Matrix) -> Matrix:
    """One Newton-Schulz step: columns that are orthonormal up to some roundings become so up to one."""
    return columns + 0.5 * columns @ (np.eye(columns.shape[1]) - columns.T @ columns)
