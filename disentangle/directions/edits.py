"""Move latents along directions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from disentangle.directions.record import Directions


def move(latents: Tensor, directions: Directions, k: int, amounts: Tensor | Sequence[float]) -> Tensor:
    """Move every latent along direction ``k`` by every amount.

    Args:
        latents: ``(n, d)``.
        directions: where to.
        k: which of them.
        amounts: ``(m,)``, in units of the direction's sigma; zero leaves the latent where it is.

    Returns:
        ``(n, m, d)``.
    """
    steps, vector = _steps(latents, directions, k, amounts)
    return latents[:, None] + steps[None, :, None] * vector


def place(latents: Tensor, directions: Directions, k: int, amounts: Tensor | Sequence[float]) -> Tensor:
    """Set the position of every latent along direction ``k`` to every amount, all else unchanged: a traversal.

    Args:
        latents: ``(n, d)``.
        directions: along which.
        k: which of them.
        amounts: ``(m,)``, the new positions in units of the direction's sigma.

    Returns:
        ``(n, m, d)``.
    """
    steps, vector = _steps(latents, directions, k, amounts)
    rest = latents - (latents @ vector)[:, None] * vector
    return rest[:, None] + steps[None, :, None] * vector


def combine(latents: Tensor, directions: Directions, amounts: Tensor | Sequence[float]) -> Tensor:
    """Move every latent along all directions at once.

    Args:
        latents: ``(n, d)``.
        directions: ``k`` of them.
        amounts: ``(k,)``, in units of each direction's sigma.

    Returns:
        ``(n, d)``.

    Raises:
        ValueError: where there are not as many amounts as directions, or the latents have another size.
    """
    _check_size(latents, directions)
    steps = torch.as_tensor(amounts).to(latents) * directions.sigma.to(latents)
    return latents + steps @ directions.vectors.to(latents)


def _steps(latents: Tensor, directions: Directions, k: int, amounts: Tensor | Sequence[float]) -> tuple[Tensor, Tensor]:
    """The amounts in units of the latents ``(m,)``, and the direction ``(d,)``."""
    _check_size(latents, directions)
    if not 0 <= k < len(directions):
        raise ValueError(f"there is no direction {k}: possible: 0 to {len(directions) - 1}")
    steps = torch.as_tensor(amounts).to(latents) * directions.sigma[k].to(latents)
    return steps, directions.vectors[k].to(latents)


def _check_size(latents: Tensor, directions: Directions) -> None:
    if latents.ndim != 2 or latents.shape[1] != directions.vectors.shape[1]:
        raise ValueError(f"expected latents (n, {directions.vectors.shape[1]}), got shape {tuple(latents.shape)}")
