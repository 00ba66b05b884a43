"""Sets whose pictures belong to classes: their labels, one factor as the class, and a fixed split."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from disentangle.data.base import ImageSet, LabelledSet, check_indices
from disentangle.errors import UserError, check_seed, unknown_name

CLASS = "class"
"""The factor that is meant where none of several is named."""

TEST_FRACTION = 1 / 6


class ClassSet:
    """Pictures with labels (:class:`disentangle.data.base.LabelledSet`): the factors are the classes they belong to.

    Such a set has many pictures of one class and is no :class:`disentangle.data.base.GridSet`: it cannot be asked for
    *the* picture of a class, so it has ``factors`` but no ``index``.

    Args:
        pictures: the pictures.
        factors: what each label stands for, by the factors' names.
        labels: ``(n, k)``, integers, one column a factor.

    Raises:
        ValueError: where pictures, labels and factors do not belong together.
    """

    def __init__(self, pictures: ImageSet, factors: Mapping[str, Sequence[str]], labels: Tensor) -> None:
        if labels.shape != (len(pictures), len(factors)):
            raise ValueError(
                f"{len(pictures)} pictures with {len(factors)} factors need labels of shape "
                f"{(len(pictures), len(factors))}, got {tuple(labels.shape)}"
            )
        for (name, values), column in zip(factors.items(), labels.unbind(1), strict=True):
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < len(values):
                raise ValueError(
                    f"labels of the factor {name!r} must lie in 0 … {len(values) - 1}, "
                    f"got {int(column.min())} … {int(column.max())}"
                )
        self.name, self.size, self.channels = pictures.name, pictures.size, pictures.channels
        self.factor_names = tuple(factors)
        self.factor_values = tuple(tuple(values) for values in factors.values())
        self.factor_sizes = tuple(len(values) for values in self.factor_values)
        self._pictures = pictures
        self._labels = labels.long()

    def __len__(self) -> int:
        return len(self._pictures)

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, uint8."""
        return self._pictures.images(indices)

    def factors(self, indices: Tensor) -> Tensor:
        """Classes ``(n, k)``, int64."""
        return self._labels[check_indices(indices, len(self)).cpu()]


class ClassLabels:
    """What a classifier learns: one factor of a labelled set, by index.

    Args:
        data: the set.
        factor: the factor's name. If ``None``, the set's only factor, or the one that is named ``class``.

    Attributes:
        factor: the factor's name.
        names: what each class stands for.
        count: how many classes there are.

    Raises:
        UserError: where the set has no labels, no such factor or several to choose from, or fewer than two classes.
    """

    def __init__(self, data: ImageSet, factor: str | None = None) -> None:
        if not isinstance(data, LabelledSet):
            raise UserError(
                f"the data set {data.name!r} has no labels, and a classifier needs them: take another set, or put "
                "the pictures into one folder a class and load these as 'class-folder'"
            )
        self.factor = _class_factor(data) if factor is None else factor
        if self.factor not in data.factor_names:
            raise unknown_name(f"factor of the data set {data.name!r}", self.factor, data.factor_names)
        self._data = data
        self._column = data.factor_names.index(self.factor)
        self.names = data.factor_values[self._column]
        self.count = len(self.names)
        if self.count < 2:
            raise UserError(
                f"the factor {self.factor!r} of the data set {data.name!r} has {self.count} class: a classifier needs "
                "two or more"
            )

    def __call__(self, indices: Tensor) -> Tensor:
        """Classes ``(n,)``, int64, of the pictures at ``indices`` ``(n,)``."""
        return self._data.factors(indices)[:, self._column]


def split_indices(labels: Tensor | LabelledSet, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Split a set into five parts to train with and one to test, at random but always the same, class by class.

    A sixth of every class, rounded, is for testing; what rounding would leave without a picture in one of the parts
    gets one there, if it has two.

    Args:
        labels: the classes ``(n,)``, integers, or a set, which is split by its :class:`ClassLabels`.
        seed: decides which pictures go where.

    Returns:
        Indices to train with and indices to test with, int64, each rising; together ``0 … n - 1``.

    Raises:
        UserError: where a set has no classes, or the seed is out of range.
        TypeError: where the labels are not integers.
        ValueError: where they are not one-dimensional.
    """
    check_seed(seed)
    if not isinstance(labels, Tensor):
        labels = ClassLabels(labels)(torch.arange(len(labels)))
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape (n,), got {tuple(labels.shape)}")
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    tested = torch.zeros(len(labels), dtype=torch.bool)
    by_class = shuffled[labels.cpu()[shuffled].argsort(stable=True)]
    for members in by_class.split(labels.cpu().unique(return_counts=True)[1].tolist()):
        count = round(len(members) * TEST_FRACTION)
        tested[members[: max(count, min(1, len(members) - 1))]] = True
    return (~tested).nonzero()[:, 0], tested.nonzero()[:, 0]


def _class_factor(data: LabelledSet) -> str:
    if len(data.factor_names) == 1:
        return data.factor_names[0]
    if CLASS in data.factor_names:
        return CLASS
    raise UserError(
        f"the data set {data.name!r} has several factors: name the one that is the class: "
        f"{', '.join(data.factor_names)}"
    )
