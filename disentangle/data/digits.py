"""Digits: 1,797 real hand-written digits of 8×8 that come with scikit-learn.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998 (its test
part).
"""

from pathlib import Path

import torch
from torch.nn.functional import interpolate

from disentangle.data.base import SPLITS, Description, check_choice, check_range, check_split, refuse
from disentangle.data.classes import ClassSet, split_indices
from disentangle.data.memory import MemorySet

NAME = "digits"
SMALLEST, LARGEST = 8, 256


def load_digits(size: int | None = None, channels: int | None = None, split: str | None = None) -> ClassSet:
    """The digits, bicubically resized: white on black, factor ``digit``.

    Args:
        size: 8 to 256; 32 if ``None``.
        channels: 1, or 3 equal ones.
        split: ``"train"`` or ``"test"``, the parts of :func:`disentangle.data.classes.split_indices` (scikit-learn has
            only what was published as the test part); all of them if ``None``.

    Raises:
        UserError: for another size, number of channels or split.
    """
    # imported here: it takes a second, and the other sets do without it
    from sklearn.datasets import load_digits as sklearn_digits

    size = 32 if size is None else size
    check_range(NAME, size, SMALLEST, LARGEST)
    channels = check_choice("channels", NAME, channels, (1, 3))
    part = None if split is None else check_split(split)
    bunch = sklearn_digits()
    pictures, labels = torch.from_numpy(bunch.images).float()[:, None] * (255 / 16), torch.from_numpy(bunch.target)
    if part is not None:
        chosen = split_indices(labels)[SPLITS.index(part)]
        pictures, labels = pictures[chosen], labels[chosen]
    if size != SMALLEST:
        pictures = interpolate(pictures, size=(size, size), mode="bicubic", antialias=True)
    shown = MemorySet(NAME, pictures.round().clamp(0, 255).to(torch.uint8), channels)
    return ClassSet(shown, {"digit": tuple(map(str, range(10)))}, labels[:, None])


def _load(size: int | None, channels: int | None, root: Path | None, split: str | None) -> ClassSet:
    refuse(NAME, root=root)
    return load_digits(size, channels, split)


DESCRIPTION = Description(
    name=NAME,
    summary="real hand-written digits, 8×8, enlarged",
    count="1,797",
    sizes=f"{SMALLEST} … {LARGEST} (32)",
    channels=(1, 3),
    factors="digit 10",
    source="comes with scikit-learn",
    load=_load,
)
