"""One number of a report, and all that a reader needs to judge it."""

import math
import re
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disentangle.errors import DisentangleWarning
from disentangle.metrics import CodeScore, Result, interval

Json = dict[str, Any]
Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """One number of a report and all that a reader needs to judge it.

    Attributes:
        name: what it is called.
        variant: which definition, with what settings: scores of different variants are not comparable.
        value: the number.
        better: ``"higher"``, ``"lower"``, or empty where neither is.
        range: least and greatest possible value; ``None`` where there is none.
        explanation: one sentence on what it measures.
        baselines: name -> value of the reference points, computed in the same way.
        spreads: name -> standard deviation of a reference point over seeds, where there are several.
        interval: 95 % interval of ``value``.
        resamples: values whose standard deviation is the standard error of ``value``. The same number of samples and
            seed resample the same rows, so that two runs can be compared pair by pair.
        unit: follows the number.
        settings: what it was computed with.
        parts: what it was made of.
        notes: what a reader must know.
    """

    name: str
    variant: str
    value: float
    better: str
    range: tuple[float | None, float | None]
    explanation: str
    baselines: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    resamples: tuple[float, ...] = ()
    unit: str = ""
    settings: Json = field(default_factory=dict)
    parts: Json = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> Json:
        """As JSON holds it: tuples are lists."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Score":
        """The score that :meth:`to_dict` described."""
        tuples = ("range", "interval", "resamples", "notes")
        plain: Json = {key: tuple(v) if key in tuples and v is not None else v for key, v in values.items()}
        return Score(**plain)


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

    @cached_property
    def to_learn(self) -> tuple[Floats, Integers]:
        """The codes and factors to learn from."""
        return self.codes[: self.train], self.factors[: self.train]

    @cached_property
    def split(self) -> tuple[Floats, Integers, Floats, Integers]:
        """The codes and factors to learn from, and those to test what was learned."""
        return *self.to_learn, self.codes[self.train :], self.factors[self.train :]


@dataclass(frozen=True)
class Part:
    """A number of a result, as reports show it.

    Attributes:
        name: what it is called.
        explanation: one sentence on what it measures.
        better: see :class:`Score`.
        range: see :class:`Score`; by default the bounds of the result.
    """

    name: str
    explanation: str
    better: str = "higher"
    range: tuple[float, float | None] | None = None


def scores_of(
    result: Result,
    parts: Mapping[str, Part],
    *,
    points: Mapping[str, Sequence[Result]],
    samples: str,
    settings: Json,
    factors: Sequence[str] = (),
) -> list[Score]:
    """The numbers of a result with their intervals and reference points, the first with all that it is made of.

    Args:
        result: of a metric.
        parts: attribute of the result -> how it is shown.
        points: results for the reference points, one or more each.
        samples: how many there were, in words.
        settings: what it was computed with.
        factors: names of the factors, for its warnings.
    """
    scores: list[Score] = []
    for attribute, part in parts.items():
        means, spreads = summarise(points, attribute)
        resamples = resamples_of(result, attribute)
        value = float(getattr(result, attribute))
        bounds: tuple[float, float | None] = getattr(result, "bounds", (0.0, None))
        least, greatest = bounds if part.range is None else part.range
        ends = ends_of(result, attribute, resamples)
        if ends is not None:
            ends = max(least, ends[0]), ends[1] if greatest is None else min(greatest, ends[1])
        scores.append(
            Score(
                name=part.name,
                variant=f"{result.variant}; {samples}",
                value=value,
                better=part.better,
                range=(least if math.isfinite(least) else None, greatest),
                explanation=part.explanation,
                baselines=means,
                spreads=spreads,
                interval=ends,
                resamples=resamples,
                settings=settings,
                parts={} if scores else parts_of(result),
                notes=() if scores else tuple(named(words, factors) for words in getattr(result, "warnings", ())),
            )
        )
    return scores


def resamples_of(result: Result, attribute: str) -> tuple[float, ...]:
    """A number on random halves of the samples, where the result has these."""
    if getattr(result, "source", None) is None:
        return ()
    return tuple(float(getattr(half, attribute)) for half in result.halves)  # type: ignore[attr-defined]


def ends_of(result: Result, attribute: str, resamples: Sequence[float]) -> tuple[float, float] | None:
    """95% interval of a number: from its resamples, or what the result itself knows of its score."""
    if len(resamples) > 1:
        return interval(float(getattr(result, attribute)), resamples)
    ends: tuple[float, float] | None = None
    if attribute == "score" and not hasattr(type(result), "halves"):
        ends = getattr(result, "interval", None)
    return ends if ends is not None and all(map(math.isfinite, ends)) else None


def reference_results(result: CodeScore, seed: int, rotations: int) -> dict[str, list[Result]]:
    """What the metric says of perfect codes, of noise, and of the same codes rotated at random some times."""
    if result.source is None:
        return {name: [point] for name, point in result.references.items()}
    first = result.source.references(seed)
    turned = [first["rotated"]]
    turned += [result.source.references(seed + i, ("rotated",))["rotated"] for i in range(1, rotations)]
    return {"perfect": [first["perfect"]], "rotated": turned, "noise": [first["noise"]]}


def summarise(points: Mapping[str, Sequence[Result]], attribute: str) -> tuple[dict[str, float], dict[str, float]]:
    """Mean of each reference point, and standard deviation of those that have several seeds."""
    values = {name: [float(getattr(result, attribute)) for result in results] for name, results in points.items()}
    means = {name: statistics.fmean(numbers) for name, numbers in values.items()}
    return means, {name: statistics.stdev(numbers) for name, numbers in values.items() if len(numbers) > 1}


def parts_of(result: Result) -> Json:
    """What the result holds besides what a :class:`Score` already says."""
    known = ("score", "variant", "samples", "warnings", "seed", "learner", "resamples")
    return {name: part for name, part in result.to_dict().items() if name not in known}


def named(words: str, names: Sequence[str]) -> str:
    """A metric's warning with the factors' names in the place of their numbers, and as a sentence. Of more than three
    the first two are named."""

    def name(match: re.Match[str]) -> str:
        numbers = [int(number) for number in re.findall(r"\d+", match[0])]
        known = [names[j].removeprefix("factor ") if j < len(names) else str(j) for j in numbers]
        if len(known) == 1:
            return f"factor {known[0]}"
        shown = known if len(known) <= 3 else [*known[:2], f"{len(known) - 2} more"]
        return f"factors {', '.join(shown[:-1])} and {shown[-1]}"

    text = re.sub(r"\bfactors (?:\d+, )*\d+ and \d+\b|\bfactor \d+\b", name, words)
    return f"{text[:1].upper()}{text[1:]}."


def counted(samples: Sequence[int], things: str = "codes") -> str:
    """The numbers of samples of a :class:`~disentangle.metrics.CodeScore` in words."""
    if len(samples) == 1:
        return f"{samples[0]:,} {things}"
    return f"{samples[0]:,} {things} to learn from, {samples[1]:,} to test"


@contextmanager
def quiet() -> Iterator[None]:
    """What the metrics warn of is among the notes of their scores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DisentangleWarning)
        yield
