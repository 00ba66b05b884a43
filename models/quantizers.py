"""Snapping codes to the nearest of a few values, each code to its own."""

import torch
from torch import Tensor


def nearest(codes: Tensor, values: Tensor) -> Tensor:
    """The nearest value of each code, ``(n, d)``, with a gradient to the values alone.

    Args:
        codes: ``(n, d)``.
        values: ``(d, k)``, of each code its own, in any order.
    """
    index = (codes[:, :, None] - values).abs().argmin(dim=-1)
    return values[torch.arange(len(values), device=values.device), index]


def straight_through(codes: Tensor, values: Tensor) -> Tensor:
    """The values, with the gradient that they would have were they the codes themselves.

    Bengio, Léonard, Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
    Computation", 2013, arXiv 1308.3432.

    Args:
        codes: ``(n, d)``.
        values: ``(n, d)``, what the codes were snapped to.
    """
    # The values to the bit: codes + (values - codes) would round, and a value is to look the same each time.
    return values.detach() + (codes - codes.detach())
