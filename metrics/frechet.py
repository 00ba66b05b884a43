"""The Fréchet distance between two sets of features.

Dowson, Landau, "The Fréchet distance between multivariate normal distributions", J. Multivariate Analysis 12, 1982;
for pictures, Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, arXiv 1706.08500. It is FID
only with the Inception network and the resize of the latter; with other features it carries their name.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, lapack
from torch import Tensor

from disentangle.metrics.common import as_features
from disentangle.metrics.feature_score import INCEPTION, FeatureScore, Pair
from disentangle.metrics.moments import Matrix, Moments

LARGE = 256
"""From this many features on, time matters; below, every digit is had for nothing."""
TOLERANCE = 1e-9
"""Error, as a share of the score, that a faster way may have by its own estimate."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Frechet(FeatureScore):
    """A Fréchet distance (squared, as is the custom) and its parts.

    Attributes:
        mean_term: ``‖μ₁ − μ₂‖²``.
        covariance_term: ``tr Σ₁ + tr Σ₂ − 2 tr √(Σ₁Σ₂)``.
    """

    mean_term: float
    covariance_term: float

    @property
    def score(self) -> float:
        """The squared distance, in squared units of the features; 0 for equal means and covariances."""
        return self.mean_term + self.covariance_term

    @property
    def name(self) -> str:
        """``"FID"`` of features of the published Inception network and resize, else ``"Fréchet distance"``."""
        return "FID" if self.features in INCEPTION else "Fréchet distance"

    def to_dict(self) -> dict[str, Any]:
        """The score, its name and every part, as JSON can hold them."""
        return {"name": self.name, **super().to_dict()}


def frechet_distance(
    x: ArrayLike | Tensor | Moments, y: ArrayLike | Tensor | Moments, features: str | None = None
) -> Frechet:
    r"""The squared Fréchet (2-Wasserstein) distance between the Gaussians of two sets of features.

    .. math:: \|\mu_1-\mu_2\|^2 + \operatorname{tr}\Sigma_1 + \operatorname{tr}\Sigma_2
              - 2\operatorname{tr}\sqrt{\Sigma_1\Sigma_2}

    with unbiased covariances (``N - 1``), in float64. With any factors :math:`\Sigma_1 = A^\top A`,
    :math:`\Sigma_2 = B^\top B`, the last three terms are the residual of an orthogonal Procrustes problem,
    :math:`\min_Q \|A - QB\|_F^2`, solved by the polar factor of :math:`BA^\top`, whose nuclear norm is
    :math:`\operatorname{tr}\sqrt{\Sigma_1\Sigma_2}`. Computed as that residual where the sets are close, nothing
    cancels, no matrix square root is taken and singular covariances (fewer samples than features, constant or
    repeated features) need no ridge. Of many features the nuclear norm is first taken from the eigenvalues of
    :math:`\Sigma_1\Sigma_2`, and kept where their rounding errors are estimated to be below 1e-9 of the score.

    The estimate is biased upwards, the more so the fewer the samples: compare only scores of equal ``n`` and ``m``, or
    take off :attr:`~disentangle.metrics.feature_score.FeatureScore.bias`. Memory beyond the features is a few
    ``d × d`` matrices.

    Args:
        x: ``(n, d)`` features of one set, ``n ≥ 2``; any float type, NumPy or torch; or their :class:`Moments`.
        y: ``(m, d)`` features of the other, ``m ≥ 2``, or their moments.
        features: name of the features, kept in the result.

    Raises:
        ValueError: for fewer than two samples, different numbers of features, or values that are not finite.
    """
    a = x if isinstance(x, Moments) else as_features(x, "x")
    b = y if isinstance(y, Moments) else as_features(y, "y")
    (n, d), (m, other) = (_shape(values) for values in (a, b))
    if d != other:
        raise ValueError(f"x and y must have the same features, got {d} and {other} columns")
    if min(n, m) < 2:
        raise ValueError(f"a covariance needs at least 2 samples, got {n} and {m}")
    mean_term, covariance_term = _terms(a, b)
    source = None
    if not isinstance(a, Moments) and not isinstance(b, Moments):
        source = Pair(partial(frechet_distance, features=features), a, b)
    return Frechet(
        variant="Gaussians, N - 1",
        mean_term=mean_term,
        covariance_term=covariance_term,
        n=n,
        m=m,
        dimension=d,
        features=features,
        source=source,
    )


def _shape(values: NDArray[Any] | Moments) -> tuple[int, int]:
    return (values.n, values.dimension) if isinstance(values, Moments) else (values.shape[0], values.shape[1])


