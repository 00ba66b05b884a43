"""The scores of generated pictures, by the names that ``--scores`` takes, and what each of their numbers means.

A new score is one entry of :data:`PICTURES`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from disentangle import metrics
from disentangle.apps.evaluation.reference import Chance, Turned
from disentangle.apps.evaluation.score import Floats, Part, Score, quiet, scores_of
from disentangle.apps.evaluation.team import BATCH
from disentangle.apps.progress import progress
from disentangle.data import files
from disentangle.errors import UserError
from disentangle.metrics import (
    FeatureCache,
    Frechet,
    Moments,
    Result,
    cache_key,
    extract_features,
    extract_moments,
    load_distance,
    load_features,
)

if TYPE_CHECKING:  # what is scored knows its features, which are made here
    from disentangle.apps.evaluation.subject import Subject

Json = dict[str, Any]

Network = Callable[[Tensor], Tensor]

logger = logging.getLogger(__name__)

ENOUGH = 2_000
"""Pictures that a mean picture is taken of."""

ENOUGH_TO_COMPARE = 10_000
"""Pictures below which the bias of a Fréchet distance is worth a note."""

KEPT = 10_000
"""Features of so many pictures stay in memory, of others only the moments."""


@dataclass(frozen=True)
class Features:
    """Features of what is compared.

    Attributes:
        name: of the network.
        generated: ``(n, d)``, of generated pictures, at most the first ``KEPT``.
        real: of as many pictures of the data.
        other: of as many others.
        mean: ``(2, d)``, of the mean of the data's pictures, twice.
        moments: of all generated pictures, all of the data and all others, where there are more than ``KEPT`` of
            each; memory does not grow with these.
    """

    name: str
    generated: Floats
    real: Floats
    other: Floats
    mean: Floats
    moments: tuple[Moments, Moments, Moments] | None = None


def load_network_of(name: str, device: torch.device) -> Network:
    """The feature network that ``--features`` names.

    Raises:
        UserError: where its weights are missing.
    """
    if name == "efficientnet-lite0":
        return load_features(name, device=device)
    resize: Literal["legacy", "clean"] = "legacy" if name == "inception-legacy" else "clean"
    return load_features("inception", device=device, resize=resize)


def load_distance_of(name: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """The distance that ``--distance`` names.

    Raises:
        UserError: where its weights are missing.
    """
    return load_distance(name, device=device)


def read_features(subject: "Subject") -> Features:
    """Generate pictures, and put them and those of the data through the network, by all processes together."""
    network = subject.network
    kept, count = min(subject.count, KEPT), subject.count
    real, other = subject.chosen[:count], subject.chosen[count:]

    def extract(label: str, draw: Callable[[Tensor], Tensor], rows: Tensor) -> Floats:
        with progress(label, len(rows)) as advance:
            batches = Batches(draw, rows)
            return extract_features(network, batches, progress=advance.to, **subject.team.ranks)

    def extract_all(label: str, draw: Callable[[Tensor], Tensor], first: Floats, rows: Tensor) -> Moments:
        with progress(label, len(rows)) as advance:
            rest = extract_moments(network, Batches(draw, rows), progress=advance.to, **subject.team.ranks)
        return Moments.merged([Moments.of(first), rest])

    def of_data() -> Floats:
        return extract("pictures of the data", subject.data.images, torch.cat([real[:kept], other[:kept]]))

    generated = extract("generated pictures", subject.generate, subject.latents[:kept])
    data = kept_features(subject, network, 2 * kept, of_data)
    moments = None
    if count > kept:
        moments = (
            extract_all("more generated pictures", subject.generate, generated, subject.latents[kept:]),
            extract_all("more pictures of the data", subject.data.images, data[:kept], real[kept:]),
            extract_all("more other pictures", subject.data.images, data[kept:], other[kept:]),
        )
    some = subject.data.images(real[: min(count, ENOUGH)])
    mean = some.float().mean(0, keepdim=True).round().to(torch.uint8).expand(2, -1, -1, -1)
    return Features(
        getattr(network, "name", type(network).__name__),
        generated,
        data[:kept],
        data[kept:],
        extract_features(network, [mean]),
        moments,
    )


def kept_features(subject: "Subject", network: Any, samples: int, compute: Callable[[], Floats]) -> Floats:
    """Features of the data, from the cache that all runs share where one process asks and the network has a hash."""
    if subject.team.size > 1 or not getattr(network, "weights", None):
        return compute()
    data = subject.identity["data"] | {"of": subject.count, "device": subject.device.type}
    key = cache_key(network, samples=samples, seed=subject.settings.seed, data=data)
    found: list[Floats] = []

    def remembered() -> Floats:
        found.append(compute())
        return found[-1]

    cache = FeatureCache(files.cache("features"))
    try:
        return cache.features(key, remembered)
    except UserError as error:  # without the cache it only takes longer
        if not found:
            raise
        logger.warning("%s", error)
        return found[-1]


class Batches(Sequence[Tensor]):
    """Pictures, a batch at a time, each made when it is asked for.

    Args:
        draw: indices or latents to uint8 pictures.
        rows: all of them.
    """

    def __init__(self, draw: Callable[[Tensor], Tensor], rows: Tensor) -> None:
        self.draw, self.parts = draw, rows.split(BATCH)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, i: int) -> Tensor:  # type: ignore[override]
        return self.draw(self.parts[i])


Computed = tuple[Any, Mapping[str, Sequence[Result]]]
"""A result, and those for reference points."""


@dataclass(frozen=True)
class PictureScore:
    """A score of a generator's pictures.

    Attributes:
        title: what it is called while one waits.
        parts: attribute of the result -> how the report shows it.
        compute: its result, and those for reference points.
        inputs_of: the settings that decide it, of a score of the generator alone; ``None`` where it compares features.
        needs: attribute of the subject that must be there, such as weights on this machine; empty for none.
        samples: how many pictures it takes, in words.
    """

    title: str
    parts: Mapping[str, Part]
    compute: Callable[["Subject"], Computed]
    inputs_of: tuple[str, ...] | None = None
    needs: str = "network"
    samples: Callable[["Subject", Any], str] = lambda subject, result: (
        f"features of {result.features}, {result.n:,} pictures on each side"
    )

    def inputs(self, subject: "Subject") -> Json:
        """What decides it besides the weights, the data and the seed."""
        if self.inputs_of is None:
            return {"samples": subject.count, "features": subject.settings.features}
        return {name: getattr(subject.settings, name) for name in self.inputs_of}

    @property
    def compares(self) -> bool:
        """Whether it compares features with those of the data."""
        return self.inputs_of is None

    def scores(self, subject: "Subject") -> list[Score]:
        """The numbers, with intervals and reference points."""
        with quiet(), torch.enable_grad():  # one of them trains a network
            result, points = self.compute(subject)
            features = getattr(result, "features", None)
            parts = self.parts
            if getattr(result, "name", None) in ("FID", "KID"):
                parts = {key: replace(part, name=result.name) for key, part in parts.items()}
            scores = scores_of(
                result,
                parts,
                points=points,
                samples=self.samples(subject, result),
                settings={"features": features, "seed": subject.settings.seed},
            )
        if not isinstance(result, Frechet) or subject.count >= ENOUGH_TO_COMPARE:
            return scores
        return [replace(score, notes=(*score.notes, few_pictures(score, subject.count))) for score in scores]


def few_pictures(score: Score, count: int) -> str:
    """What a reader must know of a Fréchet distance from few pictures."""
    return (
        f"A {score.name} from {count:,} pictures is too large by a bias that shrinks with their number: compare it "
        "with “other data”, which has the same bias, and only with scores of as many pictures."
    )


def _frechet(subject: "Subject") -> Computed:
    found = subject.features

    generated, real, other = found.moments or (found.generated, found.real, found.other)

    def distance(features: Floats | Moments) -> Result:
        return metrics.frechet_distance(features, real, found.name)

    return distance(generated), {"other data": [distance(other)], "mean picture": [distance(found.mean)]}


def _kernel(subject: "Subject") -> Computed:
    found = subject.features

    def distance(features: Floats) -> Result:
        size = min(1_000, len(found.real))
        return metrics.kernel_distance(
            features, found.real, subset_size=size, seed=subject.settings.seed, features=found.name
        )

    return distance(found.generated), {"other data": [distance(found.other)]}


def _precision_recall(subject: "Subject") -> Computed:
    found = subject.features

    def compare(features: Floats) -> Result:
        return metrics.precision_recall(features, found.real, features=found.name)

    return compare(found.generated), {"other data": [compare(found.other)]}


def _path_length(subject: "Subject") -> Computed:
    settings = subject.settings
    with progress("paths", settings.paths) as advance:
        result = metrics.perceptual_path_length(
            subject.model, subject.distance, samples=settings.paths, seed=settings.seed, progress=advance.to
        )
    return result, {}


def _variation(subject: "Subject") -> Computed:
    settings = subject.settings
    result = metrics.variation_predictability(subject.model, pairs=settings.pairs, seed=settings.seed)
    return result, {"chance": [Chance("chance", result.chance)]}


def _activeness(subject: "Subject") -> Computed:
    seed = subject.settings.seed
    turned = metrics.activeness(Turned(subject.model, seed), seed=seed)
    return metrics.activeness(subject.model, seed=seed), {"random directions": [turned]}


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
    "kernel": PictureScore(
        "Kernel distance",
        {
            "score": Part(
                "Kernel distance",
                "How far the generated pictures are from the data, without the Fréchet distance's bias at few "
                "pictures: 0 on average for pictures of the data.",
                better="lower",
            )
        },
        _kernel,
    ),
    "precision-recall": PictureScore(
        "precision and recall",
        {
            "precision": Part("Precision", "How much of what is generated looks like the data.", range=(0.0, 1.0)),
            "recall": Part("Recall", "How much of the data is like something generated.", range=(0.0, 1.0)),
            "density": Part(
                "Density", "How densely the generated pictures lie among the data: 1 for pictures of the data."
            ),
            "coverage": Part("Coverage", "How much of the data has a generated picture close to it.", range=(0.0, 1.0)),
        },
        _precision_recall,
    ),
    "path-length": PictureScore(
        "path length",
        {
            "score": Part(
                "Perceptual path length",
                "How much a picture changes, as people see it, for a small step between two latents: low where the "
                "latents are smooth.",
                better="lower",
                range=(0.0, None),
            )
        },
        _path_length,
        inputs_of=("paths", "distance"),
        needs="distance",
        samples=lambda _, result: f"{result.samples:,} paths",
    ),
    "variation": PictureScore(
        "variation predictability",
        {
            "score": Part(
                "Variation predictability",
                "How often a small network tells from the difference of two pictures which one latent they differ in.",
                range=(0.0, 1.0),
            )
        },
        _variation,
        inputs_of=("pairs",),
        needs="",
        samples=lambda _, result: f"{len(result.accuracies)} networks",
    ),
    "activeness": PictureScore(
        "activeness",
        {
            "score": Part(
                "Activeness",
                "How much a latent moves the picture, the mean over latents of the variance of a pixel in [-1, 1] "
                "between −2, 0 and 2 σ.",
                better="",
                range=(0.0, 8 / 9),
            ),
            "active": Part(
                "Active latents",
                "How many latents move the picture by at least a hundredth of what the most active one does.",
                better="",
                range=(0.0, None),
            ),
        },
        _activeness,
        inputs_of=(),
        needs="",
        samples=lambda _, result: f"{result.samples:,} latents to start from",
    ),
}
"""Name -> score."""
