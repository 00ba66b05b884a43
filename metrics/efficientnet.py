"""EfficientNet-Lite0, as far as its published ImageNet weights need it.

Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, arXiv 1905.11946;
Lite0 is B0 without squeeze-and-excitation and with ReLU6. The modules carry the names of the weight file's entries.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

# kernel, stride, expansion, channels in, channels out, repeats: the stages of EfficientNet-B0
STAGES = (
    (3, 1, 1, 32, 16, 1),
    (3, 2, 6, 16, 24, 2),
    (5, 2, 6, 24, 40, 2),
    (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3),
    (5, 2, 6, 112, 192, 4),
    (3, 1, 6, 192, 320, 1),
)


class SameConv2d(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow does: ``⌈size / stride⌉`` outputs, the odd row at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        vertical, horizontal = (self._padding(size) for size in x.shape[-2:])
        if vertical % 2 or horizontal % 2:
            x = functional.pad(x, (horizontal // 2, -(-horizontal // 2), vertical // 2, -(-vertical // 2)))
            vertical = horizontal = 0
        padding = (vertical // 2, horizontal // 2)
        return functional.conv2d(x, self.weight, None, self.stride, padding, self.dilation, self.groups)

    def _padding(self, size: int) -> int:
        kernel, stride = self.kernel_size[0], self.stride[0]
        return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedBottleneck(nn.Module):
    """Expand, filter each channel, project; added to the input where the shapes allow."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self._expand_conv = SameConv2d(inputs, hidden, 1) if expansion > 1 else None
        self._bn0 = _norm(hidden) if expansion > 1 else None
        self._depthwise_conv = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = _norm(hidden)
        self._project_conv = SameConv2d(hidden, outputs, 1)
        self._bn2 = _norm(outputs)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        h = x
        if self._expand_conv is not None and self._bn0 is not None:
            h = functional.relu6(self._bn0(self._expand_conv(h)))
        h = functional.relu6(self._bn1(self._depthwise_conv(h)))
        out: Tensor = self._bn2(self._project_conv(h))
        return x + out if self.skip else out


class EfficientNetLite0(nn.Module):
    """The network. ``forward`` classifies, ``features`` stops at the 1,280 numbers that the classifier sees."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList(_bottlenecks())
        self._conv_head = SameConv2d(320, 1280, 1)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, classes)

    def features(self, images: Tensor) -> Tensor:
        """Normalised pictures ``(n, 3, h, w)`` to features ``(n, 1280)`` in [0, 6]."""
        x = functional.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        maps: Tensor = functional.relu6(self._bn1(self._conv_head(x)))
        return maps.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Normalised pictures ``(n, 3, h, w)`` to logits ``(n, classes)``."""
        logits: Tensor = self._fc(self.features(images))
        return logits


def _bottlenecks() -> Iterator[InvertedBottleneck]:
    for kernel, stride, expansion, inputs, outputs, repeats in STAGES:
        yield InvertedBottleneck(kernel, stride, expansion, inputs, outputs)
        for _ in range(repeats - 1):
            yield InvertedBottleneck(kernel, 1, expansion, outputs, outputs)
