"""What a data set offers: pictures by index, and for labelled sets the factors that generated them.

Three protocols, each a bit more: :class:`ImageSet` has pictures, :class:`LabelledSet` knows every picture's factors,
and :class:`GridSet` has one picture for every combination of factors, so that it can be asked for by its factors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from disentangle.data.download import Remote
from disentangle.errors import UserError, unknown_name

SPLITS = ("train", "test")
"""The parts that a set may have."""


@runtime_checkable
class ImageSet(Protocol):
    """Square pictures, fetched by index.

    Attributes:
        name: what :func:`disentangle.data.load` calls it.
        size: height and width of a picture.
        channels: 1 (grey) or 3 (RGB).
    """

    name: str
    size: int
    channels: int

    def __len__(self) -> int: ...

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, uint8 in 0 … 255, of int64 ``indices`` ``(n,)``.

        Raises:
            IndexError: where an index is not in ``0 … len - 1``.
        """


@runtime_checkable
class LabelledSet(ImageSet, Protocol):
    """Pictures whose factors of variation are known.

    Attributes:
        factor_names: the ``k`` factors' names.
        factor_sizes: how many values each has; a factor's values are the integers ``0 … size - 1``.
        factor_values: what these integers stand for, in words.
    """

    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    factor_values: tuple[tuple[str, ...], ...]

    def factors(self, indices: Tensor) -> Tensor:
        """Factors ``(n, k)``, int64, of the pictures at ``indices`` ``(n,)``."""


@runtime_checkable
class GridSet(LabelledSet, Protocol):
    """A labelled set with exactly one picture for every combination of factors."""

    def index(self, factors: Tensor) -> Tensor:
        """Indices ``(n,)``, int64, of the pictures with ``factors`` ``(n, k)``; the inverse of :meth:`factors`.

        Raises:
            ValueError: where a factor's value is out of its range.
        """


@dataclass(frozen=True)
class Description:
    """A data set before it is loaded: what ``disentangle data`` shows, and how to load it.

    Attributes:
        name: its name.
        summary: one line about it.
        count: how many pictures, in words.
        sizes: the sizes it can be loaded in, in words.
        channels: the channels it can be loaded in, its own first.
        factors: the factors, in words; empty without labels.
        load: makes the set. Takes ``size``, ``channels``, ``root`` and ``split``, each ``None`` for the set's own
            choice; and ``frame``, if there are ``frames``.
        find: where its files are, if they are anywhere. Given the folder the user named, if any.
        source: where it comes from if not from files, in words.
        files: what ``disentangle data get`` downloads.
        by_hand: what to get where if it cannot be downloaded, in words.
        frames: what may be shown of a picture that is not square, the usual first; empty where all are.
    """

    name: str
    summary: str
    count: str
    sizes: str
    channels: tuple[int, ...]
    factors: str
    load: Callable[..., ImageSet]
    find: Callable[[Path | None], Path | None] = lambda root: None
    source: str = ""
    files: tuple[Remote, ...] = ()
    by_hand: str = ""
    frames: tuple[str, ...] = ()

    def where(self, root: Path | None) -> str:
        """Where it is, or how to get it, in words; ``root`` is the folder the user named, if any."""
        found = self.find(root)
        if found is not None:
            return str(found)
        return self.source or f"not here: disentangle data get {self.name}"


