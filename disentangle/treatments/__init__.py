r"""Orthogonal Pre-SVD treatments: spectral norm, orthogonal loss, orthogonal weight, nearest orthogonal gradient,
optimal learning rate.

They keep the weight of a Pre-SVD layer, or what is done to it, near orthogonal, and with it the matrix that enters the
SVD meta-layer well conditioned and the directions of a generator apart. :func:`bind` puts those of a
:class:`TreatmentConfig` on a model, :class:`Treatment` takes part in its training, :func:`fold` takes them off again.

Song, Sebe, Wang, "Improving Covariance Conditioning of the SVD Meta-layer by Orthogonality", ECCV 2022, arXiv
2207.02119; "Orthogonal SVD Covariance Conditioning and Latent Disentanglement", TPAMI 2022, arXiv 2212.05599.

A weight of more than two dimensions is viewed as a matrix, its first dimension against all others: ``(out, in·k·k)``
for a convolution and ``(in, out·k·k)`` for a transposed one.
"""

from disentangle.treatments.binding import bind, fold
from disentangle.treatments.config import TREATMENTS, TreatmentConfig
from disentangle.treatments.functions import nearest_orthogonal_gradient, optimal_learning_rate, orthogonal_loss
from disentangle.treatments.treatment import Treatment
from disentangle.treatments.weight import Weight

__all__ = [
    "TREATMENTS",
    "Treatment",
    "TreatmentConfig",
    "Weight",
    "bind",
    "fold",
    "nearest_orthogonal_gradient",
    "optimal_learning_rate",
    "orthogonal_loss",
]
