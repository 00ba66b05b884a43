"""Digits: 1,797 real hand-written digits of 8×8 that come with scikit-learn.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998 (its test
part).
"""

from pathlib import Path

import torch
from torch.nn.functional import interpolate

from disentangle.data.base import Description, check_choice, refuse
from disentangle.data.memory import ClassSet
from disentangle.errors import UserError

NAME = "digits"
SMALLEST, LARGEST = 8, 256


def load_digits(size: int | None = None, channels: int | None = None) -> ClassSet:
    """The digits, bicubically resized: white on black, factor ``digit``.

    Args:
        size: 8 to 256; 32 if ``None``.
        channels: 1, or 3 equal ones.

    Raises:
        UserError: for another size or number of channels.
    """
    # imported here: it takes a second, and the other sets do without it
    from sklearn.datasets import load_digits as sklearn_digits

    size = 32 if size is None else size
    if not SMALLEST <= size <= LARGEST:
        raise UserError(f"size {size} is not possible for the data set 'digits': choose {SMALLEST} to {LARGEST}")
    channels = check_choice("channels", NAME, channels, (1, 3))
    bunch = sklearn_digits()
    pictures = torch.from_numpy(bunch.images).float()[:, None] * (255 / 16)
    if size != SMALLEST:
        pictures = interpolate(pictures, size=(size, size), mode="bicubic", antialias=True)
    return ClassSet(
        NAME,
        pictures.round().clamp(0, 255).to(torch.uint8),
        channels,
        factor="digit",
        labels=torch.from_numpy(bunch.target),
        values=tuple(map(str, range(10))),
    )


def _load(size: int | None, channels: int | None, root: Path | None, split: str | None) -> ClassSet:
    refuse(NAME, root=root, split=split)
    return load_digits(size, channels)


def _where(root: Path | None) -> str:
    return "comes with scikit-learn"


DESCRIPTION = Description(
    name=NAME,
    summary="real hand-written digits, 8×8, enlarged",
    count="1,797",
    sizes=f"{SMALLEST} … {LARGEST} (32)",
    channels=(1, 3),
    factors="digit 10",
    where=_where,
    load=_load,
)
