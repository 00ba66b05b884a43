"""Generators whose directions have a closed form."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from disentangle.directions import Directions, spectral_gaps
from disentangle.generator import Projection
from tests.matrices import gaussian, orthogonal


class KnownGenerator(nn.Module):
    """Pictures ``act(A z)``, ``A`` of known singular values and right singular vectors, the rows of ``self.right``.

    Of ``designed`` latents both halves, every other one, have exactly zero mean and a multiple of the identity for
    covariance, and all of them the identity: what sampling otherwise gives only in the limit.
    """

    def __init__(
        self,
        values: list[float],
        features: int = 9,
        act: Callable[[Tensor], Tensor] | None = None,
        designed: bool = False,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        d = len(values)
        self.latent_size, self.designed, self.act = d, designed, act or nn.Identity()
        self.right = orthogonal(d, seed=1)
        left = torch.linalg.qr(gaussian(features, d, seed=2)).Q
        matrix = left @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ self.right
        self.layer = nn.Linear(d, features, bias=False, dtype=dtype)
        self.layer.weight = nn.Parameter(matrix.to(dtype))

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        if self.designed and n == 4 * self.latent_size:
            axes = ((n - 1) / 4) ** 0.5 * torch.eye(self.latent_size)
            return torch.stack([axes, axes, -axes, -axes], dim=1).flatten(0, 1).to(self.layer.weight)
        return torch.randn(n, self.latent_size, generator=generator, dtype=torch.float64).to(self.layer.weight)

    def synthesize(self, latents: Tensor) -> Tensor:
        return self.act(self.layer(latents))[:, None, None, :]

    def projections(self) -> tuple[Projection, ...]:
        return (Projection("layer 1", "layer.weight", slice(0, self.latent_size), self.layer.weight.detach),)


class GivenLatents(nn.Module):
    """Pictures ``slopes(z) * z``, whose Jacobian is diagonal: the first slopes where the latent is positive, the others
    where it is not. The latents of each seed are given."""

    def __init__(self, latents: dict[int, Tensor], slopes: list[list[float]]) -> None:
        super().__init__()
        self.given = latents
        self.latent_size = len(slopes[0])
        self.register_buffer("slopes", torch.tensor(slopes, dtype=torch.float64))
        self.bend = nn.Identity()

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.given[0 if generator is None else generator.initial_seed()][:n].double()

    def synthesize(self, latents: Tensor) -> Tensor:
        positive, negative = self.slopes
        return self.bend(latents * torch.where(latents > 0, positive, negative))[:, None, None, :]

    def projections(self) -> tuple[Projection, ...]:
        return (Projection("layer 1", "bend.weight", slice(0, self.latent_size), lambda: self.slopes[0].diag()),)


class OnePixel:
    """Pictures of one pixel, a function of the latents ``(n, d)``."""

    def __init__(self, latent_size: int, function: Callable[[Tensor], Tensor]) -> None:
        self.latent_size, self.function = latent_size, function

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.latent_size, generator=generator)

    def synthesize(self, latents: Tensor) -> Tensor:
        return self.function(latents)[:, None, None, None]

    def projections(self) -> tuple[()]:
        return ()


def made(vectors: Tensor, values: list[float] | None = None, **changes: object) -> Directions:
    """Directions of these vectors and singular values, ``k, …, 2, 1`` by default, in one layer."""
    k = len(vectors)
    singular = torch.tensor(values if values is not None else [float(k - i) for i in range(k)])
    fields: dict[str, object] = {
        "vectors": vectors.float(),
        "singular_values": singular,
        "shares": singular**2 / (singular**2).sum(),
        "gaps": spectral_gaps(singular).float(),
        "sigma": torch.ones(k),
        "layers": ("layer 1",) * k,
        "method": "weights",
    }
    return Directions(**(fields | changes))  # type: ignore[arg-type]
