"""Which factors are ordered numbers, and where their values lie."""

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?)(\D.*)?")
CIRCLE = 360.0
"""Degrees after which an angle begins anew."""


def scale_of(values: Sequence[str]) -> Tensor | None:
    """Where the values of a factor lie between the first and the last of them.

    Args:
        values: what they stand for, in words, such as ``"16.5/64"`` or ``"-30.0°"``.

    Returns:
        ``(n,)`` float64, rising from 0 to 1; ``None`` where they are no numbers of one unit, do not rise or fall from
        first to last, or go round in a circle, in which nothing lies before or after.
    """
    parts = [NUMBER.fullmatch(word) for word in values]
    units = {part[2] for part in parts if part}
    if len(values) < 2 or None in parts or len(units) > 1:
        return None
    numbers = torch.tensor([float(part[1]) for part in parts if part], dtype=torch.float64)
    steps, length = numbers.diff(), float(numbers[-1] - numbers[0])
    if not bool((steps * math.copysign(1.0, length) > 0).all()):
        return None
    if units == {"°"} and abs(length) + float(steps.abs().max()) >= CIRCLE - 1e-6:
        return None
    return (numbers - numbers[0]) / length
