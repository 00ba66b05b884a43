"""What a data set is known by: its name and size, and some of what it holds."""

import hashlib
from typing import Any

import torch

from disentangle.data.base import ImageSet, LabelledSet

SEEN = 64
"""Pictures by which a data set is known."""


def describe(data: ImageSet) -> dict[str, Any]:
    """Name, size, channels, number of pictures and factors."""
    factors = list(data.factor_names) if isinstance(data, LabelledSet) else None
    return {
        "name": data.name,
        "size": data.size,
        "channels": data.channels,
        "pictures": len(data),
        "factors": factors,
    }


def content_of(data: ImageSet) -> str:
    """SHA-256 of some of a set's pictures and factors, so that other files under the same name are another set."""
    chosen = torch.linspace(0, len(data) - 1, min(SEEN, len(data)), dtype=torch.float64).long()
    digest = hashlib.sha256(data.images(chosen).numpy().tobytes())
    if isinstance(data, LabelledSet):
        digest.update(data.factors(chosen).numpy().tobytes())
    return digest.hexdigest()
