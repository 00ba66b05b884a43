r"""Global covariance pooling: a picture is described by how its features vary together, not by their averages.

Li, Xie, Wang, Gao, "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root
Normalization", CVPR 2018, arXiv 1712.01034; Song, Sebe, Wang, "Why Approximate Matrix Square Root Outperforms Accurate
SVD in Global Covariance Pooling?", ICCV 2021, arXiv 2105.02498.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from disentangle.errors import UserError, unknown_name
from disentangle.linalg import SQRT_METHODS, matrix_sqrt
from disentangle.models.batch_norm import BatchNorm2d

KEPT = 8
"""Pictures whose covariance is kept, so that the condition number costs little: the first of this process's share."""


class GlobalCovariancePooling(nn.Module):
    r"""1×1 convolution, batch norm and ReLU, then :math:`(\Sigma + \varepsilon I)^{1/2}` of each picture's covariance.

    :math:`\Sigma = \frac{1}{p} \sum_i (x_i - \bar x)(x_i - \bar x)^\top` over the p positions of one picture. The upper
    triangle of the root, row by row, is the picture's vector.

    With fewer positions than channels, 49 and 256 in a plain ResNet, most eigenvalues of the covariance are zero. There
    the gradient of the root is :math:`1/(2\sqrt\varepsilon)`, infinite without a ridge. In exact arithmetic the
    features, which have no part in these directions, never see it, but rounding does; so the ridge bounds what it is
    multiplied with, by 50 at the default. It is absolute, since batch norm and ReLU fix the scale: a channel's variance
    starts at 0.34.

    Covariance and root are computed in float64, as published: at condition numbers such as these float32 leaves the
    small eigenvalues few digits. ``precision="float32"`` is for hardware on which float64 is slow. Neither depends on
    autocast; the result has the dtype of the features.

    Args:
        in_channels: channels of the incoming features.
        channels: to how many the convolution reduces them.
        method: how the square root is found, see :func:`disentangle.linalg.matrix_sqrt`. An approximate one may want a
            larger ridge.
        eps: **absolute** ridge, added to the covariance.
        precision: ``"float64"`` or ``"float32"``.

    Attributes:
        out_features: ``channels * (channels + 1) / 2``, size of a picture's vector.
        last_covariance: ``(n, channels, channels)``: the covariances, before the ridge, of the first pictures, at most
            8, of the last batch in training, without gradient; ``None`` before the first. Not part of the state.
        last_dtype: dtype of the features that these are of, to whose precision they are known.

    Raises:
        UserError: a number is out of range, or ``method`` or ``precision`` unknown.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        method: str = "auto",
        eps: float = 1e-4,
        precision: Literal["float64", "float32"] = "float64",
    ) -> None:
        super().__init__()
        if min(in_channels, channels) < 1:
            raise UserError(f"in_channels and channels must be at least 1, got {in_channels} and {channels}")
        if not (math.isfinite(eps) and eps >= 0):
            raise UserError(f"eps, the ridge, must be finite and at least 0, got {eps}")
        if method not in SQRT_METHODS:
            raise unknown_name("method", method, SQRT_METHODS)
        if precision not in ("float64", "float32"):
            raise unknown_name("precision", precision, ("float64", "float32"))
        self.in_channels = in_channels
        self.channels = channels
        self.method = method
        self.eps = eps
        self.precision = precision
        self.out_features = channels * (channels + 1) // 2
        self.last_covariance: Tensor | None = None
        self.last_dtype: torch.dtype | None = None
        self.conv = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm = BatchNorm2d(channels)

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Features ``(n, in_channels, h, w)`` to vectors ``(n, out_features)``.

        Raises:
            UserError: a picture of a single position, NaN or infinite features, or more spread eigenvalues than
                ``method`` can do.
        """
        reduced = torch.relu(self.norm(self.conv(features)))
        with torch.autocast(reduced.device.type, enabled=False):
            covariance = self._covariance(reduced)
            if self.training:
                self.last_covariance, self.last_dtype = covariance[:KEPT].detach().clone(), reduced.dtype
            try:
                root = matrix_sqrt(covariance, self.method, eps=self.eps)
            except ValueError as error:
                if not bool(torch.isfinite(covariance).all()):
                    raise UserError("cannot pool features that have NaN or infinite values") from error
                raise UserError(f"cannot pool features by their covariance a: {error}") from error
            rows, columns = torch.triu_indices(self.channels, self.channels, device=root.device)
            return root.flatten(1).index_select(1, rows * self.channels + columns).to(reduced.dtype)

    def _covariance(self, features: Tensor) -> Tensor:
        positions = features.shape[-2] * features.shape[-1]
        if positions < 2:
            raise UserError(
                f"a covariance takes at least two positions, got features of {tuple(features.shape[-2:])}: "
                "give larger pictures, or strides fewer"
            )
        wide = torch.float64 if torch.float64 in (features.dtype, getattr(torch, self.precision)) else torch.float32
        x = features.flatten(2).to(wide)
        x = x - x.mean(2, keepdim=True)
        return x @ x.mT / positions

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"method={self.method!r}, eps={self.eps}, precision={self.precision!r}"
