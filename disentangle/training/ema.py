"""An exponential moving average of a model's weights, the model that samples are drawn from."""

import copy

import torch
from torch import nn


class EMA:
    """Keeps ``model``, a copy whose parameters follow those of another; buffers are copied as they are.

    Args:
        source: the model that is trained.
        half_life: steps after which an old weight counts half; 0 copies without averaging.
    """

    def __init__(self, source: nn.Module, half_life: float) -> None:
        self.model = copy.deepcopy(source).eval().requires_grad_(False)
        self.half_life = half_life

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Move a little towards ``source``. Early on (``step`` counts from 1) the average is shorter than asked for, so
        that the initial weights are soon forgotten."""
        decay = 0.5 ** (1 / self.half_life) if self.half_life > 0 else 0.0
        decay = min(decay, step / (step + 10))
        mine, theirs = ([p.detach() for p in model.parameters()] for model in (self.model, source))
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        for buffer, other in zip(self.model.buffers(), source.buffers(), strict=True):
            buffer.copy_(other)
