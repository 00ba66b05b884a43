"""What the sets have in common that are generated here."""

from pathlib import Path
from typing import ClassVar

from torch import Tensor

from disentangle.data.base import Description, FactorGrid, ImageSet, check_choice, refuse, refuse_split


class GeneratedSet:
    """A set with one picture for every point of a grid (:class:`disentangle.data.base.GridSet`); sets add ``images``.

    Args:
        size: one of ``sizes``; the first if ``None``.
        channels: one of ``possible_channels``; the first if ``None``.

    Attributes:
        name: the set's name.
        grid: its factors.
        sizes: the sizes it can be generated in.
        possible_channels: the channels it can be generated in.

    Raises:
        UserError: for another size or number of channels.
    """

    name: str
    grid: ClassVar[FactorGrid]
    sizes: ClassVar[tuple[int, ...]]
    possible_channels: ClassVar[tuple[int, ...]]

    def __init__(self, size: int | None = None, channels: int | None = None) -> None:
        self.size = check_choice("size", self.name, size, self.sizes)
        self.channels = check_choice("channels", self.name, channels, self.possible_channels)
        self.factor_names, self.factor_sizes, self.factor_values = self.grid.names, self.grid.sizes, self.grid.values

    def __len__(self) -> int:
        return len(self.grid)

    def factors(self, indices: Tensor) -> Tensor:
        """Factors ``(n, k)``, int64, at ``indices`` ``(n,)``."""
        return self.grid.factors(indices)

    def index(self, factors: Tensor) -> Tensor:
        """Indices ``(n,)`` of ``factors`` ``(n, k)``."""
        return self.grid.index(factors)

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, uint8."""
        raise NotImplementedError

    @classmethod
    def description(cls, summary: str) -> Description:
        """What ``disentangle data`` shows of it."""

        def load(size: int | None, channels: int | None, root: Path | None, split: str | None) -> ImageSet:
            refuse(cls.name, root=root)
            # what must be held out is for the caller to say
            refuse_split(cls.name, split)
            return cls(size, channels)

        return Description(
            name=cls.name,
            summary=summary,
            count=f"{len(cls.grid):,}",
            sizes=", ".join(map(str, sorted(cls.sizes))),
            channels=cls.possible_channels,
            factors=", ".join(f"{name} {size}" for name, size in zip(cls.grid.names, cls.grid.sizes, strict=True)),
            source="generated here",
            load=load,
        )
