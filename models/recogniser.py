"""The network that tells which latent made the difference between two pictures.

Zhu, Xu, Tao, "Learning Disentangled Representations with Latent Variation Predictability", ECCV 2020, arXiv 2007.12885.
"""

from itertools import pairwise

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.models.blocks import SLOPE, check_channels, check_positive, instance_norm, scales


class Recogniser(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """4×4 convolutions of stride 2 down to 4×4 on the difference of two pictures, and two dense layers.

    Instance norm follows all convolutions but the first. The one of OroJaR's comparison (arXiv 2108.07668) has the same
    shape with ``base_channels=4, hidden=16``, for pictures of 64×64.

    Args:
        size: height and width of the pictures, a power of two, at least 32.
        channels: 1 (grey) or 3 (RGB).
        latents: of how many latents one changed.
        base_channels: of every convolution.
        hidden: size of the first dense layer.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` is no power of two or below 32, ``channels`` not 1 or 3, or another number below 1.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        latents: int = 6,
        base_channels: int = 32,
        hidden: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_positive(latents=latents, base_channels=base_channels, hidden=hidden)
        widths = [base_channels] * len(scales(size))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers: list[nn.Module] = [nn.Conv2d(channels, base_channels, 4, stride=2, padding=1)]
            for narrow, wide in pairwise(widths):
                conv = nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False)
                layers += [nn.LeakyReLU(SLOPE, inplace=True), conv, instance_norm(wide)]
            self.features = nn.Sequential(*layers, nn.LeakyReLU(SLOPE, inplace=True))
            self.logits = nn.Sequential(
                nn.Linear(base_channels * 4 * 4, hidden), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(hidden, latents)
            )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, before and after, to the logits ``(n, latents)`` of what changed."""
        return self.logits(self.features(second - first).flatten(1))  # type: ignore[no-any-return]
