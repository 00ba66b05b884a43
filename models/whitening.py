r"""Decorrelated batch normalisation: every batch leaves with a white covariance, not only with unit variances.

Huang, Yang, Lang, Deng, "Decorrelated Batch Normalization", CVPR 2018, arXiv 1804.08450; as an SVD meta-layer: Song,
Sebe, Wang, "Improving Covariance Conditioning of the SVD Meta-layer by Orthogonality", ECCV 2022, arXiv 2207.02119.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from disentangle.errors import UserError, unknown_name
from disentangle.linalg import SQRT_METHODS
from disentangle.models.whitening_function import running_whiten, whiten


class DecorrelatedBatchNorm2d(nn.Module):
    r"""ZCA whitening over a batch, in place of ``nn.BatchNorm2d``: :math:`\Sigma^{-1/2} (x - \mu)`, scaled and shifted.

    :math:`\Sigma = X X^\top / m + \varepsilon I` is the covariance of the channels over the :math:`m` pictures and
    positions of the batch, in each group of channels its own. In training the batch's own statistics are used, and a
    running mean and a running whitening matrix are kept; these are used in evaluation. Where a process group is
    initialised, the statistics in training are those of the batches of all processes together, gradients included, as
    with ``nn.SyncBatchNorm``.

    The whitening matrix is found in float64, from a covariance that is summed in float64 (on a CPU the sums of some
    thousand samples in float32), so that condition numbers up to 1e7 keep their first digits. All else is computed in
    float32, also for bfloat16 and float16 and under autocast, or in float64 for float64. NaN in the input is an error
    in training; in evaluation it comes out again, as from ``nn.BatchNorm2d``.

    The state of a plain ``nn.BatchNorm2d`` loads: its running variance becomes a diagonal whitening matrix
    :math:`1/\sqrt{\sigma^2 + \varepsilon}`, with the ``eps`` of this layer.

    Args:
        num_features: channels.
        groups: into how many groups of neighbouring channels they are cut, each whitened by itself; ``num_features``
            is batch normalisation.
        eps: **absolute** ridge, added to the covariance; 1e-2 as published. Without one, 0, a batch must have more
            samples than a group has channels, and no channel may follow from the others.
        momentum: weight of the newest batch in the running statistics; ``None`` for the plain average over all.
        affine: learn a scale and a shift of each channel.
        method: how the inverse square root is found, see :func:`disentangle.linalg.matrix_inverse_sqrt`.
        track_running_stats: without, evaluation uses the statistics of its batch, too.

    Attributes:
        weight: ``(num_features,)``, the scale, or ``None``.
        bias: ``(num_features,)``, the shift, or ``None``.
        running_mean: ``(num_features,)``, or ``None``.
        running_whitening: ``(groups, num_features / groups, num_features / groups)``, or ``None``.
        num_batches_tracked: int64 scalar, or ``None``.
        last_covariance: ``(groups, num_features / groups, num_features / groups)``, float64: the covariance of the last
            batch in training, before the ridge, without gradient; ``None`` before the first. Not part of the state.
        last_dtype: dtype of that batch, to whose precision the covariance is known.

    Raises:
        UserError: ``groups`` does not divide ``num_features``, a number is out of range or ``method`` is unknown.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_whitening: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        groups: int = 1,
        eps: float = 1e-2,
        momentum: float | None = 0.1,
        affine: bool = True,
        method: str = "auto",
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        _check_arguments(num_features, groups, eps, momentum, method)
        self.num_features = num_features
        self.groups = groups
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.method = method
        self.track_running_stats = track_running_stats
        self.last_covariance: Tensor | None = None
        self.last_dtype: torch.dtype | None = None
        width = num_features // groups
        self.register_parameter("weight", nn.Parameter(torch.ones(num_features)) if affine else None)
        self.register_parameter("bias", nn.Parameter(torch.zeros(num_features)) if affine else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_features) if tracked else None)
        self.register_buffer("running_whitening", torch.eye(width).repeat(groups, 1, 1) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0) if tracked else None)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Features ``(n, num_features, h, w)`` to as many, whitened; dtype and memory format stay.

        Raises:
            ValueError: ``x`` has another shape or is not floating-point.
            UserError: in training, where the batch has no whitening: a single sample; without a ridge, fewer samples
                than channels in a group, or a channel that follows from others; NaN or infinite values; or more spread
                eigenvalues than ``method`` can do.
        """
        if x.ndim != 4 or x.shape[1] != self.num_features or not x.is_floating_point():
            raise ValueError(f"expected features (n, {self.num_features}, h, w), got {x.dtype} of {tuple(x.shape)}")
        if not self.training and self.running_mean is not None and self.running_whitening is not None:
            return running_whiten(x, self.running_mean, self.running_whitening, self.weight, self.bias)
        together = self.training and distributed.is_available() and distributed.is_initialized()
        out, mean, whitening, covariance = whiten(
            x, self.weight, self.bias, self.groups, self.eps, self.method, together and distributed.get_world_size() > 1
        )
        if self.training:
            self.last_covariance, self.last_dtype = covariance, x.dtype
            self._track(mean, whitening)
        return out  # type: ignore[no-any-return]

    @torch.no_grad()
    def _track(self, mean: Tensor, whitening: Tensor) -> None:
        if self.running_mean is None or self.running_whitening is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        newest = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), newest)
        self.running_whitening.lerp_(whitening.to(self.running_whitening), newest)

    @torch.no_grad()
    def reset_running_stats(self) -> None:
        """Forget all batches."""
        if self.running_mean is None or self.running_whitening is None or self.num_batches_tracked is None:
            return
        self.running_mean.zero_()
        self.running_whitening.copy_(torch.eye(self.num_features // self.groups).expand_as(self.running_whitening))
        self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget all batches, the scale and the shift."""
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return (
            f"{self.num_features}, groups={self.groups}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, method={self.method!r}, track_running_stats={self.track_running_stats}"
        )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        old, new = f"{prefix}running_var", f"{prefix}running_whitening"
        variance = state_dict.get(old) if self.running_whitening is not None and new not in state_dict else None
        # A variance of another shape is left where it is: torch's own error says what does not fit.
        if isinstance(variance, Tensor) and variance.shape == (self.num_features,):
            scale = (state_dict.pop(old).double() + self.eps).rsqrt().to(variance)
            state_dict[new] = torch.diag_embed(scale.view(self.groups, -1))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check_arguments(num_features: int, groups: int, eps: float, momentum: float | None, method: str) -> None:
    if num_features < 1:
        raise UserError(f"num_features must be at least 1, got {num_features}")
    if not isinstance(groups, int) or groups < 1 or num_features % groups:
        possible = ", ".join(str(g) for g in range(1, num_features + 1) if num_features % g == 0)
        raise UserError(f"groups must divide the {num_features} channels, got {groups}: possible: {possible}")
    if not (math.isfinite(eps) and eps >= 0):
        raise UserError(f"eps, the ridge, must be finite and at least 0, got {eps}")
    if momentum is not None and not 0 <= momentum <= 1:
        raise UserError(f"momentum must lie in [0, 1], or be None for the average of all batches, got {momentum}")
    if method not in SQRT_METHODS:
        raise unknown_name("method", str(method), SQRT_METHODS)
