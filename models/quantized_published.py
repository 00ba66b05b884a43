"""The published networks of QLAE and Tripod, for pictures of 64×64.

Facts (sizes, norms, activations) from the code that comes with Hsu et al. 2023, arXiv 2305.18378 (configurations
``image`` and ``style_image``), and Hsu et al. 2024, arXiv 2404.10282.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from disentangle.generator import Projection
from disentangle.models.blocks import SLOPE, instance_norm

STYLE_WIDTH = 256
"""Units of the dense layers between the codes and what conditions a convolution, in both."""


class QLAEEncoder(nn.Sequential):
    """Twelve convolutions with instance norm, every third of stride 2, and three dense layers.

    Args:
        channels: of the pictures.
        outputs: number of codes.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for narrow, wide in pairwise([channels, 32, 64, 128, 256]):
            for width, kernel, stride in ((narrow, 3, 1), (wide, 3, 1), (wide, 4, 2)):
                layers.append(nn.Conv2d(width, wide, kernel, stride, padding=1, bias=False))
                layers += [instance_norm(wide), nn.LeakyReLU(SLOPE)]
        dense = [nn.Linear(256 * 4 * 4, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs)]
        super().__init__(*layers, nn.Flatten(), *dense)


class QLAEDecoder(nn.Module):
    """Twelve transposed convolutions of a learned constant, each with an instance norm whose scale and shift come from
    the codes.

    Args:
        channels: of the pictures.
        latent_size: number of codes.
    """

    def __init__(self, channels: int, latent_size: int) -> None:
        super().__init__()
        self.seed_features = nn.Parameter(torch.full((256, 4, 4), 0.1))
        self.dense = nn.Sequential(
            nn.Linear(latent_size, STYLE_WIDTH), nn.ReLU(), nn.Linear(STYLE_WIDTH, STYLE_WIDTH), nn.ReLU()
        )
        self.convolutions, self.styles = nn.ModuleList(), nn.ModuleList()
        for wide, narrow in pairwise([256, 256, 128, 64, 32]):
            for width, kernel, stride in ((wide, 3, 1), (narrow, 3, 1), (narrow, 4, 2)):
                self.convolutions.append(nn.ConvTranspose2d(width, narrow, kernel, stride, padding=1, bias=False))
                self.styles.append(nn.Sequential(nn.Linear(STYLE_WIDTH, 2 * narrow), nn.ReLU()))
        self.to_image = nn.Conv2d(32, channels, 3, padding=1, bias=False)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to logits ``(n, channels, 64, 64)``."""
        return self.features(latents)[-1]

    def features(self, latents: Tensor) -> tuple[Tensor, ...]:
        """Latents ``(n, d)`` to the output of the dense layers and of each convolution, the logits last."""
        style = self.dense(latents)
        features = self.seed_features.expand(len(latents), -1, -1, -1)
        outputs = [style]
        for convolution, projection in zip(self.convolutions, self.styles, strict=True):
            features = nn.functional.leaky_relu(convolution(features), SLOPE)
            scale, shift = projection(style)[:, :, None, None].chunk(2, dim=1)
            features = nn.functional.instance_norm(features, eps=1e-6) * scale + shift
            outputs.append(features)
        return *outputs, self.to_image(features)

    def projections(self, prefix: str) -> tuple[Projection, ...]:
        """The first dense layer, of the decoder that is ``prefix`` in its model."""
        return _first(self.dense[0], f"{prefix}.dense.0.weight")


class _Residual(nn.Module):
    """Two 3×3 convolutions, instance norms and GELUs beside a shortcut; conditioned where ``style`` is above 0."""

    def __init__(self, in_channels: int, channels: int, style: int = 0) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(c, channels, 3, padding=1) for c in (in_channels, channels))
        self.norms = nn.ModuleList(nn.GroupNorm(channels, channels, affine=not style) for _ in range(2))
        self.styles = nn.ModuleList(nn.Linear(style, 2 * channels) for _ in range(2 * bool(style)))
        self.shortcut = nn.Identity() if in_channels == channels else nn.Conv2d(in_channels, channels, 1)

    def forward(self, features: Tensor, style: Tensor | None = None) -> Tensor:
        """``(n, c, h, w)`` and style ``(n, s)`` to ``(n, c', h, w)``."""
        residual = features
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            residual = norm(convolution(residual))
            if style is not None:
                scale, shift = self.styles[i](style)[:, :, None, None].chunk(2, dim=1)
                residual = residual * (1 + scale) + shift
            residual = nn.functional.gelu(residual, approximate="tanh")
        return self.shortcut(features) + residual  # type: ignore[no-any-return]


def _dense(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.GELU("tanh")]


class TripodEncoder(nn.Sequential):
    """Eight residual blocks, halved in size after every second, their average over positions, and two dense layers.

    Args:
        channels: of the pictures.
        outputs: number of codes.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for inputs, width in ((channels, 32), (64, 64), (128, 128), (256, 256)):
            layers += [_Residual(inputs, width), _Residual(width, width)]
            layers += [nn.PixelUnshuffle(2), nn.Conv2d(4 * width, 2 * width, 1)]
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(*layers, *pool, *_dense(512, 512), nn.Linear(512, outputs))


class TripodDecoder(nn.Module):
    """Eight residual blocks, conditioned by the codes, of a learned constant; doubled in size after every second.

    Args:
        channels: of the pictures.
        latent_size: number of codes.
    """

    def __init__(self, channels: int, latent_size: int) -> None:
        super().__init__()
        self.seed_features = nn.Parameter(torch.ones(512, 4, 4))
        self.dense = nn.Sequential(*_dense(latent_size, STYLE_WIDTH), *_dense(STYLE_WIDTH, STYLE_WIDTH))
        self.blocks, self.ups = nn.ModuleList(), nn.ModuleList()
        for width, narrow in pairwise([512, 256, 128, 64, channels]):
            self.blocks.append(nn.ModuleList(_Residual(width, width, STYLE_WIDTH) for _ in range(2)))
            self.ups.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, narrow, 3, padding=1)))

    def forward(self, latents: Tensor) -> Tensor:
        """Latents ``(n, d)`` to logits ``(n, channels, 64, 64)``."""
        return self.features(latents)[-1]

    def features(self, latents: Tensor) -> tuple[Tensor, ...]:
        """Latents ``(n, d)`` to the output of the dense layers and of each scale, the logits last."""
        outputs = [self.dense(latents)]
        features = self.seed_features.expand(len(latents), -1, -1, -1)
        for blocks, up in zip(self.blocks, self.ups, strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                features = block(features, outputs[0])
            features = up(features)
            outputs.append(features)
        return tuple(outputs)

    def projections(self, prefix: str) -> tuple[Projection, ...]:
        """The first dense layer, of the decoder that is ``prefix`` in its model."""
        return _first(self.dense[0], f"{prefix}.dense.0.weight")


def _first(layer: nn.Module, parameter: str) -> tuple[Projection, ...]:
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"a dense layer is needed, got a {type(layer).__name__}")
    # Read anew each time: a treatment may make the weight of another tensor.
    return (Projection("layer 1", parameter, slice(0, layer.in_features), lambda: layer.weight.detach().clone()),)
