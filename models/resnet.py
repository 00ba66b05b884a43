"""Residual networks that classify pictures, with an SVD meta-layer at their beginning, their end, or both.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385, with the stride of a
bottleneck in its 3×3 convolution, as in torchvision. Where the meta-layers stand: Song, Sebe, Wang, "Orthogonal SVD
Covariance Conditioning and Latent Disentanglement", TPAMI 2022, arXiv 2212.05599.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from disentangle.errors import UserError, unknown_name
from disentangle.generator import PreSVDLayer
from disentangle.models.batch_norm import BatchNorm2d
from disentangle.models.covariance_pooling import GlobalCovariancePooling
from disentangle.models.whitening import DecorrelatedBatchNorm2d
from disentangle.orthogonal import SkewOrthogonalConv2d

Norm = Literal["batch", "decorrelated"]
Pool = Literal["average", "covariance"]
Depth = Literal["18", "34", "50", "small"]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    Args:
        in_channels: channels of the incoming features.
        channels: of the outgoing ones.
        stride: of the first convolution.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, h, w)`` to ``(n, channels, h / stride, w / stride)``."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """A 3×3 convolution between two of 1×1, which narrow and widen by four, beside a shortcut.

    Args:
        in_channels: channels of the incoming features.
        channels: of the narrow ones.
        stride: of the 3×3 convolution.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        wide = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, wide, 1, bias=False)
        self.bn3 = BatchNorm2d(wide)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, wide, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, h, w)`` to ``(n, 4 * channels, h / stride, w / stride)``."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Plan:
    """What the depth decides: the kind of block; for each stage its blocks, channels relative to the stem's, and
    stride; the stem's channels."""

    block: type[BasicBlock | Bottleneck]
    blocks: tuple[int, ...]
    channels: tuple[int, ...] = (1, 2, 4, 8)
    strides: tuple[int, ...] = (1, 2, 2, 2)
    width: int = 64


DEPTHS = {
    "18": _Plan(BasicBlock, (2, 2, 2, 2)),
    "34": _Plan(BasicBlock, (3, 4, 6, 3)),
    "50": _Plan(Bottleneck, (3, 4, 6, 3)),
    "small": _Plan(BasicBlock, (1, 1, 1), (2, 4, 4), (2, 2, 2), 16),
}


