"""Distances between pictures as people see them, by networks: LPIPS, and what works where its weights are missing.

Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
2018, arXiv 1801.03924.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from disentangle.errors import unknown_name
from disentangle.metrics.efficientnet import EfficientNetLite0
from disentangle.metrics.features import load_features
from disentangle.metrics.weights import checkpoint, read

BACKBONES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
"""torchvision's weight files of the networks that LPIPS is defined on."""
DISTANCES = ("efficientnet-lite0", *(f"lpips-{name}" for name in BACKBONES))
STAGES = (0, 2, 4, 10, 15)
"""EfficientNet's blocks whose maps are compared: the last at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution."""


class PictureDistance(nn.Module):
    """Two batches of pictures in [-1, 1] in, a distance of each pair out; differentiable, never quantised.

    Attributes:
        name: what every score carries that rests on it; ``"LPIPS …"`` only of LPIPS.
    """

    def __init__(self, network: nn.Module, compare: Callable[[Tensor, Tensor], Tensor], name: str) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self._compare, self.name = compare, name

    def train(self, mode: bool = True) -> "PictureDistance":
        """Nothing: the network always evaluates."""
        return self

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances ``(n,)``, none below 0.

        Args:
            a: ``(n, c, h, w)`` floats in [-1, 1], one channel or three.
            b: as many, of the same size.

        Raises:
            ValueError: for shapes that differ or do not fit.
        """
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] not in (1, 3):
            raise ValueError(f"expected pictures (n, 1 or 3, h, w), twice, got {tuple(a.shape)} and {tuple(b.shape)}")
        weight = next(self.network.parameters())
        a, b = (images.to(weight).expand(-1, 3, -1, -1) for images in (a, b))
        return self._compare(a, b)


def load_distance(name: str = "efficientnet-lite0", device: torch.device | str | None = None) -> PictureDistance:
    """Load a distance between pictures.

    Args:
        name: ``"lpips-alex"``, ``"lpips-vgg"`` or ``"lpips-squeeze"``: LPIPS 0.1 of the ``lpips`` package, whose
            backbone torchvision's published file must be in ``torch.hub.get_dir()/checkpoints``. Or
            ``"efficientnet-lite0"``: the sum over five maps of the network of the mean squared difference of features
            of unit length; no weights of people's judgements, and so not LPIPS. It sees pictures at 128 pixels.
        device: where it computes; PyTorch's default if ``None``.

    Raises:
        UserError: for an unknown name, and where the backbone's weights are missing or others.
    """
    if name not in DISTANCES:
        raise unknown_name("picture distance", name, DISTANCES)
    if name == "efficientnet-lite0":
        features = load_features(size=128)
        network = cast(EfficientNetLite0, features.network)

        def compare(a: Tensor, b: Tensor) -> Tensor:
            return _deep_difference(network, features.prepare(a), features.prepare(b))

        return PictureDistance(network, compare, "efficientnet-lite0@128 distance").to(device)
    backbone = name.removeprefix("lpips-")
    file, _ = checkpoint([BACKBONES[backbone]], f"LPIPS ({name})", 'the distance "efficientnet-lite0" works')
    import lpips  # with torchvision takes seconds, which all who import scores would wait for

    network_with_heads = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
    _fill(network_with_heads.net, read(file))

    def judge(a: Tensor, b: Tensor) -> Tensor:
        distances: Tensor = network_with_heads(a, b)
        return distances.flatten()

    return PictureDistance(network_with_heads, judge, f"LPIPS ({backbone}, 0.1)").to(device)


def _fill(slices: nn.Module, state: dict[str, Tensor]) -> None:
    """Put torchvision's weights ``features.N.…`` into the slices of ``lpips``, which keep the numbers ``N``."""
    for layers in slices.children():
        for number, layer in layers.named_children():
            prefix = f"features.{number}."
            layer.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def _deep_difference(network: EfficientNetLite0, a: Tensor, b: Tensor) -> Tensor:
    """Sum over maps of the mean over places of the squared distance between features of unit length."""
    x = functional.relu6(network._bn0(network._conv_stem(torch.cat([a, b]))))
    total = x.new_zeros(len(a))
    for i, block in enumerate(network._blocks):
        x = block(x)
        if i in STAGES:
            first, second = functional.normalize(x, dim=1, eps=1e-8).chunk(2)
            total = total + (first - second).square().sum(1).mean((1, 2))
    return total
