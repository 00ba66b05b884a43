"""The pieces that generators, discriminators and encoders share."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.generator import Projection
from disentangle.subspace import SubspaceLayer

SLOPE = 0.2
"""Slope of every leaky ReLU, as published."""


def scales(size: int) -> list[int]:
    """The resolutions ``4, 8, …, size/2`` at which a generator of ``size`` × ``size`` pictures has a subspace layer.

    Raises:
        UserError: where ``size`` is no power of two or below 32.
    """
    if size < 32 or size & (size - 1):
        below = max(32, 2 ** int(math.log2(max(size, 32))))
        raise UserError(
            f"size must be a power of two, at least 32, got {size}; the nearest are {below} and {2 * below}"
        )
    return [4 * 2**i for i in range(int(math.log2(size)) - 2)]


def check_channels(channels: int) -> None:
    """Raise :class:`UserError` unless pictures of ``channels`` channels can be shown: 1 (grey) or 3 (RGB)."""
    if channels not in (1, 3):
        raise UserError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")


def check_positive(**numbers: int) -> None:
    """Raise :class:`UserError` where a number, by its name, is below 1."""
    for name, value in numbers.items():
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}")


def check_latents(latents: Tensor, size: int) -> None:
    """Raise ValueError unless ``latents`` are ``(n, size)``."""
    if latents.ndim != 2 or latents.shape[1] != size:
        raise ValueError(f"latents must be (n, {size}), got shape {tuple(latents.shape)}")


def check_images(images: Tensor) -> None:
    """Raise ValueError where pictures are no numbers in [-1, 1], as those of a data set, which are bytes."""
    if not images.is_floating_point():
        raise ValueError(f"pictures must be numbers in [-1, 1], got {images.dtype}: of bytes take `x / 127.5 - 1`")


class EigenBlock(nn.Module):
    r"""One scale of EigenGAN: twice the resolution, and a subspace of the features steered by its own latents.

    With :math:`\phi = U^\top (L \circ z) + \mu`, the block computes :math:`h \leftarrow T_1(a(h + C_1 \phi))` and
    :math:`h \leftarrow T_2(a(h + C_2 \phi))`, where :math:`C_1` is a 1×1 convolution, :math:`C_2` and :math:`T_1` are
    transposed 3×3 convolutions of stride 2, and :math:`a` is a leaky ReLU.

    :math:`C_i` is linear, so it is applied to the ``rank + 1`` maps that span the subspace, not to the features of
    every picture: :math:`C \phi = \sum_j L_j z_j\, C u_j + C \mu`: the same result at ``(rank + 1) / n`` of the cost.

    Args:
        in_channels: channels of the incoming features.
        out_channels: channels of the outgoing features.
        size: height and width of the incoming features; the outgoing ones have twice that.
        rank: ``q``, the number of latents of this block.
        generator: source of the subspace's initial basis.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int, rank: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.shape = (in_channels, size, size)
        self.subspace = SubspaceLayer(math.prod(self.shape), rank, generator)
        self.subspace_same = nn.Conv2d(in_channels, in_channels, 1)
        self.subspace_up = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
        self.feature_up = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
        self.feature_same = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        for conv in (self.subspace_same, self.subspace_up, self.feature_up, self.feature_same):
            keep_variance(conv)

    def forward(self, latents: Tensor, features: Tensor) -> Tensor:
        """Latents ``(n, q)`` and features ``(n, c, s, s)`` to features ``(n, c', 2s, 2s)``."""
        for result in self.maps(latents, features):
            features = result
        return features

    def maps(self, latents: Tensor, features: Tensor) -> Iterator[Tensor]:
        """What the two convolutions of the features compute, ``(n, c', 2s, 2s)``; the second is the block's result."""
        # What spans the subspace: the basis and, last, the mean, whose coordinate is always 1.
        span = torch.cat([self.subspace.basis, self.subspace.mean[None]]).unflatten(1, self.shape)
        if features.is_contiguous(memory_format=torch.channels_last):
            span = span.contiguous(memory_format=torch.channels_last)
        coordinates = F.pad(latents * self.subspace.scale, (0, 1), value=1.0)
        features = self.feature_up(add_and_activate(features, coordinates, self.subspace_same, span))
        yield features
        yield self.feature_same(add_and_activate(features, coordinates, self.subspace_up, span))


