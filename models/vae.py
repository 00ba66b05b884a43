"""Variational autoencoders with a Gaussian posterior: one network, named after the objective that trains it.

The objectives are in :mod:`disentangle.training.objectives`; the class of a saved network tells which of them it was.
"""

from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.errors import unknown_name
from disentangle.generator import Projection
from disentangle.models.autoencoder import (
    ConvDecoder,
    SubspaceDecoder,
    check_size,
    conv_encoder,
    count_codes,
    glorot,
    intensities,
)
from disentangle.models.blocks import check_channels, check_images, check_latents, check_positive, draw_normal


class GaussianVAE(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Convolutional Gaussian encoder, and one of two decoders.

    ``decoder="subspace"`` has a subspace layer at each of its scales (4, 8, …, size/2), with ``rank`` codes each:
    ``3 * rank`` codes at 32 and ``4 * rank`` at 64. ``decoder="conv"`` makes both networks those of Locatello et al.
    2019, arXiv 1811.12359, as published for 64×64; at 32×32 each has one convolution less.

    Args:
        size: height and width of the pictures, 32 or 64.
        channels: 1 (grey) or 3 (RGB).
        decoder: ``"subspace"`` or ``"conv"``.
        latent_size: number of codes of the convolutional decoder, by default 10. That of the subspace decoder follows
            from its rank.
        rank: ``q``, codes of each of the subspace decoder's layers.
        base_channels: the subspace decoder's channels at full resolution; they double with each coarser scale …
        max_channels: … up to this many.
        encoder_channels: channels of the encoder's first two convolutions, published as 32; the others have twice as
            many. The convolutional decoder mirrors them.
        hidden: size of the encoder's dense layer and of the convolutional decoder's first, published as 256.
        seed: seed of the initial weights.
        unit_input: whether the encoder sees intensities in [0, 1], as in the program of Locatello et al., instead of
            pictures in [-1, 1]: at the border, which its convolutions pad with 0, these differ.

    Raises:
        UserError: where ``size`` is not 32 or 64, ``channels`` not 1 or 3, ``decoder`` unknown, a number below 1, or
            ``latent_size`` not what the subspace decoder has.
    """

    @register_to_config
    def __init__(
        self,
        size: int = 64,
        channels: int = 1,
        decoder: Literal["subspace", "conv"] = "subspace",
        latent_size: int | None = None,
        rank: int = 3,
        base_channels: int = 16,
        max_channels: int = 64,
        encoder_channels: int = 32,
        hidden: int = 256,
        seed: int = 0,
        unit_input: bool = False,
    ) -> None:
        super().__init__()
        check_size(size)
        check_channels(channels)
        if decoder not in ("subspace", "conv"):
            raise unknown_name("decoder", decoder, ("subspace", "conv"))
        check_positive(
            rank=rank,
            base_channels=base_channels,
            max_channels=max_channels,
            encoder_channels=encoder_channels,
            hidden=hidden,
        )
        codes = count_codes(decoder, latent_size, size, rank)
        published = decoder == "conv"
        self.latent_size = codes
        self.unit_input = unit_input
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.encoder = conv_encoder(size, channels, encoder_channels, (4, 4, 2, 2) if published else (4, 4, 4, 4))
            self.posterior = nn.Sequential(
                nn.Linear(2 * encoder_channels * 4 * 4, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 2 * codes)
            )
            self.synthesis: SubspaceDecoder | ConvDecoder
            if published:
                self.synthesis = ConvDecoder(size, channels, codes, encoder_channels, hidden)
                self.apply(glorot)
                glorot(self.posterior[-1], heads=2)
            else:
                self.synthesis = SubspaceDecoder(size, channels, rank, base_channels, max_channels)

    def posterior_of(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to mean and log-variance ``(n, d)`` of their codes."""
        seen = intensities(images) if self.unit_input else images
        mean, log_variance = self.posterior(self.encoder(seen).flatten(1)).chunk(2, dim=1)
        return mean, log_variance

    def logits(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to pictures before the last non-linearity: ``tanh(logits / 2)`` is the picture."""
        return self.synthesis(latents)  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to their reconstructions from the posterior's mean."""
        return self.synthesize(self.encode(images))

    def encode(self, images: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)`` in [-1, 1] to codes ``(n, d)``: the posterior's mean."""
        check_images(images)
        return self.posterior_of(images)[0]

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, d)`` latents from the prior N(0, I)."""
        like: nn.Conv2d = self.encoder[0]  # type: ignore[assignment]
        return draw_normal(n, self.latent_size, generator, like.weight)

    def synthesize(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to pictures ``(n, channels, size, size)`` in [-1, 1], in float32 or float64."""
        check_latents(latents, self.latent_size)
        logits = self.logits(latents)
        return torch.tanh((logits if logits.dtype == torch.float64 else logits.float()) / 2)

    def projections(self) -> tuple[Projection, ...]:
        """The decoder's subspace layers, coarse to fine, or the convolutional decoder's first dense layer."""
        return self.synthesis.projections("synthesis")


class BetaVAE(GaussianVAE):
    """β-VAE: Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR
    2017. Networks and arguments are those of :class:`GaussianVAE`."""


class AnnealedVAE(GaussianVAE):
    """β-VAE of growing capacity: Burgess et al., "Understanding disentangling in β-VAE", 2018, arXiv 1804.03599.
    Networks and arguments are those of :class:`GaussianVAE`."""


class FactorVAE(GaussianVAE):
    """FactorVAE: Kim and Mnih, "Disentangling by Factorising", ICML 2018, arXiv 1802.05983. Networks and arguments are
    those of :class:`GaussianVAE`; its discriminator is a :class:`LatentDiscriminator`."""


class BetaTCVAE(GaussianVAE):
    """β-TCVAE: Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement in Variational Autoencoders", NeurIPS
    2018, arXiv 1802.04942. Networks and arguments are those of :class:`GaussianVAE`."""


class DIPVAE(GaussianVAE):
    """DIP-VAE: Kumar, Sattigeri, Balakrishnan, "Variational Inference of Disentangled Latent Concepts from Unlabeled
    Observations", ICLR 2018, arXiv 1711.00848. Networks and arguments are those of :class:`GaussianVAE`."""
