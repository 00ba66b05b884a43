"""Augmentation: differentiable, of what a discriminator sees, and the usual one of what a classifier sees.

Zhao, Liu, Lin, Zhu, Han, "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020, arXiv 2006.10738.
Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv 1409.4842 (crops of random size and shape).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from disentangle.training.draws import Draws


def diff_augment(images: Tensor, draws: Draws, name: str, probability: float = 0.6) -> Tensor:
    """Change colours, shift by up to an eighth and cut out a square of half the size, each picture its own way.

    Each of the three is applied to a picture with ``probability``, independently. EigenGAN's program for torch
    (bryandlee/eigengan-pytorch) decides for a whole batch instead, and for brightness, saturation and contrast apart.

    Args:
        images: ``(n, c, h, w)`` in [-1, 1]; differentiable.
        draws: source of randomness.
        name: name of the draw.
        probability: in [0, 1]; 0 returns ``images`` as they are.
    """
    if probability == 0:
        return images
    chosen = draws.uniform(f"{name}/chosen", 3) < probability
    amounts = draws.uniform(f"{name}/amounts", 7)[:, :, None, None, None]
    images = torch.where(chosen[:, 0, None, None, None], _colour(images, amounts[:, :3]), images)
    images = _translate(images, torch.where(chosen[:, 1, None], amounts[:, 3:5, 0, 0, 0], 0.5))
    return images * _cutout(images, amounts[:, 5:7, 0, 0, 0], chosen[:, 2])


def random_flip(images: Tensor, draws: Draws, name: str) -> Tensor:
    """Mirror each picture, left to right, with probability 1/2.

    Args:
        images: ``(n, c, h, w)``, any type.
        draws: source of randomness, for as many pictures.
        name: name of the draw.

    Raises:
        ValueError: where there are not as many pictures as ``draws`` is for.
    """
    _check(images, draws)
    return torch.where(draws.uniform(name, 1, 1, 1) < 0.5, images.flip(3), images)


def random_crop(images: Tensor, draws: Draws, name: str, padding: int = 4) -> Tensor:
    """Add a black border to each picture and cut it to its size again, at a place of its own.

    All ``(2 * padding + 1) ** 2`` places are equally likely.

    Args:
        images: ``(n, c, h, w)``, 8-bit or floats in [-1, 1].
        draws: source of randomness, for as many pictures.
        name: name of the draw.
        padding: width of the border in pixels, 0 or more.

    Raises:
        ValueError: where there are not as many pictures as ``draws`` is for, or the padding is negative.
    """
    _check(images, draws)
    if padding < 0:
        raise ValueError(f"padding must be at least 0, got {padding}")
    black = -1.0 if images.is_floating_point() else 0
    padded = F.pad(images, (padding,) * 4, value=black)
    top, left = (draws.uniform(name, 2) * (2 * padding + 1)).long().unbind(1)
    windows = padded.unfold(2, images.shape[2], 1).unfold(3, images.shape[3], 1)
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def random_resized_crop(
    images: Tensor,
    draws: Draws,
    name: str,
    size: int,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Cut a box of random size, shape and place out of each picture and resize it, bilinearly and antialiased.

    The boxes are distributed as those of torchvision's ``RandomResizedCrop``: their area uniformly in ``scale`` of the
    picture's, the logarithm of their width over height uniformly in that of ``ratio``, both drawn again up to nine
    times where the box does not fit; then as much of the middle as ``ratio`` lets be.

    Args:
        images: ``(n, c, h, w)``, 8-bit or floats.
        draws: source of randomness, for as many pictures.
        name: name of the draw.
        size: height and width of the result.
        scale: least and greatest area, as a fraction of the picture's.
        ratio: least and greatest width over height.

    Returns:
        ``(n, c, size, size)``, of the type of ``images``.

    Raises:
        ValueError: where there are not as many pictures as ``draws`` is for, or a number makes no sense.
    """
    _check(images, draws)
    if size < 1 or not 0 < scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1] < math.inf:
        raise ValueError(
            f"expected size > 0, 0 < scale <= 1 and 0 < ratio, each rising, got {size}, {scale} and {ratio}"
        )
    h, w = images.shape[2:]
    tries = draws.uniform(f"{name}/tries", TRIES, 2)
    top, left, heights, widths = _boxes(tries, draws.uniform(f"{name}/places", 2), h, w, scale, ratio).unbind(1)
    exact = images if images.dtype == torch.float64 else images.float()
    # A box is cut out and resized by one matrix for the rows and one for the columns. No reduced precision: these are
    # the data.
    with torch.autocast(images.device.type, enabled=False):
        rows, columns = (_resampling(*box, size).to(exact)[:, None] for box in ((top, heights, h), (left, widths, w)))
        resized = rows @ exact @ columns.mT
    if not images.is_floating_point():
        resized = resized.round()
    channels_last = not images.is_contiguous() and images.is_contiguous(memory_format=torch.channels_last)
    return resized.to(images.dtype, memory_format=torch.channels_last if channels_last else torch.contiguous_format)


