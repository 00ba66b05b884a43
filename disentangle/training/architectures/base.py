"""What every architecture has in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

if TYPE_CHECKING:  # a recipe holds an architecture
    from disentangle.training.recipe import Recipe


@dataclass(frozen=True)
class Architecture:
    """The networks that a recipe trains: a frozen dataclass with their settings and a ``kind`` of its own.

    Attributes:
        losses: kinds of the losses that these networks train with.
    """

    losses: ClassVar[tuple[str, ...]]

    def build(self, recipe: "Recipe", channels: int, classes: int = 0) -> dict[str, nn.Module]:
        """The networks by name, with new weights. The first is the run's product.

        Args:
            recipe: the whole recipe.
            channels: of the pictures.
            classes: that a classifier tells apart.

        Raises:
            UserError: where a size or a number does not fit the model.
        """
        raise NotImplementedError

    def start(self, product: nn.Module, draw: Callable[[int], Tensor]) -> None:
        """Set what begins with the training set, in place, on the CPU; nothing by default.

        Args:
            product: the first of the networks.
            draw: gives so many pictures of the training set, drawn at random, or all where there are fewer:
                ``(n, channels, size, size)`` in [-1, 1].
        """
