"""What every objective has in common: what a step sees, the updates it makes, and how a loss describes itself."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import ConfigDict
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_gather

from disentangle.errors import UserError
from disentangle.training.draws import Draws
from disentangle.training.optimizers import AdamConfig, SGDConfig

if TYPE_CHECKING:  # a recipe holds a loss
    from disentangle.training.recipe import Recipe

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        images: this process's share of the pictures, ``(n, c, h, w)`` in [-1, 1].
        draws: the step's randomness.
        labels: their classes ``(n,)``, int64, where a classifier is trained.
    """

    images: Tensor
    draws: Draws
    labels: Tensor | None = None


@dataclass(frozen=True)
class Update:
    """One of the updates that a step makes, in their order.

    Attributes:
        name: prefix of its metrics.
        objective: ``forward(batch)`` returns losses by name, 0-dimensional, of which ``loss`` is minimised. Its
            parameters are those that it trains, and no others: an opponent is kept where ``nn.Module`` does not look.
        optimizer: of its own; the recipe's by default.
    """

    name: str
    objective: nn.Module
    optimizer: AdamConfig | SGDConfig | None = None


@dataclass(frozen=True)
class Loss:
    """What a recipe minimises. A loss is a frozen dataclass with its settings and a ``kind`` of its own.

    Attributes:
        family: the kind of run that comes out: ``"gan"``, ``"vae"``, ``"diffusion"`` or ``"classifier"``.
    """

    family: ClassVar[str]

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""

    def networks(self, product: nn.Module, recipe: "Recipe", channels: int) -> dict[str, nn.Module]:
        """Networks that the loss needs beside the model's, by name.

        Args:
            product: what the run is for.
            recipe: the whole recipe.
            channels: of the pictures.
        """
        return {}

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """The updates of a step, in their order.

        Args:
            networks: the model's and the loss's own, by name.
            pictures: size of the training set.
        """
        raise NotImplementedError


def check_weights(**weights: float) -> None:
    """Raise :class:`UserError` where a field of a loss is negative or not finite."""
    for name, value in weights.items():
        if not 0 <= value < math.inf:
            raise UserError(f"loss.{name} must be at least 0 and finite, got {value}")


def due(step: int, every: int) -> bool:
    """Whether a lazy term is taken at ``step``, counted from 1: at the first, and then every so many."""
    return (step - 1) % every == 0


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Pass gradients through a network, but compute none of its own: a third of its backward pass."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def whole(share: Tensor) -> Tensor:
    """The whole batch's rows, ``(processes * n, …)``, of this process's share ``(n, …)``; itself where it is all.

    For losses that mix the pictures of a batch. Each process computes the same loss of the same rows, and the gradient
    of a share is the sum of what all processes make of it, so that the average over processes, which a distributed
    wrapper takes, is the gradient of one process with the whole batch.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return share
    return torch.cat(all_gather(share.contiguous()))
