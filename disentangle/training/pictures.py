"""The training set as the loop sees it: drawn once, kept in memory as 8-bit where it fits."""

import torch
from torch import Tensor

from disentangle.data import ImageSet
from disentangle.errors import UserError
from disentangle.pictures import from_uint8
from disentangle.training.draws import seeded
from disentangle.training.feed import Feed
from disentangle.training.recipe import DataConfig

MEMORY = 2 << 30
"""Bytes of pictures that are kept in memory; larger sets are drawn batch by batch, ahead of their step if asked."""

CHUNK = 1_024
"""Pictures drawn at a time while memory is filled."""


class TrainingPictures:
    """The pictures that a recipe trains on.

    Args:
        source: the data set.
        config: how many of them.
        seed: decides which.
        channels_last: memory format of the batches.

    Attributes:
        indices: of the pictures in ``source``, rising.
    """

    def __init__(self, source: ImageSet, config: DataConfig, seed: int, channels_last: bool = False) -> None:
        self.source = source
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        total = len(source)
        wanted = total if config.pictures is None else config.pictures
        if not 1 <= wanted <= total:
            raise UserError(
                f"data.pictures must lie between 1 and the {total} pictures of {source.name}, got {wanted}: give "
                f"--data.pictures {total} for all of them"
            )
        self.indices = torch.arange(total)
        if wanted < total:
            self.indices = torch.randperm(total, generator=seeded(seed, "pictures"))[:wanted].sort().values
        self._feed = Feed(source.images)
        self._memory: Tensor | None = None
        if wanted * source.channels * source.size**2 <= MEMORY:
            self._memory = torch.cat([source.images(part) for part in self.indices.split(CHUNK)])

    def __len__(self) -> int:
        return len(self.indices)

    def prefetch(self, positions: Tensor) -> None:
        """Begin to draw the pictures at ``positions`` ``(n,)``, which :meth:`batch` will be asked for soon.

        Changes nothing but the time; pictures in memory need none. What goes wrong is raised by :meth:`batch`.
        """
        if self._memory is None:
            self._feed.ask(self.indices[positions])

    def batch(self, positions: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Pictures ``(n, c, size, size)`` in [-1, 1] at ``positions`` ``(n,)`` of this training set."""
        pictures = self._memory[positions] if self._memory is not None else self._feed.take(self.indices[positions])
        return from_uint8(pictures.to(device), dtype).contiguous(memory_format=self.format)


class Middle:
    """The middle of a data set's pictures (:class:`disentangle.data.ImageSet`, and whatever else the set is).

    Args:
        source: the data set.
        size: height and width of what is left.
    """

    name: str
    channels: int

    def __init__(self, source: ImageSet, size: int) -> None:
        self.source = source
        self.size = size
        # As attributes of its own: protocols are checked by what an object has, not by what it passes on.
        for name in ("name", "channels", "factor_names", "factor_sizes", "factor_values", "factors"):
            if hasattr(source, name):
                setattr(self, name, getattr(source, name))

    def __len__(self) -> int:
        return len(self.source)

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, uint8."""
        start = (self.source.size - self.size) // 2
        end = start + self.size
        return self.source.images(indices)[:, :, start:end, start:end]
