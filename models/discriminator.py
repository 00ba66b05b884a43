"""EigenGAN's discriminator.

He, Kan, Shan, "EigenGAN: Layer-Wise Eigen-Learning for GANs", ICCV 2021, arXiv 2104.12476.
"""

from itertools import pairwise

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.models.blocks import SLOPE, check_channels, check_positive, keep_variance, scales


class Discriminator(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Convolutions down to 4×4, two at each scale, and a dense layer of one logit; no normalisation.

    Args:
        size: height and width of the pictures, a power of two, at least 32.
        channels: 1 (grey) or 3 (RGB).
        base_channels: channels at full resolution; they double with each coarser scale …
        max_channels: … up to this many.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` is no power of two or below 32, ``channels`` not 1 or 3, or another number below 1.
    """

    @register_to_config
    def __init__(
        self, size: int = 64, channels: int = 3, base_channels: int = 16, max_channels: int = 512, seed: int = 0
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_positive(base_channels=base_channels, max_channels=max_channels)
        widths = [min(max_channels, base_channels * 2**i) for i in range(len(scales(size)) + 1)]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 7, padding=3), nn.LeakyReLU(SLOPE, inplace=True)]
            for narrow, wide in pairwise(widths):
                for conv in (nn.Conv2d(narrow, narrow, 3, padding=1), nn.Conv2d(narrow, wide, 3, stride=2, padding=1)):
                    layers += [conv, nn.LeakyReLU(SLOPE, inplace=True)]
            layers += [nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
            self.features = nn.Sequential(*layers)
            self.logit = nn.Sequential(
                nn.Linear(widths[-1] * 4 * 4, widths[-1]), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(widths[-1], 1)
            )
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    keep_variance(layer)

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to logits ``(n,)``: positive for real."""
        return self.logit(self.features(images).flatten(1)).squeeze(1)  # type: ignore[no-any-return]