def add_and_activate(
    features: Tensor, coordinates: Tensor, conv: nn.Conv2d | nn.ConvTranspose2d, span: Tensor
) -> Tensor:
    """Leaky ReLU of ``features + conv(Σ_j coordinates[:, j] · span[j])``, the convolution applied to ``span`` alone.

    Args:
        features: ``(n, c, h, w)``.
        coordinates: ``(n, q + 1)``, the last of them 1, so that the convolution's bias counts once.
        conv: a linear map of feature maps, with a bias.
        span: ``(q + 1, c', h', w')``.
    """
    # The bias belongs to the mean's map alone. Added to the others and subtracted again it would cost them their digits
    # in bfloat16, since a basis of unit length has small entries.
    if isinstance(conv, nn.ConvTranspose2d):
        padding, extra = conv.padding, conv.output_padding
        maps = F.conv_transpose2d(span, conv.weight, None, conv.stride, padding, extra)  # type: ignore[arg-type]
    else:
        maps = F.conv2d(span, conv.weight, None, conv.stride, conv.padding)
    if conv.bias is not None:
        maps = torch.cat([maps[:-1], maps[-1:] + conv.bias.to(maps.dtype)[:, None, None]])
    # Flattened as rows, columns, channels: no copy where the features lie channels-last in memory.
    flat = features.permute(0, 2, 3, 1).flatten(1)
    flat = torch.addmm(flat.to(maps.dtype), coordinates.to(maps.dtype), maps.permute(0, 2, 3, 1).flatten(1))
    # In place, while the numbers are in the cache and before any view of them exists.
    flat = F.leaky_relu(flat, SLOPE, inplace=True)
    n, c, h, w = features.shape
    return flat.view(n, h, w, c).permute(0, 3, 1, 2)


class ToImage(nn.Conv2d):
    """The convolution that makes pictures of features: ``nn.Conv2d`` of stride 1 that keeps the size, faster on a CPU.

    A CPU computes 8 or 16 output channels at once, of which a picture fills 1 or 3. So the pixels of a small block
    become channels: one convolution makes whole blocks, its stride their size and its kernel the picture's at each
    place in the block. The sums are the same, and the zeros around the shifted kernels cost less than idle lanes.

    Args:
        in_channels: channels of the features.
        out_channels: channels of the pictures.
        kernel_size: odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, features: Tensor) -> Tensor:
        """``(n, in_channels, h, w)`` to ``(n, out_channels, h, w)``."""
        n, _, h, w = features.shape
        rows, columns = (2, 4) if self.out_channels == 1 else (2, 2)
        if features.device.type != "cpu" or self.out_channels > 4 or h % rows or w % columns:
            return super().forward(features)
        places = [(i, j) for i in range(rows) for j in range(columns)]
        kernels = torch.stack([F.pad(self.weight, (j, columns - 1 - j, i, rows - 1 - i)) for i, j in places])
        bias = None if self.bias is None else self.bias.repeat(len(places))
        blocks = F.conv2d(features, kernels.flatten(0, 1), bias, stride=(rows, columns), padding=self.padding)
        blocks = blocks.view(n, rows, columns, self.out_channels, h // rows, w // columns)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, self.out_channels, h, w)


def instance_norm(channels: int) -> nn.GroupNorm:
    """Instance norm with a learned scale and shift of each channel, as published (ε = 1e-6).

    Written as a group norm whose groups are single channels: the same numbers, in less time and any memory format.
    """
    return nn.GroupNorm(channels, channels, eps=1e-6)


@torch.no_grad()
def keep_variance(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Initialise a layer such that leaky-ReLU features keep their variance through it, and its bias with 0.

    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, arXiv 1502.01852. Torch's own initial weights, which
    the program of Song, Sebe, Wang 2022 begins with, would shrink what a latent of a coarse layer does to a third with
    every convolution on its way. EigenGAN's program (LynnHo/EigenGAN-Tensorflow) divides by the inputs as this does for
    convolutions and dense layers, but for transposed convolutions by ``out_channels · k²``, where ``in_channels · k² /
    stride²`` is what meets in a pixel; and it draws the generator's last convolution so, too, which keeps torch's here.
    """
    if isinstance(layer, nn.Linear):
        inputs: float = layer.in_features
    else:
        inputs = layer.in_channels * math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose2d):
        inputs /= math.prod(layer.stride)  # so many of the kernel's entries meet in a pixel
    nn.init.normal_(layer.weight, std=math.sqrt(2 / (1 + SLOPE**2) / inputs))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def block_projections(blocks: nn.ModuleList, prefix: str) -> tuple[Projection, ...]:
    """The Pre-SVD layers of a stack of :class:`EigenBlock`, block ``i`` steered by latents ``i·q … (i+1)·q - 1``."""
    projections = []
    for i, block in enumerate(blocks):
        layer: SubspaceLayer = block.subspace  # type: ignore[assignment]
        projections.append(
            Projection(
                name=f"layer {i + 1}",
                parameter=f"{prefix}.{i}.subspace.basis",
                latents=slice(i * layer.rank, (i + 1) * layer.rank),
                matrix=layer.matrix,
            )
        )
    return tuple(projections)


def draw_normal(n: int, size: int, generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Draw ``(n, size)`` standard normal numbers on the generator's device and move them to where ``like`` is."""
    device = generator.device if generator is not None else None
    return torch.randn(n, size, generator=generator, device=device).to(like)
