"""A generator whose every number is known."""

import torch
from torch import Tensor, nn

from disentangle.generator import Projection
from disentangle.subspace import SubspaceLayer


class LinearGenerator(nn.Module):
    """Pictures that are a linear function of the latents: one subspace layer a half of the channels' brightness.

    Layer ``i`` adds ``basisᵀ (scale ∘ z_i)``, times ``gain``, to all pixels, so that spectrum and activity have closed
    forms.
    """

    def __init__(self, size: int = 8, channels: int = 1, rank: int = 3, layers: int = 2, gain: float = 0.01) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(7)
        self.shape = (channels, size, size)
        self.gain = gain
        self.subspaces = nn.ModuleList(SubspaceLayer(channels * size * size, rank, draw) for _ in range(layers))
        for i in range(layers):
            self.subspaces[i].scale.data -= 0.5 * i  # distinct over all layers
        self.rank = rank
        self.latent_size = rank * layers

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.latent_size, generator=generator)

    def synthesize(self, latents: Tensor) -> Tensor:
        parts = latents.split(self.rank, dim=1)
        features = torch.stack([layer(part) for layer, part in zip(self.subspaces, parts)]).sum(0)
        return (self.gain * features).unflatten(1, self.shape)

    def projections(self) -> tuple[Projection, ...]:
        return tuple(
            Projection(
                f"layer {i + 1}",
                f"subspaces.{i}.basis",
                slice(i * self.rank, (i + 1) * self.rank),
                self.subspaces[i].matrix,
            )
            for i in range(len(self.subspaces))
        )


class DenseGenerator(nn.Module):
    """Two dense layers that see the same latents: what weight-based discovery works on, and no subspace layer."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(first), nn.Parameter(second)
        self.latent_size = first.shape[1]

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.latent_size, generator=generator)

    def synthesize(self, latents: Tensor) -> Tensor:
        features = latents @ self.first.mT
        return torch.tanh(features)[:, None, None, :].expand(-1, 1, features.shape[1], -1)

    def projections(self) -> tuple[Projection, ...]:
        every = slice(0, self.latent_size)
        return (
            Projection("first", "first", every, self.first.detach),
            Projection("second", "second", every, self.second.detach),
        )