@dataclass(frozen=True)
class FactorGrid:
    """Index ↔ factors of a full grid, in mixed radix with the last factor running fastest.

    Attributes:
        names: ``k`` names.
        values: what each factor's values stand for, in words.
    """

    names: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor has."""
        return tuple(len(values) for values in self.values)

    def __len__(self) -> int:
        return prod(self.sizes)

    def factors(self, indices: Tensor) -> Tensor:
        """Factors ``(n, k)`` at ``indices`` ``(n,)``; raises IndexError where one is out of range."""
        digits = []
        rest = check_indices(indices, len(self))
        for size in reversed(self.sizes):
            digits.append(rest % size)
            rest = rest // size
        return torch.stack(digits[::-1], dim=1)

    def index(self, factors: Tensor) -> Tensor:
        """Indices ``(n,)`` of ``factors`` ``(n, k)``; raises ValueError where one is out of range."""
        factors = torch.as_tensor(factors)
        if factors.dtype.is_floating_point or factors.dtype.is_complex or factors.dtype == torch.bool:
            raise TypeError(f"factors must be integers, got {factors.dtype}")
        if factors.ndim != 2 or factors.shape[1] != len(self.names):
            raise ValueError(
                f"factors must have shape (n, {len(self.names)}), one column each for {', '.join(self.names)}; "
                f"got {tuple(factors.shape)}"
            )
        index = torch.zeros(len(factors), dtype=torch.int64, device=factors.device)
        for name, size, column in zip(self.names, self.sizes, factors.long().unbind(1), strict=True):
            outside = column[(column < 0) | (column >= size)]
            if len(outside):
                raise ValueError(f"factor {name!r} must lie in 0 … {size - 1}, got {int(outside[0])}")
            index = index * size + column
        return index


def check_indices(indices: Tensor, length: int) -> Tensor:
    """``indices`` as an int64 tensor ``(n,)``, each in ``0 … length - 1``.

    Raises:
        TypeError: where they are not integers.
        ValueError: where they are not one-dimensional.
        IndexError: where one is out of range; negative indices are.
    """
    indices = torch.as_tensor(indices)
    # An empty list arrives as float32; it has no element that could be no integer.
    if indices.numel() and (indices.dtype.is_floating_point or indices.dtype.is_complex or indices.dtype == torch.bool):
        raise TypeError(f"indices must be integers, got {indices.dtype}")
    if indices.ndim != 1:
        raise ValueError(f"indices must have shape (n,), got {tuple(indices.shape)}")
    indices = indices.long()
    outside = indices[(indices < 0) | (indices >= length)]
    if len(outside):
        raise IndexError(f"index {int(outside[0])} is out of range: the set has pictures 0 … {length - 1}")
    return indices


def check_choice(what: str, name: str, got: int | None, possible: Sequence[int]) -> int:
    """``got`` if it is among ``possible``, the first of these if it is ``None``.

    Raises:
        UserError: otherwise, for the data set ``name``.
    """
    if got is None:
        return possible[0]
    if got not in possible:
        raise UserError(f"{what} {got} is not possible for the data set {name!r}: choose {_listing(sorted(possible))}")
    return got


def check_range(name: str, size: int, smallest: int, largest: int) -> None:
    """Raise UserError unless the data set ``name`` can have pictures of ``size``: from ``smallest`` to ``largest``."""
    if not smallest <= size <= largest:
        raise UserError(f"size {size} is not possible for the data set {name!r}: choose {smallest} to {largest}")


def check_split(split: str | None) -> str:
    """``"train"`` or ``"test"``; the former if ``None``.

    Raises:
        UserError: for another word.
    """
    if split is not None and split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    return split or "train"


def refuse(name: str, **given: object) -> None:
    """Raise UserError if an argument was given that the data set ``name`` has no use for."""
    for argument, value in given.items():
        if value is not None:
            raise UserError(f"the data set {name!r} takes no {argument}, got {str(value)!r}: leave it out")


def refuse_split(name: str, split: str | None) -> None:
    """Raise UserError if a part of the data set ``name`` is asked for, which is a whole grid."""
    if split is not None:
        raise UserError(
            f"the data set {name!r} takes no split, got {split!r}: it is a whole grid, of which a part would be none; "
            "leave it out, or take a set of classes, such as digits, to train a classifier"
        )


def _listing(values: Sequence[int]) -> str:
    return " or ".join(filter(None, [", ".join(map(str, values[:-1])), str(values[-1])]))
