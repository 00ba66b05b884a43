"""Classification."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from disentangle.errors import UserError
from disentangle.models import ResNet
from disentangle.training.objectives.base import STRICT, Batch, Loss, Update


@dataclass(frozen=True)
class ClassifierLoss(Loss):
    """Cross-entropy of a label.

    Attributes:
        factor: which factor of the data set is the label; by default its class.
        label_smoothing: share of a label that is spread evenly over all classes.
    """

    __pydantic_config__ = STRICT
    family: ClassVar[str] = "classifier"
    kind: Literal["classifier"] = "classifier"
    factor: str | None = None
    label_smoothing: float = 0.0

    def check(self) -> None:
        """Raise :class:`UserError` where numbers make no sense."""
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"loss.label_smoothing must lie between 0 and 1, 1 excluded, got {self.label_smoothing}")

    def updates(self, networks: Mapping[str, nn.Module], pictures: int) -> list[Update]:
        """One."""
        classifier: ResNet = networks["classifier"]  # type: ignore[assignment]
        return [Update("classifier", ClassifierObjective(classifier, self))]


class ClassifierObjective(nn.Module):
    """Cross-entropy of the labels, in nats."""

    def __init__(self, classifier: ResNet, loss: ClassifierLoss) -> None:
        super().__init__()
        self.classifier = classifier
        self.loss = loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name: ``loss`` is what is minimised, ``accuracy`` the share of labels that got the most weight."""
        if batch.labels is None:
            raise TypeError("a classifier learns from labels, and the batch has none")
        logits = self.classifier(batch.images).to(batch.images.dtype)
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.loss.label_smoothing)
        accuracy = (logits.detach().argmax(1) == batch.labels).to(loss.dtype).mean()
        return {"loss": loss, "accuracy": accuracy}
