"""The scores of a report: the metrics' numbers with their reference points, intervals and the words that explain them.

Everything here works on arrays and callables; what reads runs and writes files is :mod:`disentangle.apps.evaluate`.
"""

import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from disentangle.errors import DisentangleWarning
from disentangle.metrics import DCI, Result, dci, frechet_distance, halves, interval, mig, noise, perfect, rotated
from disentangle.pictures import from_uint8
from disentangle.training.encoder import EncoderRecord

Json = dict[str, Any]
Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

INACTIVE = 0.01
"""Variance of a code's mean, as a share of the prior's, below which the code counts as unused (Burda et al. 2016, arXiv
1509.00519)."""


PUBLISHED = "gradient_boosting"

DCI_PARTS = {
    "disentanglement": "Whether a code is about one factor only: 1 if so, 0 if each code matters to all factors alike.",
    "completeness": "Whether one code is enough for a factor: 1 if so, 0 if a factor is spread over all codes alike.",
    "informativeness": "How often the codes together give a factor away: the accuracy of the predictors, averaged over "
    "factors, on pictures that they have not seen.",
}


class Features(Protocol):
    """A network that turns pictures into features.

    Attributes:
        name: what a score that rests on it is called by.
    """

    name: str

    def __call__(self, images: Tensor, /) -> Tensor:
        """Pictures ``(n, c, h, w)`` in [-1, 1] to features ``(n, d)``."""


