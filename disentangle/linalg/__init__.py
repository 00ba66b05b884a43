r"""Differentiable functions of symmetric positive semi-definite matrices, and the polar factor: the SVD meta-layer.

The exact backward passes here divide by *sums* of roots of eigenvalues, :math:`\sqrt{\lambda_i} + \sqrt{\lambda_j}`.
Automatic differentiation through ``torch.linalg.eigh`` or ``svd`` divides by the *differences* of eigenvalues, and
gives NaN where two coincide.

What each method costs and how exact it is stands, measured, in ``docs/results/linalg.md``.

Song, Sebe, Wang, "Orthogonal SVD Covariance Conditioning and Latent Disentanglement", TPAMI 2022, arXiv 2212.05599.
"""

from disentangle.linalg.polar import Null, polar, polar_each
from disentangle.linalg.roots import SQRT_METHODS, matrix_inverse_sqrt, matrix_sqrt

__all__ = ["SQRT_METHODS", "Null", "matrix_inverse_sqrt", "matrix_sqrt", "polar", "polar_each"]
