"""The scores of generated pictures, by the names that ``--scores`` takes, and what each of their numbers means.

A new score is one entry of :data:`PICTURES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from disentangle import metrics
from disentangle.apps.evaluation.score import Part, Score, quiet, scores_of
from disentangle.metrics import Result, load_features
from disentangle.pictures import from_uint8

if TYPE_CHECKING:  # what is scored knows its features, which are made here
    from disentangle.apps.evaluation.subject import Subject

Json = dict[str, Any]

ENOUGH = 2_000
"""Pictures that a mean picture is taken of."""


@dataclass(frozen=True)
class Features:
    """Features of what is compared, ``(n, d)`` each.

    Attributes:
        name: of the network.
        generated: of generated pictures.
        real: of pictures of the data.
        other: of as many others.
        mean: of the mean of the data's pictures, twice.
    """

    name: str
    generated: Tensor
    real: Tensor
    other: Tensor
    mean: Tensor


def read_features(subject: "Subject") -> Features:
    """Generate pictures, and put them and those of the data through the network, by all processes together."""
    network = load_features(subject.settings.features, device=subject.device)

    def features_of(images: Tensor) -> Tensor:
        # Small batches, whose feature maps stay in the processor's cache.
        return torch.cat([network(from_uint8(part).to(subject.device)) for part in images.split(16)])

    generated = subject.team.map("generated pictures", lambda z: features_of(subject.generate(z)), subject.latents)
    chosen = subject.team.map("pictures of the data", lambda i: features_of(subject.data.images(i)), subject.chosen)
    mean = (
        subject.data.images(subject.chosen[: min(subject.count, ENOUGH)])
        .float()
        .mean(0, keepdim=True)
        .round()
        .to(torch.uint8)
    )
    return Features(
        network.name,
        generated,
        chosen[: subject.count],
        chosen[subject.count :],
        features_of(mean).expand(2, -1),
    )


@dataclass(frozen=True)
class PictureScore:
    """A score of a generator's pictures.

    Attributes:
        title: what it is called while one waits.
        parts: attribute of the result -> how the report shows it.
        compute: its result, and those for reference points.
        compares: whether it compares features with those of the data.
    """

    title: str
    parts: Mapping[str, Part]
    compute: Callable[["Subject"], tuple[Any, dict[str, list[Result]]]]
    compares: bool = True

    def inputs(self, subject: "Subject") -> Json:
        """What decides it besides the weights, the data and the seed."""
        return {"samples": subject.count, "features": subject.settings.features}

    def scores(self, subject: "Subject") -> list[Score]:
        """The numbers, with intervals and reference points."""
        with quiet():
            result, points = self.compute(subject)
            about = {"features": getattr(result, "features", None), "seed": subject.settings.seed}
            return scores_of(
                result,
                self.parts,
                points=points,
                samples=f"{subject.count:,} pictures on each side",
                settings=about | {"samples": subject.count},
            )


def _frechet(subject: "Subject") -> tuple[Any, dict[str, list[Result]]]:
    def distance(features: Tensor) -> Any:
        return metrics.frechet_distance(features, found.real, found.name)

    found = subject.features
    return distance(found.generated), {"other data": [distance(found.other)], "mean picture": [distance(found.mean)]}


PICTURES: dict[str, PictureScore] = {
    "frechet": PictureScore(
        "Fréchet distance",
        {
            "score": Part(
                "Fréchet distance",
                "How far the generated pictures as a whole are from the data, in quality and in variety, seen through "
                "the features of a network that was trained on photographs.",
                better="lower",
            )
        },
        _frechet,
    ),
}
"""Name -> score."""
