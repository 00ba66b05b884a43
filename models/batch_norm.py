"""Batch normalisation whose statistics in training are those of all processes together, on any device.

``nn.SyncBatchNorm`` is the same on GPUs and refuses a CPU.
"""

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d``; with several processes it normalises by the mean and the variance of all their batches.

    So two processes with half a batch each compute what one does with the whole batch, gradients included. State,
    evaluation and a single process are those of ``nn.BatchNorm2d``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Features ``(n, c, h, w)`` to as many, normalised."""
        together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        if not (together and self.training):
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            wide = input if input.dtype == torch.float64 else input.float()
            ones = wide.new_full((1,), wide.numel() / wide.shape[1])
            sums = all_reduce(torch.cat([wide.sum((0, 2, 3)), ones]))
            count, mean = sums[-1], sums[:-1] / sums[-1]
            centred = wide - mean[:, None, None]
            variance = all_reduce(centred.square().sum((0, 2, 3))) / count
            self._track(mean.detach(), (variance * count / (count - 1)).detach())
            scale = torch.rsqrt(variance + self.eps)
            scale = scale if self.weight is None else scale * self.weight
            out = centred * scale[:, None, None]
            return (out if self.bias is None else out + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        newest = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), newest)
        self.running_var.lerp_(variance.to(self.running_var), newest)
