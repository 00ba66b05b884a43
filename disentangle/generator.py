"""What every generator here can do, whatever its family: the protocol that training, discovery and the app rely on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class PreSVDLayer:
    """A linear map whose output enters an SVD meta-layer: what orthogonal treatments work on.

    Attributes:
        name: short name of the layer, unique in its model (``"layer 1"``).
        parameter: dotted name of its weight in ``model.named_parameters()``; what a treatment binds to.
    """

    name: str
    parameter: str


@dataclass(frozen=True)
class Projection(PreSVDLayer):
    """The Pre-SVD layer of a generator: a linear map from some of the latents to features.

    Attributes:
        latents: which latents it sees: ``latents[:, projection.latents]``.
        matrix: returns the map itself, ``(features, latents)``, scale included, without gradient; the singular
            vectors of this matrix are the directions that weight-based discovery finds.
    """

    latents: slice
    matrix: Callable[[], Tensor]


@runtime_checkable
class Generator(Protocol):
    """Latents in, pictures out."""

    @property
    def latent_size(self) -> int:
        """``d``, the number of latents of one picture."""

    def sample_latents(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``(n, d)`` latents from the prior, each of unit variance. The draw is made on the generator's device
        (the CPU if it is ``None``) and moved to the model's, so that a seed means the same latents everywhere."""

    def synthesize(self, latents: Tensor) -> Tensor:
        """Map latents ``(n, d)`` to pictures ``(n, channels, height, width)`` in [-1, 1]."""

    def projections(self) -> tuple[Projection, ...]:
        """The Pre-SVD layers, in the order in which the latents enter the network."""


@runtime_checkable
class Fitted(Protocol):
    """A generator some of whose numbers are not trained but follow from the trained ones."""

    def fit(self, generator: torch.Generator | None = None) -> None:
        """Compute them: a function of the weights and of the generator's seed."""


@runtime_checkable
class Encoder(Protocol):
    """Pictures in, codes out."""

    def encode(self, images: Tensor) -> Tensor:
        """Map pictures ``(n, channels, height, width)`` in [-1, 1] to codes ``(n, d)``, the most likely latents."""