class ResNet(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A residual network with the published depths, or a small one that trains on a CPU.

    With ``norm="batch"``, ``pool="average"`` and ``stem="large"`` it is torchvision's, whose ``state_dict`` loads.

    Args:
        depth: ``"18"``, ``"34"`` or ``"50"``; or ``"small"``, for 28×28 and 32×32: a 5×5 stem of 16 channels, whose
            covariance has full rank even on grey pictures, and three stages of one block.
        num_classes: logits.
        in_channels: channels of the pictures.
        norm: the norm after the stem: ``"batch"``, or ``"decorrelated"``, an SVD meta-layer, which no max-pool follows.
            All others are batch norms.
        pool: ``"average"``, or ``"covariance"``, an SVD meta-layer; before the latter the last stage keeps its
            resolution, as published, so that there are more positions.
        stem: ``"small"``, 3×3 of stride 1 for CIFAR; or ``"large"``, 7×7 of stride 2 and a max-pool for ImageNet. The
            small depth has but its own.
        groups: of the decorrelated norm.
        eps: ridge of the decorrelated norm, absolute.
        pool_channels: channels of which the covariance is taken.
        width: channels of the stem, of which all other layers have multiples; ``None`` for 64, and 16 when small.
        skew_orthogonal: the stem is a skew-orthogonal convolution, as far from the identity as the published program's.
        method: how the SVD meta-layers find their roots.
        seed: seed of the initial weights.

    Raises:
        UserError: a name is unknown, a number below 1, ``groups`` does not divide the stem's channels, or the small
            depth is to have the large stem.
    """

    @register_to_config
    def __init__(
        self,
        depth: Depth = "18",
        num_classes: int = 10,
        in_channels: int = 3,
        norm: Norm = "batch",
        pool: Pool = "average",
        stem: Literal["small", "large"] = "small",
        groups: int = 1,
        eps: float = 1e-2,
        pool_channels: int = 256,
        width: int | None = None,
        skew_orthogonal: bool = False,
        method: str = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check(depth, norm, pool, stem, num_classes, in_channels, pool_channels, 1 if width is None else width)
        plan = DEPTHS[depth]
        width = plan.width if width is None else width
        kernel, stride = (5, 1) if depth == "small" else (3, 1) if stem == "small" else (7, 2)
        strides = plan.strides if pool == "average" else (*plan.strides[:-1], 1)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.conv1 = _stem(in_channels, width, kernel, stride, skew_orthogonal)
            decorrelated = norm == "decorrelated"
            # Named as in torchvision; and a name of the configuration would hide a layer's from diffusers.
            self.bn1 = (
                DecorrelatedBatchNorm2d(width, groups, eps, method=method) if decorrelated else BatchNorm2d(width)
            )
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "large" and not decorrelated else nn.Identity()
            self.stages = len(strides)
            incoming = width
            for i, (count, factor, stride) in enumerate(zip(plan.blocks, plan.channels, strides, strict=True)):
                layer = _stage(plan.block, count, incoming, factor * width, stride)
                self.add_module(f"layer{i + 1}", layer)
                incoming = factor * width * plan.block.expansion
            self.pooling: nn.Module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            if pool == "covariance":
                self.pooling = GlobalCovariancePooling(incoming, pool_channels, method)
                incoming = self.pooling.out_features
            self.fc = nn.Linear(incoming, num_classes)
            for module in self.modules():
                if type(module) is nn.Conv2d:  # a skew-orthogonal one has initial weights of its own
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Pictures ``(n, in_channels, h, w)`` in [-1, 1] to logits ``(n, num_classes)``."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for i in range(self.stages):
            features = self.get_submodule(f"layer{i + 1}")(features)
        return self.fc(self.pooling(features))  # type: ignore[no-any-return]

    def projections(self) -> tuple[PreSVDLayer, ...]:
        """The maps before the SVD meta-layers, from input to output: the stem, the pooling's 1×1 convolution; or
        none."""
        layers = []
        if isinstance(self.bn1, DecorrelatedBatchNorm2d):
            layers.append(PreSVDLayer("stem", "conv1.weight"))
        if isinstance(self.pooling, GlobalCovariancePooling):
            layers.append(PreSVDLayer("pool", "pooling.conv.weight"))
        return tuple(layers)


def resnet18(num_classes: int, norm: Norm = "batch", pool: Pool = "average", **config: Any) -> ResNet:
    """ResNet-18; see :class:`ResNet` for what else ``config`` may say."""
    return ResNet("18", num_classes, norm=norm, pool=pool, **config)  # type: ignore[no-any-return]


def resnet34(num_classes: int, norm: Norm = "batch", pool: Pool = "average", **config: Any) -> ResNet:
    """ResNet-34; see :class:`ResNet` for what else ``config`` may say."""
    return ResNet("34", num_classes, norm=norm, pool=pool, **config)  # type: ignore[no-any-return]


def resnet50(num_classes: int, norm: Norm = "batch", pool: Pool = "average", **config: Any) -> ResNet:
    """ResNet-50; see :class:`ResNet` for what else ``config`` may say."""
    return ResNet("50", num_classes, norm=norm, pool=pool, **config)  # type: ignore[no-any-return]


def resnet_small(num_classes: int, norm: Norm = "batch", pool: Pool = "average", **config: Any) -> ResNet:
    """The small ResNet, for 28×28 and 32×32; see :class:`ResNet` for what else ``config`` may say."""
    return ResNet("small", num_classes, norm=norm, pool=pool, **config)  # type: ignore[no-any-return]


def _check(depth: str, norm: str, pool: str, stem: str, *numbers: int) -> None:
    for what, name, known in (
        ("depth", depth, tuple(DEPTHS)),
        ("norm", norm, ("batch", "decorrelated")),
        ("pool", pool, ("average", "covariance")),
        ("stem", stem, ("small", "large")),
    ):
        if name not in known:
            raise unknown_name(what, str(name), known)
    if depth == "small" and stem != "small":
        raise UserError("the small ResNet has one stem, 5×5 of stride 1: leave stem out, or take depth 18, 34 or 50")
    for name, number in zip(("num_classes", "in_channels", "pool_channels", "width"), numbers, strict=True):
        if number < 1:
            raise UserError(f"{name} must be at least 1, got {number}")


def _stem(in_channels: int, width: int, kernel: int, stride: int, skew_orthogonal: bool) -> nn.Module:
    if not skew_orthogonal:
        return nn.Conv2d(in_channels, width, kernel, stride, kernel // 2, bias=False)
    # An exponential reaches further than its filter: 3×3 is enough where others are 5×5. The norm is the published one.
    kernel = min(kernel, 3) if stride == 1 else kernel
    return SkewOrthogonalConv2d(in_channels, width, kernel, stride, bias=False, norm=0.7 * kernel)


def _stage(
    block: type[BasicBlock | Bottleneck], count: int, in_channels: int, channels: int, stride: int
) -> nn.Sequential:
    first = block(in_channels, channels, stride)
    return nn.Sequential(first, *(block(channels * block.expansion, channels, 1) for _ in range(count - 1)))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """A projection where the shapes differ, else nothing."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels))
