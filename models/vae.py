"""A β-VAE whose decoder is steered through subspace layers, EigenGAN's way.

Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR 2017. The encoder
is that of Burgess et al., arXiv 1804.03599, and Locatello et al., arXiv 1811.12359; the decoder's blocks are those of
He, Kan, Shan, "EigenGAN", ICCV 2021, arXiv 2104.12476, from learned first features instead of noise.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.generator import Projection
from disentangle.models.blocks import SLOPE, EigenBlock, block_projections, check_channels, draw_normal, scales


class BetaVAE(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Convolutional Gaussian encoder; decoder with a subspace layer at each of its scales (4, 8, …, size/2).

    Args:
        size: height and width of the pictures, 32 or 64.
        channels: 1 (grey) or 3 (RGB).
        rank: ``q``, codes of each of the decoder's layers; there are ``3 * rank`` codes at 32 and ``4 * rank`` at 64.
        base_channels: the decoder's channels at full resolution; they double with each coarser scale …
        max_channels: … up to this many.
        encoder_channels: channels of the encoder's first two convolutions; the others have twice as many.
        hidden: size of the encoder's dense layer.
        seed: seed of the initial weights.

    Raises:
        UserError: where ``size`` is not 32 or 64, ``channels`` not 1 or 3, or a number below 1.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 64,
        channels: int = 1,
        rank: int = 3,
        base_channels: int = 16,
        max_channels: int = 64,
        encoder_channels: int = 32,
        hidden: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if size not in (32, 64):
            raise UserError(f"size must be 32 or 64, got {size}")
        check_channels(channels)
        if min(rank, base_channels, max_channels, encoder_channels, hidden) < 1:
            raise UserError(
                "rank, base_channels, max_channels, encoder_channels and hidden must be at least 1, "
                f"got {rank}, {base_channels}, {max_channels}, {encoder_channels} and {hidden}"
            )
        layers = scales(size)
        widths = [min(max_channels, base_channels * size // s) for s in [*layers, size]]
        downs = [channels, encoder_channels, encoder_channels, 2 * encoder_channels, 2 * encoder_channels]
        downs = downs[: len(layers) + 1]
        self.rank = rank
        self.latent_size = len(layers) * rank
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            convolutions: list[nn.Module] = []
            for narrow, wide in pairwise(downs):
                convolutions += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
            self.encoder = nn.Sequential(*convolutions)
            self.posterior = nn.Sequential(
                nn.Linear(downs[-1] * 4 * 4, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 2 * self.latent_size)
            )
            self.seed_features = nn.Parameter(0.5 * torch.randn(widths[0], 4, 4))
            self.blocks = nn.ModuleList(EigenBlock(widths[i], widths[i + 1], s, rank) for i, s in enumerate(layers))
            self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def posterior_of(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to mean and log-variance ``(n, d)`` of their codes."""
        mean, log_variance = self.posterior(self.encoder(images).flatten(1)).chunk(2, dim=1)
        return mean, log_variance

    def logits(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to pictures before the last non-linearity: ``tanh(logits / 2)`` is the picture."""
        features = self.seed_features.expand(len(latents), -1, -1, -1)
        if self.to_image.weight.is_contiguous(memory_format=torch.channels_last):
            features = features.contiguous(memory_format=torch.channels_last)
        for block, z in zip(self.blocks, latents.split(self.rank, dim=1), strict=True):
            features = block(z, features)
        return self.to_image(F.leaky_relu(features, SLOPE))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to their reconstructions from the posterior's mean."""
        return self.synthesize(self.encode(images))

    def encode(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)``: the posterior's mean."""
        return self.posterior_of(images)[0]

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, d)`` latents from the prior N(0, I)."""
        return draw_normal(n, self.latent_size, generator, self.to_image.weight)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to pictures ``(n, channels, size, size)`` in [-1, 1], in float32 or float64."""
        logits = self.logits(latents)
        return torch.tanh((logits if logits.dtype == torch.float64 else logits.float()) / 2)

    def projections(self) -> tuple[Projection, ...]:
        """The decoder's subspace layers, coarse to fine."""
        return block_projections(self.blocks, "blocks")
