"""Differentiable augmentation of what a discriminator sees.

Zhao, Liu, Lin, Zhu, Han, "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020, arXiv 2006.10738.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from disentangle.training.draws import Draws


def diff_augment(images: Tensor, draws: Draws, name: str, probability: float = 0.6) -> Tensor:
    """Change colours, shift by up to an eighth and cut out a square of half the size, each picture its own way.

    Each of the three is applied to a picture with ``probability``, independently.

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
