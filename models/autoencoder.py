"""Encoders and decoders of the VAEs.

The encoder is that of Burgess et al., "Understanding disentangling in β-VAE", arXiv 1804.03599, and Locatello et al.,
"Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations", ICML 2019, arXiv
1811.12359. There are two decoders: that of Locatello et al., and one of EigenGAN's blocks (He, Kan, Shan, ICCV 2021,
arXiv 2104.12476) from learned first features instead of noise.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.generator import Projection
from disentangle.models.blocks import SLOPE, EigenBlock, block_projections, check_positive, scales

LATENTS = 10
"""Codes by default: those of Locatello et al., and twice as many as the factors of dSprites, as QLAE's and Tripod's."""


def check_size(size: int) -> None:
    """Raise :class:`UserError` unless pictures are 32 or 64 pixels wide, which these networks are made for."""
    if size not in (32, 64):
        raise UserError(f"size must be 32 or 64, got {size}")


def count_codes(decoder: str, latent_size: int | None, size: int, rank: int) -> int:
    """Number of codes: that asked for, by default 10; of the subspace decoder ``rank`` for each of its scales.

    Raises:
        UserError: where it is below 1, or not what the subspace decoder has.
    """
    if latent_size is not None:
        check_positive(latent_size=latent_size)
    if decoder != "subspace":
        return LATENTS if latent_size is None else latent_size
    codes = rank * len(scales(size))
    if latent_size not in (None, codes):
        raise UserError(
            f"the subspace decoder has {codes} codes, {rank} a layer, and latent_size is {latent_size}: leave it out "
            "and set rank, or take the conv decoder"
        )
    return codes


def intensities(images: Tensor) -> Tensor:
    """Pictures in [-1, 1] to intensities in [0, 1]: black is 0."""
    return (images + 1) / 2


def conv_encoder(size: int, channels: int, width: int, kernels: tuple[int, ...] = (4, 4, 4, 4)) -> nn.Sequential:
    """Convolutions of stride 2 from ``size`` down to 4×4: ``width`` channels twice, then twice as many.

    Args:
        size: 64, of which all four convolutions are made, or 32, of which the first three are.
        channels: of the pictures.
        width: channels of the first two convolutions.
        kernels: 4 or 2 for each convolution; Locatello et al. publish 4, 4, 2, 2.
    """
    widths = [channels, width, width, 2 * width, 2 * width][: len(scales(size)) + 1]
    layers: list[nn.Module] = []
    for (narrow, wide), kernel in zip(pairwise(widths), kernels, strict=False):
        layers += [nn.Conv2d(narrow, wide, kernel, stride=2, padding=kernel // 2 - 1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class SubspaceDecoder(nn.Module):
    """A decoder with a subspace layer at each of its scales (4, 8, …, size/2), EigenGAN's way.

    Args:
        size: height and width of the pictures, 32 or 64.
        channels: of the pictures.
        rank: ``q``, codes of each layer.
        base_channels: channels at full resolution; they double with each coarser scale …
        max_channels: … up to this many.
    """

    def __init__(self, size: int, channels: int, rank: int, base_channels: int, max_channels: int) -> None:
        super().__init__()
        layers = scales(size)
        widths = [min(max_channels, base_channels * size // s) for s in [*layers, size]]
        self.rank = rank
        self.latent_size = len(layers) * rank
        self.seed_features = nn.Parameter(0.5 * torch.randn(widths[0], 4, 4))
        self.blocks = nn.ModuleList(EigenBlock(widths[i], widths[i + 1], s, rank) for i, s in enumerate(layers))
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to logits ``(n, channels, size, size)``."""
        return self.features(latents)[-1]

    def features(self, latents: Tensor) -> tuple[Tensor, ...]:
        """Latents ``(n, d)`` to what each block makes of them, coarse to fine, the logits last."""
        features = self.seed_features.expand(len(latents), -1, -1, -1)
        if self.to_image.weight.is_contiguous(memory_format=torch.channels_last):
            features = features.contiguous(memory_format=torch.channels_last)
        outputs = []
        for block, z in zip(self.blocks, latents.split(self.rank, dim=1), strict=True):
            features = block(z, features)
            outputs.append(features)
        return *outputs, self.to_image(F.leaky_relu(features, SLOPE))

    def projections(self, prefix: str) -> tuple[Projection, ...]:
        """The subspace layers, coarse to fine, of the decoder that is ``prefix`` in its model."""
        return block_projections(self.blocks, f"{prefix}.blocks")


class ConvDecoder(nn.Module):
    """The decoder of Locatello et al.: two dense layers, then transposed 4×4 convolutions of stride 2 from 4×4 on.

    As published for 64×64, with ``width`` 32: 256 and 1024 units, and 64, 32, 32 and ``channels`` channels. At 32×32,
    which is not published, one convolution of 32 channels is left out.

    Args:
        size: height and width of the pictures, 32 or 64.
        channels: of the pictures.
        latent_size: ``d``, number of codes.
        width: channels of the finest features; the coarsest have twice as many.
        hidden: units of the first dense layer, the Pre-SVD layer.
    """

    def __init__(self, size: int, channels: int, latent_size: int, width: int, hidden: int) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.dense = nn.Sequential(
            nn.Linear(latent_size, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 2 * width * 4 * 4), nn.ReLU(True)
        )
        widths = [2 * width, 2 * width, *[width] * (len(scales(size)) - 2), channels]
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers[:-1])

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to logits ``(n, channels, size, size)``."""
        return self.features(latents)[-1]

    def features(self, latents: Tensor) -> tuple[Tensor, ...]:
        """Latents ``(n, d)`` to what the dense layers and each convolution make of them, the logits last."""
        # Rows, columns, channels, as published; so they also lie in memory as convolutions like them.
        outputs = [self.dense(latents).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)]
        # The ReLUs are in place: what follows one is its convolution's output, too.
        for convolution, activation in zip(self.convolutions[::2], [*self.convolutions[1::2], nn.Identity()]):
            outputs.append(activation(convolution(outputs[-1])))
        return tuple(outputs)

    def projections(self, prefix: str) -> tuple[Projection, ...]:
        """The first dense layer, of the decoder that is ``prefix`` in its model."""
        layer: nn.Linear = self.dense[0]  # type: ignore[assignment]
        return (
            Projection(
                name="layer 1",
                parameter=f"{prefix}.dense.0.weight",
                latents=slice(0, self.latent_size),
                matrix=lambda: layer.weight.detach().clone(),
            ),
        )


def glorot(layer: nn.Module, heads: int = 1) -> None:
    """Initialise the weight of a layer uniformly by Glorot and Bengio, AISTATS 2010, and its bias with 0; a layer of
    another kind is left alone. As published for these networks, whose authors' library does so by default.

    Args:
        layer: of the network.
        heads: how many published layers it stands for, side by side.
    """
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        for head in layer.weight.chunk(heads):
            nn.init.xavier_uniform_(head)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
