"""Small data sets, whole in memory."""

import torch
from torch import Tensor

from disentangle.data.base import check_indices


class MemorySet:
    """Pictures in memory (:class:`disentangle.data.base.ImageSet`).

    Args:
        name: the set's name.
        pictures: uint8 ``(n, 1 or 3, size, size)``.
        channels: 1 or 3; a grey picture is given in three equal channels if asked.

    Raises:
        ValueError: where the pictures are not of that type and shape.
    """

    def __init__(self, name: str, pictures: Tensor, channels: int) -> None:
        if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[2] != pictures.shape[3]:
            raise ValueError(
                f"pictures must be uint8 (n, channels, size, size), got {pictures.dtype} {tuple(pictures.shape)}"
            )
        if pictures.shape[1] not in (1, channels):
            raise ValueError(f"pictures with {pictures.shape[1]} channels cannot be given with {channels}")
        self.name = name
        self.size = pictures.shape[3]
        self.channels = channels
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, uint8."""
        pictures = self._pictures[check_indices(indices, len(self)).cpu()]
        return pictures.expand(-1, self.channels, -1, -1).contiguous()


class ClassSet(MemorySet):
    """Pictures in memory with one label each: the only factor is their class.

    Such a set has many pictures of one class and is no :class:`disentangle.data.base.GridSet`: it cannot be asked for
    *the* picture of a class, so it has ``factors`` but no ``index``.

    Args:
        name: the set's name.
        pictures: uint8 ``(n, 1 or 3, size, size)``.
        channels: 1 or 3.
        factor: the factor's name.
        labels: ``(n,)``, integers.
        values: what each label stands for.

    Raises:
        ValueError: where pictures and labels do not belong together.
    """

    def __init__(
        self, name: str, pictures: Tensor, channels: int, factor: str, labels: Tensor, values: tuple[str, ...]
    ) -> None:
        super().__init__(name, pictures, channels)
        if labels.shape != (len(pictures),):
            raise ValueError(f"{len(pictures)} pictures need as many labels, got shape {tuple(labels.shape)}")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(values):
            raise ValueError(f"labels must lie in 0 … {len(values) - 1}, got {int(labels.min())} … {int(labels.max())}")
        self.factor_names = (factor,)
        self.factor_sizes = (len(values),)
        self.factor_values = (values,)
        self._labels = labels.long()

    def factors(self, indices: Tensor) -> Tensor:
        """Classes ``(n, 1)``, int64."""
        return self._labels[check_indices(indices, len(self)).cpu()][:, None]
