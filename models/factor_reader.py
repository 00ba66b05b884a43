"""A network that reads the known factors off a picture: what tells which factor a direction moves."""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models.blocks import SLOPE, check_channels, check_positive, keep_variance

SEEN = 32
"""Height and width at which larger pictures are seen."""

NARROWEST = 4
"""Height and width below which features are not halved any more."""

WIDEST = 4
"""Channels of the widest features, in multiples of the first ones."""


class FactorReader(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Convolutions of stride 2 down to 4×4 (up to 7×7 where the size is no power of two), a dense layer, and a head a
    factor.

    A factor is known to a few pixels, so larger pictures are averaged down to between 32×32 and 63×63 first: a reader
    of 64×64 would take four times as long. No normalisation: that of a picture would hide its brightness, and that of a
    batch has other statistics on generated pictures than on those of the data.

    Args:
        size: height and width of the pictures, at least 8.
        channels: 1 (grey) or 3 (RGB).
        classes: how many values, or groups of values, of each factor are told apart.
        width: channels of the first features; they double with each halving of the size, up to four times as many.
        hidden: size of the dense layer.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` is below 8, ``channels`` not 1 or 3, there is no factor, or another number below 1.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 32,
        channels: int = 3,
        classes: Sequence[int] = (2,),
        width: int = 16,
        hidden: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_channels(channels)
        if size < 2 * NARROWEST:
            raise UserError(f"size must be at least {2 * NARROWEST}, got {size}")
        if not classes:
            raise UserError("a reader needs a factor to read, got none")
        check_positive(width=width, hidden=hidden, classes=min(classes))
        self.size, self.channels, self.classes = size, channels, tuple(classes)
        self.pool = max(1, size // SEEN)
        size //= self.pool
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers: list[nn.Module] = []
            narrow, wide = channels, width
            while size >= 2 * NARROWEST:
                conv = nn.Conv2d(narrow, wide, 4, stride=2, padding=1)
                keep_variance(conv)
                layers += [conv, nn.LeakyReLU(SLOPE, inplace=True)]
                size, narrow, wide = size // 2, wide, min(2 * wide, WIDEST * width)
            dense = nn.Linear(prod((narrow, size, size)), hidden)
            keep_variance(dense)
            self.features = nn.Sequential(*layers, nn.Flatten(), dense, nn.LeakyReLU(SLOPE, inplace=True))
            self.heads = nn.ModuleList(nn.Linear(hidden, count) for count in self.classes)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to logits, ``(n, classes)`` for each factor."""
        features = self.features(F.avg_pool2d(images, self.pool) if self.pool > 1 else images)
        return [head(features) for head in self.heads]

    @torch.no_grad()
    def read(self, images: Tensor) -> list[Tensor]:
        """How likely each class of each factor is: ``(n, classes)`` for each factor, rows that sum to 1.

        Args:
            images: ``(n, channels, size, size)`` in [-1, 1].
        """
        return [logits.float().softmax(1) for logits in self(images)]