def _terms(a: NDArray[Any] | Moments, b: NDArray[Any] | Moments) -> tuple[float, float]:
    """The mean term and the covariance term."""
    if not isinstance(a, Moments) and not isinstance(b, Moments):
        origin = a.mean(axis=0, dtype=np.float64)  # one origin for both: a large common offset costs no digits
        # A covariance takes less than half of the time of a factor, and is as good where it is far from singular.
        if origin.size >= LARGE and min(len(a), len(b)) >= 2 * origin.size:
            (mean_a, covariance_a), (mean_b, covariance_b) = (_covariance(values, origin) for values in (a, b))
            covariance_term = _from_covariances(covariance_a, covariance_b)
            if covariance_term is not None:
                return float(np.sum(np.square(mean_a - mean_b))), covariance_term
        a, b = Moments.of(a, origin), Moments.of(b, origin)
    first = a if isinstance(a, Moments) else Moments.of(a, b.origin if isinstance(b, Moments) else None)
    second = b if isinstance(b, Moments) else Moments.of(b, first.origin)
    mean_term = float(np.sum(np.square(first.difference(second))))
    return mean_term, _procrustes_residual(*(m.factor / np.sqrt(m.n - 1) for m in (first, second)))


def _covariance(features: NDArray[Any], origin: Matrix) -> tuple[Matrix, Matrix]:
    """The mean relative to ``origin`` and the lower triangle of the covariance, zeros above, over blocks of rows."""
    n, d = features.shape
    blocks = [slice(start, start + 1024) for start in range(0, n, 1024)]
    mean: Matrix = sum((features[block] - origin).sum(axis=0) for block in blocks) / n
    scatter = np.zeros((d, d), order="F")
    for block in blocks:
        rows = np.ascontiguousarray(features[block] - (origin + mean))
        scatter = blas.dsyrk(1 / (n - 1), rows.T, beta=1.0, c=scatter, lower=1, overwrite_c=1)
    return mean, scatter


def _from_covariances(a: Matrix, b: Matrix) -> float | None:
    """The covariance term from the eigenvalues of ``LᵀAL``, ``B = LLᵀ``, of lower triangles, which are overwritten.

    ``None`` where rounding errors may be too large.
    """
    total = float(np.trace(a) + np.trace(b))
    scale = _norm(a) * _norm(b)
    lower, failed = lapack.dpotrf(b, lower=1, overwrite_a=1)
    if failed:
        return None
    product, _ = lapack.dsygst(a, lower, itype=2, lower=1, overwrite_a=1)
    eigenvalues = scipy.linalg.eigvalsh(product, lower=True, check_finite=False, overwrite_a=True, driver="evd")
    return _difference(total, eigenvalues, scale)


def _difference(total: float, eigenvalues: Matrix, scale: float) -> float | None:
    """``total − 2 Σ √λ``, or ``None`` where rounding errors of the eigenvalues may be more than a billionth of it.

    LAPACK's errors are of the order of the machine precision times ``scale``, a norm, in each eigenvalue, and
    independent; measured on graded and on white spectra they are smaller by orders.
    """
    error = 4 * np.finfo(np.float64).eps * scale
    roots = np.sqrt(np.maximum(eigenvalues, 0))
    difference = float(total - 2 * roots.sum())
    estimate = 2 * float(np.linalg.norm(error / (2 * np.maximum(roots, np.sqrt(error))))) if error > 0 else 0.0
    return difference if estimate + 1e-14 * total <= TOLERANCE * difference else None


def _norm(covariance: Matrix) -> float:
    """The largest eigenvalue of a lower triangle, to a few per cent, by power iteration."""
    vector: Matrix = np.sqrt(np.maximum(np.diagonal(covariance), 0))
    for _ in range(10):
        length = float(np.linalg.norm(vector))
        if length == 0:
            return 0.0
        vector = blas.dsymv(1 / length, covariance, vector, lower=1)
    return float(np.linalg.norm(vector))


def _procrustes_residual(a: Matrix, b: Matrix) -> float:
    """``min ‖A − QB‖²`` over orthogonal ``Q``, the shorter matrix filled up with zero rows."""
    if len(a) > len(b):
        a, b = b, a
    total = float(np.sum(np.square(a)) + np.sum(np.square(b)))
    product = a @ b.T
    if len(product) >= LARGE:
        eigenvalues = scipy.linalg.eigvalsh(product @ product.T, check_finite=False, overwrite_a=True, driver="evd")
        fast = _difference(total, eigenvalues, float(max(eigenvalues[-1], 0)))
        if fast is not None:
            return fast
    difference = total - 2 * float(np.linalg.svd(product, compute_uv=False).sum())
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
