"""The resizes that published scores of pictures were computed with; another resize is another score.

Parmar, Zhang, Zhu, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", CVPR 2022, arXiv 2104.11222.
"""

import torch
from torch import Tensor
from torch.nn import functional


def legacy(images: Tensor, size: int) -> Tensor:
    """TensorFlow 1's bilinear resize, that of the original FID: neither antialiased nor centred on the pixels.

    Output pixel ``i`` is read at ``i · side / size``, so the last rows and columns lean on the border.

    Args:
        images: ``(n, c, h, w)`` floats.
        size: side of the result in pixels.
    """
    for dimension in (3, 2):
        side = images.shape[dimension]
        if side == size:
            continue
        # in float32 at any precision, as the original has it: which pixel is read hangs on the rounding
        place = torch.arange(size, dtype=torch.float32, device=images.device) * torch.tensor(side / size)
        low = place.long()
        share = (place - low).to(images.dtype).view(-1, *[1] * (3 - dimension))
        first, second = (images.index_select(dimension, i) for i in (low, (low + 1).clamp_max(side - 1)))
        images = first + (second - first) * share
    return images


def clean(images: Tensor, size: int) -> Tensor:
    """Pillow's bicubic resize, antialiased where pictures shrink, cut to the range of bytes but not rounded.

    Args:
        images: ``(n, c, h, w)`` floats between 0 and 255.
        size: side of the result in pixels.
    """
    if images.shape[2:] == (size, size):
        return images
    resized = functional.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 255)


def antialiased(images: Tensor, size: int) -> Tensor:
    """Bilinear, antialiased where pictures shrink: no overshoot, so the range stays.

    Args:
        images: ``(n, c, h, w)`` floats.
        size: side of the result in pixels.
    """
    if images.shape[2:] == (size, size):
        return images
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
