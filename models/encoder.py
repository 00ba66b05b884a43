"""A regressor from pictures back to latents: the encoder of a generator that has none.

Khrulkov, Mirvakhabova, Oseledets, Babenko, "Disentangled Representations from Non-Disentangled Models", 2021, arXiv
2102.06204: it is trained on generated pictures, whose latents are known.
"""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models.blocks import SLOPE, check_channels, check_images, check_positive, keep_variance

NARROWEST = 4
"""Height and width below which features are not halved any more."""

WIDEST = 4
"""Channels of the widest features, in multiples of the first ones."""


class LatentEncoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Convolutions of stride 2 down to 4×4 (up to 7×7 where the size is no power of two), then two dense layers.

    No normalisation: that of a picture would hide its brightness and contrast, which a latent may be about, and that of
    a batch has other statistics on real pictures than on generated ones.

    Args:
        size: height and width of the pictures, at least 8.
        channels: 1 (grey) or 3 (RGB).
        codes: ``d``, how many codes a picture has.
        width: channels of the first features; they double with each halving of the size, up to four times as many.
        hidden: size of the first dense layer.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` is below 8, ``channels`` not 1 or 3, or another number below 1.
    """

    @register_to_config
    def __init__(
        self, size: int = 64, channels: int = 3, codes: int = 6, width: int = 32, hidden: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        check_channels(channels)
        if size < 2 * NARROWEST:
            raise UserError(f"size must be at least {2 * NARROWEST}, got {size}")
        check_positive(codes=codes, width=width, hidden=hidden)
        self.codes = codes
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers: list[nn.Module] = []
            wide = width
            while size >= 2 * NARROWEST:
                conv = nn.Conv2d(channels, wide, 4, stride=2, padding=1)
                keep_variance(conv)
                layers += [conv, nn.LeakyReLU(SLOPE, inplace=True)]
                size, channels, wide = size // 2, wide, min(2 * wide, WIDEST * width)
            self.features = nn.Sequential(*layers)
            dense = nn.Linear(channels * size**2, hidden)
            keep_variance(dense)
            self.to_codes = nn.Sequential(dense, nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(hidden, codes))

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)``."""
        return self.to_codes(self.features(images).flatten(1))  # type: ignore[no-any-return]

    def encode(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)``, in float32 or float64: the latents
        that a picture came from, in the mean over all that may have made it."""
        check_images(images)
        codes = self(images)
        return codes if codes.dtype == torch.float64 else codes.float()  # type: ignore[no-any-return]
