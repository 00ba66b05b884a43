"""What a classifier is tested on in the course of its training."""

from dataclasses import replace

import torch
from torch import nn

from disentangle.data import ClassLabels, ImageSet
from disentangle.errors import UserError
from disentangle.training.pictures import TrainingPictures
from disentangle.training.recipe import Recipe

BATCH = 500
"""Pictures that are classified at a time."""


class ClassifierTest:
    """The pictures that a classifier is tested on, and their classes.

    Args:
        data: the pictures.
        recipe: the training's.
        trained: the classes that the classifier was told.

    Raises:
        UserError: where the pictures have no labels, or others.
    """

    def __init__(self, data: ImageSet, recipe: Recipe, trained: ClassLabels) -> None:
        labels = ClassLabels(data, trained.factor)
        if labels.names != trained.names:
            raise UserError(f"the test pictures of {data.name} have other classes than those to train on")
        channels_last = recipe.channels_last != "no"
        self.pictures = TrainingPictures(data, replace(recipe.data, pictures=None), recipe.seed, channels_last)
        self.labels = labels(self.pictures.indices)

    def __len__(self) -> int:
        return len(self.pictures)

    @torch.no_grad()
    def right(
        self,
        model: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        narrow: torch.dtype | None,
        rank: int = 0,
        world: int = 1,
    ) -> int:
        """How many of the pictures of this process's share ``model``, in evaluation mode, gets right.

        Args:
            model: ``(n, c, h, w)`` to logits ``(n, classes)``.
            device: where the model is.
            dtype: of its weights.
            narrow: type for ``torch.autocast``, if any.
            rank: number of this process …
            world: … of so many.
        """
        right = 0
        for positions in torch.arange(rank, len(self.pictures), world).split(BATCH):
            images = self.pictures.batch(positions, device, dtype)
            with torch.autocast(device.type, narrow, enabled=narrow is not None):
                guesses = model(images).argmax(1).cpu()
            right += int((guesses == self.labels[positions]).sum())
        return right