@dataclass(frozen=True)
class Score:
    """One number of a report and all that a reader needs to judge it.

    Attributes:
        name: what it is called.
        variant: which definition, with what settings: scores of different variants are not comparable.
        value: the number.
        better: ``"higher"`` or ``"lower"``.
        range: least and greatest possible value; ``None`` where there is no greatest.
        explanation: one sentence on what it measures.
        baselines: name -> value of the reference points, computed in the same way.
        spreads: name -> standard deviation of a reference point over seeds, where there are several.
        interval: 95 % interval of ``value``.
        unit: follows the number.
        settings: what it was computed with.
        parts: what it was made of.
        notes: what a reader must know.
    """

    name: str
    variant: str
    value: float
    better: str
    range: tuple[float, float | None]
    explanation: str
    baselines: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    unit: str = ""
    settings: Json = field(default_factory=dict)
    parts: Json = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> Json:
        """As JSON holds it: tuples are lists."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Labelled:
    """Codes of labelled pictures.

    Attributes:
        codes: ``(N, d)``.
        factors: ``(N, k)``.
        train: the first ``train`` rows train predictors, the others test them.
        names: of the ``k`` factors.
    """

    codes: Floats
    factors: Integers
    train: int
    names: Sequence[str]


def score_mig(labelled: Labelled, *, seed: int, rotations: int = 3) -> Score:
    """MIG of the training codes beside that of perfect, rotated and noise codes, with its 95 % interval.

    Args:
        labelled: the codes.
        seed: of rotations, noise and the interval.
        rotations: random rotations whose mean and standard deviation are given.
    """
    codes, factors = labelled.codes[: labelled.train], labelled.factors[: labelled.train]
    with quiet():
        result = mig(codes, factors)
        points = reference_points(mig, codes, factors, seed, rotations)
        low, high = interval(result.score, [half.score for half in halves(mig, codes, factors, seed=seed)])
    means, spreads = summarise(points, lambda r: r.score)
    return Score(
        name="MIG",
        variant=f"mutual information gap, {result.variant}, {result.bins} bins, {len(codes):,} codes",
        value=result.score,
        better="higher",
        range=(0.0, 1.0),
        explanation="How much more the best code knows about a factor than the second best: 1 if each factor has a "
        "code of its own, 0 if what is known is shared out evenly.",
        baselines=means,
        spreads=spreads,
        interval=(max(0.0, low), min(1.0, high)),
        settings={"bins": result.bins, "samples": len(codes), "seed": seed, "rotations": rotations},
        parts=parts_of(result),
        notes=tuple(notes_on(labelled, result.bins)),
    )


def score_dci(labelled: Labelled, *, learner: str, seed: int, rotations: int = 3) -> list[Score]:
    """DCI's disentanglement, completeness and informativeness, beside those of perfect, rotated and noise codes.

    Args:
        labelled: the codes.
        learner: a name that :func:`disentangle.metrics.dci` knows.
        seed: of rotations and noise.
        rotations: random rotations whose mean and standard deviation are given.
    """
    train = labelled.train

    def scorer(codes: Floats, factors: Integers) -> DCI:
        return dci(codes[:train], factors[:train], codes[train:], factors[train:], learner=learner)

    with quiet():
        result = scorer(labelled.codes, labelled.factors)
        points = reference_points(scorer, labelled.codes, labelled.factors, seed, rotations)
    kind = result.variant.replace("_", " ") + (
        "" if learner == PUBLISHED else " instead of the published boosted trees"
    )
    scores = []
    for name, explanation in DCI_PARTS.items():
        means, spreads = summarise(points, lambda r, name=name: getattr(r, name))  # type: ignore[misc]
        scores.append(
            Score(
                name=f"DCI {name}",
                variant=f"{kind}, {train:,} codes to learn from, {len(labelled.codes) - train:,} to test",
                value=float(getattr(result, name)),
                better="higher",
                range=(0.0, 1.0),
                explanation=explanation,
                baselines=means,
                spreads=spreads,
                settings={"learner": learner, "samples": list(result.samples), "seed": seed, "rotations": rotations},
                # The three share one matrix: the first of them carries it.
                parts=parts_of(result) if name == "disentanglement" else {},
            )
        )
    return scores


def score_pictures(network: Features, generated: Tensor, real: Tensor, other: Tensor, *, seed: int) -> Score:
    """The Fréchet distance of generated pictures from real ones, between two reference points.

    The floor is that of other real pictures, what a perfect generator would get at this number of pictures; the ceiling
    that of one picture over and over, the mean of the real ones.

    Args:
        network: maps pictures in [-1, 1] to features ``(n, d)``; its ``name`` names the score.
        generated: uint8 ``(n, c, h, w)``.
        real: as many.
        other: as many other real ones.
        seed: what the pictures were drawn with, for the record.
    """
    mean = real.float().mean(dim=0, keepdim=True).round().to(torch.uint8).expand(2, -1, -1, -1)
    target = features_of(network, real)
    result, floor, ceiling = (
        frechet_distance(features_of(network, images), target, network.name) for images in (generated, other, mean)
    )
    notes = []
    if len(real) < 10_000:
        notes.append(
            f"A Fréchet distance from {len(real):,} pictures is too large by a bias that shrinks with their number: "
            "compare it with “other data”, which has the same bias, and only with scores of as many pictures."
        )
    return Score(
        name="Fréchet distance",
        variant=f"features of {network.name} (not FID, whose network is another), {len(real):,} pictures on each side",
        value=result.score,
        better="lower",
        range=(0.0, None),
        explanation="How far the generated pictures as a whole are from the data, in quality and in variety, seen "
        "through the features of a network that was trained on photographs.",
        baselines={"other data": floor.score, "mean picture": ceiling.score},
        settings={"network": network.name, "samples": len(real), "seed": seed},
        parts=parts_of(result),
        notes=tuple(notes),
    )


def score_reconstructions(originals: Tensor, reconstructions: Tensor) -> Score:
    """The mean squared error of a pixel, pictures being in [0, 1], beside that of always answering the mean picture.

    Args:
        originals: uint8 ``(n, c, h, w)``.
        reconstructions: of the same shape.
    """
    truth, answer = originals.double() / 255, reconstructions.double() / 255
    error = float((truth - answer).square().mean())
    return Score(
        name="Reconstruction error",
        variant=f"mean squared error of a pixel between 0 (black) and 1 (white), {len(truth):,} pictures",
        value=error,
        better="lower",
        range=(0.0, None),
        explanation="How much of a picture is lost on the way through its code"
        + (f": a peak signal-to-noise ratio of {-10 * math.log10(error):.1f} dB." if error > 0 else "."),
        baselines={"mean picture": float((truth - truth.mean(dim=0)).square().mean())},
        settings={"samples": len(truth)},
        parts={"psnr": -10 * math.log10(error) if error > 0 else None},
    )


def score_regression(record: EncoderRecord) -> Score:
    """How well the encoder that was trained for a generator knows the codes, beside always answering their mean.

    Args:
        record: what was measured when it was trained, on pictures that it was not trained on.
    """
    return Score(
        name="Regression error",
        variant=f"mean squared error of a code in units of its prior variance, mean over {len(record.mse)} codes, "
        f"{record.settings.test_pictures:,} generated pictures that it was not trained on",
        value=record.mean_mse,
        better="lower",
        range=(0.0, 1.0),
        explanation="How much of the codes the trained encoder cannot read off the pictures: 0 if it reads them all, 1 "
        "if it knows nothing. It may be the encoder's fault, or nothing in the picture that tells.",
        baselines={"prior's mean": 1.0},
        settings={"samples": record.settings.test_pictures, "steps": record.step, "seed": record.settings.seed},
        parts={"mse": list(record.mse), "r2": list(record.r2), "names": list(record.names)},
    )


def reference_points(
    metric: Callable[[Floats, Integers], Result], codes: Floats, factors: Integers, seed: int, rotations: int
) -> dict[str, list[Result]]:
    """The metric's results for perfect codes, for the same codes scaled to unit variance and rotated, and for noise."""
    return {
        "perfect": [metric(perfect(factors, codes.shape[1], seed), factors)],
        "rotated": [metric(rotated(codes, seed + i), factors) for i in range(rotations)],
        "noise": [metric(noise(len(codes), codes.shape[1], seed), factors)],
    }


