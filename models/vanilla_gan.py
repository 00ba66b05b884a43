"""A plain GAN of transposed convolutions and its discriminator: the networks on which penalties are compared.

Those of Wei, Shi, Liu, Ji, Gao, Wu, Zuo, "Orthogonal Jacobian Regularization for Unsupervised Disentanglement in Image
Generation", ICCV 2021, arXiv 2108.07668, at 64×64 and 128×128, with which Song, Sebe, Wang, arXiv 2212.05599, compare
orthogonal treatments of the first layer.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.generator import Projection
from disentangle.models.activations import ShowsActivations
from disentangle.models.blocks import (
    SLOPE,
    ToImage,
    check_channels,
    check_latents,
    check_positive,
    draw_normal,
    instance_norm,
    scales,
)


class VanillaGAN(ModelMixin, ConfigMixin, ShowsActivations):  # type: ignore[misc]
    """Latents become a 4×4 map by a linear layer, a transposed convolution; others double its size up to the picture's.

    All but the first are followed by instance norm and a leaky ReLU, and a 3×3 convolution makes the picture. As
    published there are as many channels at a resolution as the discriminator has there, twice as many from 128×128 on:
    512, 256, 128, 64, 64 from 4×4 to 64×64, and 1024, 1024, 512, 256, 128, 64 from 4×4 to 128×128. Other sizes follow
    the same rule.

    Args:
        size: height and width of the pictures, a power of two, at least 32.
        channels: 1 (grey) or 3 (RGB).
        latent_size: number of latents; published are 6 for dSprites at 64×64 and 30 for faces and churches at 128×128.
        base_channels: least number of channels, that of the features at full resolution.
        max_channels: largest number of channels.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` is no power of two or below 32, ``channels`` not 1 or 3, or another number below 1.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        latent_size: int = 6,
        base_channels: int = 64,
        max_channels: int = 1024,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_positive(latent_size=latent_size, base_channels=base_channels, max_channels=max_channels)
        wide = size if size >= 128 else size // 2
        widths = [max(base_channels, min(max_channels, base_channels * wide // s)) for s in [*scales(size), size]]
        self.latent_size = latent_size
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.first = nn.ConvTranspose2d(latent_size, widths[0], 4)
            # No bias: the norm takes the mean away again.
            self.convs = nn.ModuleList(
                nn.ConvTranspose2d(narrow, wide, 4, stride=2, padding=1, bias=False)
                for narrow, wide in pairwise(widths)
            )
            self.norms = nn.ModuleList(instance_norm(width) for width in widths[1:])
            self.to_image = ToImage(widths[-1], channels, 3)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``(n, latent_size)`` to pictures ``(n, channels, size, size)`` in [-1, 1]."""
        return self.picture_and_activations(latents, 0)[0]

    @property
    def depth(self) -> int:
        """Number of convolutions before the one that makes the picture; the published penalties take 4 of them at 64×64
        and 5 at 128×128."""
        return 1 + len(self.convs)

    def maps(self, latents: Tensor) -> Iterator[Tensor]:
        """What each convolution computes, ``(n, c, s, s)``, the picture before its tanh at last."""
        features = self.first(latents[:, :, None, None])
        if self.to_image.weight.is_contiguous(memory_format=torch.channels_last):
            features = features.contiguous(memory_format=torch.channels_last)
        yield features
        for conv, norm in zip(self.convs, self.norms, strict=True):
            features = conv(features)
            yield features
            features = F.leaky_relu(norm(features), SLOPE, inplace=True)
        yield self.to_image(features)

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, latent_size)`` latents from N(0, I)."""
        return draw_normal(n, self.latent_size, generator, self.to_image.weight)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Latents ``(n, latent_size)`` to pictures ``(n, channels, size, size)`` in [-1, 1], in float32 or float64."""
        check_latents(latents, self.latent_size)
        images = self(latents)
        return images if images.dtype == torch.float64 else images.float()  # type: ignore[no-any-return]

    def projections(self) -> tuple[Projection, ...]:
        """The first layer, a matrix of ``latent_size`` × (channels · 4 · 4) numbers."""
        return (
            Projection(
                name="layer 1",
                parameter="first.weight",
                latents=slice(0, self.latent_size),
                matrix=lambda: self.first.weight.detach().flatten(1).mT,
            ),
        )


class VanillaDiscriminator(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """4×4 convolutions of stride 2 down to 4×4, instance norm and ReLU after all but the first, and two dense layers.

    Args:
        size: height and width of the pictures, a power of two, at least 32.
        channels: 1 (grey) or 3 (RGB).
        base_channels: channels at half the resolution; they double with each coarser scale …
        max_channels: … up to this many.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` is no power of two or below 32, ``channels`` not 1 or 3, or another number below 1.
    """

    @register_to_config
    def __init__(
        self, size: int = 64, channels: int = 3, base_channels: int = 64, max_channels: int = 1024, seed: int = 0
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_positive(base_channels=base_channels, max_channels=max_channels)
        widths = [min(max_channels, base_channels * 2**i) for i in range(len(scales(size)))]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, stride=2, padding=1), nn.ReLU(inplace=True)]
            for narrow, wide in pairwise(widths):
                conv = nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False)
                layers += [conv, instance_norm(wide), nn.ReLU(inplace=True)]
            self.features = nn.Sequential(*layers)
            # The published one has a non-linearity between the dense layers at 64×64 and none at 128×128.
            between: nn.Module = nn.ReLU(inplace=True) if size < 128 else nn.Identity()
            self.logit = nn.Sequential(nn.Linear(widths[-1] * 4 * 4, widths[-1]), between, nn.Linear(widths[-1], 1))

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to logits ``(n,)``: positive for real."""
        return self.logit(self.features(images).flatten(1)).squeeze(1)  # type: ignore[no-any-return]
