"""Small data sets, whole in memory."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

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


def doubled(pictures: Tensor) -> Tensor:
    """Pictures ``(n, c, h, w)``, uint8, at twice the size, bilinearly."""
    # in pieces: all of them as float would take a gigabyte
    pieces = (interpolate(piece.float(), scale_factor=2, mode="bilinear") for piece in torch.split(pictures, 4096))
    return torch.cat([piece.round().to(torch.uint8) for piece in pieces])
