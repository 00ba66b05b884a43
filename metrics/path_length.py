"""Perceptual path length: how evenly pictures change along a path between two latents.

Karras, Laine, Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR 2019, arXiv
1812.04948.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from disentangle.errors import unknown_name
from disentangle.metrics.baselines import interval
from disentangle.metrics.common import Result
from disentangle.metrics.generators import Samples, pictures

Distance = Callable[[Tensor, Tensor], Tensor]
Path = Literal["slerp", "sphere", "lerp"]
Sampling = Literal["full", "end"]
Crop = Literal["none", "face"]
Resize = Literal["shrink", "none", "256"]

STILL = 0.01
"""Share of the steps that may leave a picture as it is; of a smooth generator none do."""


@dataclass(frozen=True, eq=False)
class PathLength(Result):
    """A perceptual path length.

    Attributes:
        mean: the score: the mean over what the trimming left.
        lengths: ``(samples,)``, of all paths, in units of the distance, over ``epsilon²``.
        kept: number of paths between the percentiles.
        samples: number of paths.
        epsilon: length of a step on a path from 0 to 1.
        distance: the name of the distance between pictures.
        seed: of latents and of places on the paths.
    """

    mean: float
    lengths: NDArray[np.float64]
    kept: int
    samples: int
    epsilon: float
    distance: str
    seed: int

    @property
    def score(self) -> float:
        """The mean path length; 0 for pictures that do not change, without an upper limit."""
        return self.mean

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know, in words: of paths along which nothing happens."""
        still = float(np.mean(self.lengths == 0))
        words = (
            f"{still:.0%} of the steps leave the picture as it is, to the last bit, as where latents are quantised: "
            "the path length says nothing of these, and is the smaller for them"
        )
        return (words,) * (still > STILL)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the score over the choice of paths, from 50 random halves of them; no network runs again."""
        if self.samples < 4:
            return 0.0, float("inf")
        rng = np.random.default_rng(self.seed)
        halves = [self.lengths[rng.permutation(self.samples)[: self.samples // 2]] for _ in range(50)]
        low, high = interval(self.mean, [float(_trimmed(half).mean()) for half in halves])
        return max(0.0, low), high


@torch.inference_mode()
def perceptual_path_length(
    generator: Samples,
    distance: Distance,
    samples: int = 10_000,
    epsilon: float = 1e-4,
    seed: int = 0,
    *,
    path: Path = "slerp",
    sampling: Sampling = "full",
    crop: Crop = "none",
    resize: Resize = "shrink",
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> PathLength:
    r"""The perceptual path length in the latent space.

    .. math:: \mathbb E\left[\tfrac{1}{\varepsilon^2} d\big(G(p(t)), G(p(t + \varepsilon))\big)\right]

    over random latents that ``p`` leads from (``t = 0``) to (``t = 1``), the 1st and 99th percentile of the values
    trimmed as published. Pictures are never quantised: their differences are far below a level of 8 bits, and rounding
    raises the score without limit as ``epsilon`` falls. The generator computes in full precision.

    Args:
        generator: has ``sample_latents``, ``synthesize`` and ``latent_size``.
        distance: of two batches of pictures in [-1, 1], ``(n,)``; see :func:`~disentangle.metrics.load_distance`. It
            must grow like the square of small differences, as LPIPS does.
        samples: number of paths; published scores take 100,000.
        epsilon: length of a step.
        seed: of latents and places.
        path: ``"slerp"``, along the great circle between two Gaussian latents, their length changing evenly with the
            angle's sines; ``"sphere"``, the published one for generators that normalise their latents, both of length
            ``√d`` first; ``"lerp"``, the straight line.
        sampling: ``"full"``, places anywhere on the path; ``"end"``, at its beginning.
        crop: ``"none"``, or ``"face"``, the published crop to the middle of FFHQ's faces.
        resize: what the distance sees: ``"shrink"``, pictures of more than 256 pixels shrunk to that by averaging, as
            published; ``"256"``, also smaller ones enlarged to it (StyleGAN2's and the Hessian penalty's); ``"none"``.
        batch: pairs of pictures at a time.
        progress: called after each batch with the number of paths done.

    Raises:
        UserError: for an unknown name of a setting.
        ValueError: where ``samples``, ``epsilon`` or ``batch`` is out of range, or distances do not fit.
    """
    for kind, value, known in (
        ("path", path, Path),
        ("sampling", sampling, Sampling),
        ("crop", crop, Crop),
        ("resize", resize, Resize),
    ):
        if value not in get_args(known):
            raise unknown_name(kind, value, get_args(known))
    if samples < 1 or batch < 1 or not 0 < epsilon < 1:
        raise ValueError(f"samples and batch must be at least 1, epsilon in (0, 1), got {samples}, {batch}, {epsilon}")
    draw = torch.Generator().manual_seed(seed)
    lengths = []
    for start in range(0, samples, batch):
        n = min(batch, samples - start)
        a, b = (generator.sample_latents(n, draw) for _ in range(2))
        t = torch.rand(n, 1, generator=draw, dtype=torch.float64) * (sampling == "full")
        latents = torch.cat([_point(a, b, t, path), _point(a, b, t + epsilon, path)])
        before, after = (_seen(images, crop, resize) for images in pictures(generator, latents).chunk(2))
        found = distance(before, after)
        if found.numel() != n:
            raise ValueError(f"a distance must give {n} numbers for {n} pairs of pictures, got {tuple(found.shape)}")
        lengths.append(found.double().flatten().cpu().numpy() / epsilon**2)
        if progress is not None:
            progress(start + n)
    values = np.concatenate(lengths)
    kept = _trimmed(values)
    name = str(getattr(distance, "name", None) or getattr(distance, "__name__", type(distance).__name__))
    variant = f"{path} in the latent space, {sampling} paths, ε = {epsilon:g}, crop {crop}, resize {resize}, {name}"
    return PathLength(variant, float(kept.mean()), values, len(kept), samples, epsilon, name, seed)


def _point(a: Tensor, b: Tensor, t: Tensor, path: Path) -> Tensor:
    """The latents at ``t`` on the path, computed in float64: steps are short beside float32's roundings."""
    first, second, t = a.double(), b.double(), t.to(a.device)
    if path == "lerp":
        return torch.lerp(first, second, t).to(a.dtype)
    unit, other = functional.normalize(first, dim=1), functional.normalize(second, dim=1)
    if path == "sphere":
        length = first.shape[1] ** 0.5
        first, second = length * unit, length * other
    # half the angle from both chords is exact also for latents that point the same way, or opposite ones
    angle = 2 * torch.atan2((unit - other).norm(dim=1, keepdim=True), (unit + other).norm(dim=1, keepdim=True))
    sine = angle.sin()
    circle = (((1 - t) * angle).sin() * first + (t * angle).sin() * second) / sine
    return torch.where(sine.abs() < 1e-7, torch.lerp(first, second, t), circle).to(a.dtype)


def _seen(images: Tensor, crop: Crop, resize: Resize) -> Tensor:
    """The part of the pictures that the distance sees, at its size."""
    if crop == "face":
        unit = images.shape[2] // 8
        images = images[:, :, 3 * unit : 7 * unit, 2 * unit : 6 * unit]
    if resize != "none" and images.shape[2] > 256:
        images = functional.avg_pool2d(images, images.shape[2] // 256)
    elif resize == "256" and images.shape[2] < 256:
        images = functional.interpolate(images, (256, 256), mode="bilinear", align_corners=False)
    return images


def _trimmed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What lies between the 1st and the 99th percentile, both included."""
    low = np.percentile(values, 1, method="lower")
    high = np.percentile(values, 99, method="higher")
    return values[(low <= values) & (values <= high)]