TRIES = 10
"""Boxes that are drawn for a picture before the middle is taken."""


def _boxes(
    tries: Tensor, places: Tensor, h: int, w: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """Top, left, height and width ``(n, 4)``, int64, of boxes in a picture of ``h`` by ``w``.

    Args:
        tries: uniform numbers ``(n, TRIES, 2)``, for area and shape.
        places: uniform numbers ``(n, 2)``, for the place.
        h: height.
        w: width.
        scale: see :func:`random_resized_crop`.
        ratio: see :func:`random_resized_crop`.
    """
    tries, places = tries.double(), places.double()
    area = h * w * (scale[0] + (scale[1] - scale[0]) * tries[..., 0])
    log_ratio = math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * tries[..., 1]
    width = (area * log_ratio.exp()).sqrt().round()
    height = (area / log_ratio.exp()).sqrt().round()
    fits = (width > 0) & (width <= w) & (height > 0) & (height <= h)
    first = fits.int().argmax(1, keepdim=True)
    middle = [min(h, round(w / ratio[0])), min(w, round(h * ratio[1]))]
    any_fits = fits.any(1, keepdim=True)
    drawn = torch.cat([height.gather(1, first), width.gather(1, first)], dim=1).long()
    extent = torch.where(any_fits, drawn, torch.tensor(middle, device=tries.device))
    room = torch.tensor([h, w], device=tries.device) - extent
    place = torch.where(any_fits, (places * (room + 1)).long(), room // 2)
    return torch.cat([place, extent], dim=1)


def _resampling(start: Tensor, length: Tensor, total: int, size: int) -> Tensor:
    """Matrices ``(n, size, total)`` that cut ``length`` pixels from ``start`` out of ``total`` and resize them.

    Each row holds the weights of one new pixel: a triangle about its middle, as wide as two pixels, new or old,
    whichever are larger, within the box. float64.
    """
    step = (length.double() / size)[:, None, None]
    old = torch.arange(total, device=start.device) + 0.5
    new = start[:, None, None] + step * (torch.arange(size, device=start.device) + 0.5)[:, None]
    weights = (1 - (old - new).abs() / step.clamp(min=1)).clamp(min=0)
    weights = weights * ((old > start[:, None, None]) & (old < (start + length)[:, None, None]))
    return weights / weights.sum(2, keepdim=True)


def _check(images: Tensor, draws: Draws) -> None:
    if images.ndim != 4 or len(images) != draws.batch // draws.world:
        raise ValueError(
            f"expected {draws.batch // draws.world} pictures (n, channels, height, width), got {tuple(images.shape)}"
        )


def _colour(images: Tensor, amounts: Tensor) -> Tensor:
    """Brightness by -0.5 to 0.5, saturation times 0 to 2, contrast times 0.5 to 1.5."""
    brightness, saturation, contrast = amounts.unbind(1)
    images = images + (brightness - 0.5)
    if images.shape[1] > 1:
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * (2 * saturation)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (contrast + 0.5)


def _translate(images: Tensor, amounts: Tensor) -> Tensor:
    """Shift by whole pixels, up to an eighth of the size; what comes in from outside is 0. ``amounts``: ``(n, 2)``."""
    n, _, h, w = images.shape
    most = torch.tensor([h // 8, w // 8], device=images.device)
    shift = (amounts * (2 * most + 1)).floor().long() - most
    rows = (torch.arange(h, device=images.device) - shift[:, :1]).clamp(-1, h) + 1
    columns = (torch.arange(w, device=images.device) - shift[:, 1:]).clamp(-1, w) + 1
    padded = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    picture = torch.arange(n, device=images.device)[:, None, None]
    return padded[picture, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(images: Tensor, amounts: Tensor, chosen: Tensor) -> Tensor:
    """0 in a square of half the size, its centre anywhere in the picture, and 1 elsewhere: ``(n, 1, h, w)``."""
    h, w = images.shape[2:]
    row = torch.arange(h, device=images.device)
    column = torch.arange(w, device=images.device)
    top = (amounts[:, :1] * (h + 1)).floor() - h // 4
    left = (amounts[:, 1:] * (w + 1)).floor() - w // 4
    inside_rows = (row >= top) & (row < top + h // 2)
    inside_columns = (column >= left) & (column < left + w // 2)
    hole = inside_rows[:, :, None] & inside_columns[:, None, :] & chosen[:, None, None]
    return (~hole)[:, None].to(images.dtype)
