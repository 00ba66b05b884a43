"""A full grid of factors whose pictures stand in an array, one after another."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from disentangle.data.base import FactorGrid, check_indices

Rows = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.uint8]]
"""Pictures ``(n, size, size, 1 or 3)`` at indices ``(n,)``."""


class ArrayGrid:
    """A labelled grid set (:class:`disentangle.data.base.GridSet`) of published pictures, in the grid's order.

    Args:
        name: the set's name.
        grid: its factors.
        rows: gives the pictures.
        size: their height and width.
        channels: 1 or 3; a grey picture is given in three equal channels if asked.
    """

    def __init__(self, name: str, grid: FactorGrid, rows: Rows, size: int, channels: int) -> None:
        self.name, self.size, self.channels = name, size, channels
        self.factor_names, self.factor_sizes, self.factor_values = grid.names, grid.sizes, grid.values
        self._grid = grid
        self._rows = rows

    def __len__(self) -> int:
        return len(self._grid)

    def factors(self, indices: Tensor) -> Tensor:
        """Factors ``(n, k)``, int64, at ``indices`` ``(n,)``."""
        return self._grid.factors(indices)

    def index(self, factors: Tensor) -> Tensor:
        """Indices ``(n,)`` of ``factors`` ``(n, k)``."""
        return self._grid.index(factors)

    def images(self, indices: Tensor) -> Tensor:
        """Pictures ``(n, channels, size, size)``, uint8."""
        pictures = torch.from_numpy(self._rows(check_indices(indices, len(self)).cpu().numpy()))
        return pictures.permute(0, 3, 1, 2).expand(-1, self.channels, -1, -1).contiguous()
