"""EigenGAN's generator: layer-wise linear subspaces whose basis vectors become directions of meaning.

He, Kan, Shan, "EigenGAN: Layer-Wise Eigen-Learning for GANs", ICCV 2021, arXiv 2104.12476.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.generator import Projection
from disentangle.models.activations import ShowsActivations
from disentangle.models.blocks import (
    SLOPE,
    EigenBlock,
    ToImage,
    block_projections,
    check_channels,
    check_latents,
    check_positive,
    draw_normal,
    keep_variance,
    scales,
)


class EigenGAN(ModelMixin, ConfigMixin, ShowsActivations):  # type: ignore[misc]
    """Generator with a subspace layer at each of its scales (4, 8, …, size/2).

    The latents are ``layers * rank`` coordinates in the subspaces, coarse to fine, and then ``noise`` numbers that
    enter the first dense layer and carry all that no direction explains.

    Args:
        size: height and width of the pictures, a power of two, at least 32.
        channels: 1 (grey) or 3 (RGB).
        rank: ``q``, latents of each layer.
        noise: size of the noise that enters the first dense layer.
        base_channels: channels of the features at full resolution; they double with each coarser scale …
        max_channels: … up to this many.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` is no power of two or below 32, ``channels`` not 1 or 3, or another number below 1.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 64,
        channels: int = 3,
        rank: int = 6,
        noise: int = 512,
        base_channels: int = 16,
        max_channels: int = 512,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_channels(channels)
        check_positive(rank=rank, noise=noise, base_channels=base_channels, max_channels=max_channels)
        layers = scales(size)
        widths = [min(max_channels, base_channels * size // s) for s in [*layers, size]]
        self.rank = rank
        self.noise = noise
        self.latent_size = len(layers) * rank + noise
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.seed_features = nn.Linear(noise, widths[0] * 4 * 4)
            keep_variance(self.seed_features)
            self.blocks = nn.ModuleList(EigenBlock(widths[i], widths[i + 1], s, rank) for i, s in enumerate(layers))
            self.to_image = ToImage(widths[-1], channels, 7)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``(n, latent_size)`` to pictures ``(n, channels, size, size)`` in [-1, 1]."""
        return self.picture_and_activations(latents, 0)[0]

    @property
    def depth(self) -> int:
        """Number of the blocks' convolutions but for the last, whose result is activated in place."""
        return 2 * len(self.blocks) - 1

    def maps(self, latents: Tensor) -> Iterator[Tensor]:
        """What the two convolutions of each block compute, ``(n, c, s, s)``, the picture before its tanh at last.

        The dense layer before them, which no direction enters, is left out.
        """
        codes, noise = latents.split([self.latent_size - self.noise, self.noise], dim=1)
        features = self.seed_features(noise).unflatten(1, (-1, 4, 4))
        if self.to_image.weight.is_contiguous(memory_format=torch.channels_last):
            features = features.contiguous(memory_format=torch.channels_last)
        for block, z in zip(self.blocks, codes.split(self.rank, dim=1), strict=True):
            for result in block.maps(z, features):  # type: ignore[operator]
                features = result
                yield features
        yield self.to_image(F.leaky_relu(features, SLOPE, inplace=True))

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, latent_size)`` latents from N(0, I)."""
        return draw_normal(n, self.latent_size, generator, self.to_image.weight)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Latents ``(n, latent_size)`` to pictures ``(n, channels, size, size)`` in [-1, 1], in float32 or float64."""
        check_latents(latents, self.latent_size)
        images = self(latents)
        return images if images.dtype == torch.float64 else images.float()  # type: ignore[no-any-return]

    def projections(self) -> tuple[Projection, ...]:
        """The subspace layers, coarse to fine."""
        return block_projections(self.blocks, "blocks")