def features_of(network: Features, images: Tensor, batch: int = 16) -> Tensor:
    """Features ``(n, d)`` of uint8 pictures; small batches, whose feature maps stay in the processor's cache."""
    return torch.cat([network(from_uint8(part)).cpu() for part in torch.split(images, batch)])


def summarise(
    points: Mapping[str, Sequence[Result]], read: Callable[[Any], float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean of each reference point, and standard deviation of those that have several seeds."""
    values = {name: [float(read(result)) for result in results] for name, results in points.items()}
    means = {name: statistics.fmean(numbers) for name, numbers in values.items()}
    return means, {name: statistics.stdev(numbers) for name, numbers in values.items() if len(numbers) > 1}


def parts_of(result: Result) -> Json:
    """What the result holds besides what a :class:`Score` already says."""
    return {name: part for name, part in result.to_dict().items() if name not in ("score", "variant")}


def notes_on(labelled: Labelled, bins: int) -> list[str]:
    """What a reader of MIG and DCI must know of the factors."""
    values = [len(np.unique(column)) for column in labelled.factors[: labelled.train].T]
    constant = [name for name, count in zip(labelled.names, values, strict=True) if count == 1]
    many = [f"{name} ({count})" for name, count in zip(labelled.names, values, strict=True) if count > bins]
    notes = []
    if constant:
        notes.append(f"Constant in these data, and not counted: {', '.join(constant)}.")
    if many:
        notes.append(
            f"More values than the {bins} bins that MIG cuts a code into: {', '.join(many)}; so even perfect codes do "
            "not reach a MIG of 1."
        )
    if len(values) - len(constant) == 1:
        notes.append("With a single factor DCI's disentanglement is 1 whatever the codes: it says nothing here.")
    if labelled.train < 1_000:
        notes.append(
            f"{labelled.train} codes are few: by chance alone mutual information is large, as the noise codes show."
        )
    return notes


@contextmanager
def quiet() -> Iterator[None]:
    """What the metrics warn of is in :func:`notes_on`: no need to hear it of every reference point and sample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisentangleWarning)
        yield
