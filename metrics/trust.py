"""What every score of codes carries: its settings, how far chance moves it, and what to hold it against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

from numpy.typing import ArrayLike
from torch import Tensor

from disentangle.metrics.baselines import halves, interval, reference_points
from disentangle.metrics.common import Result


@dataclass(frozen=True, eq=False)
class Source:
    """What a score was computed from, kept by reference, so that its interval and reference points can be.

    Attributes:
        metric: the function, with all its settings bound; called with the arrays below that are not ``None``.
        codes: ``(N, d)``.
        factors: ``(N, k)``.
        test_codes: ``(M, d)``, of a metric that tests what it learned.
        test_factors: ``(M, k)``.
        repeats: random halves that the interval is taken from.
        seed: of the halves, and of the reference points.
    """

    metric: Callable[..., Result]
    codes: ArrayLike | Tensor
    factors: ArrayLike | Tensor
    test_codes: ArrayLike | Tensor | None = None
    test_factors: ArrayLike | Tensor | None = None
    repeats: int = 50
    seed: int = 0

    def halves(self) -> list[Result]:
        """See :func:`disentangle.metrics.baselines.halves`."""
        arrays = (self.codes, self.factors, self.test_codes, self.test_factors)
        return halves(self.metric, *arrays, repeats=self.repeats, seed=self.seed)

    def references(self, seed: int, names: Sequence[str] = ("rotated", "perfect", "noise")) -> dict[str, Result]:
        """See :func:`disentangle.metrics.baselines.reference_points`."""
        arrays = (self.codes, self.factors, self.test_codes, self.test_factors)
        return reference_points(self.metric, *arrays, seed=seed, names=names)


LEAST = 20
"""Samples from which on halves of them say something of the error."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CodeScore(Result):
    """A score of codes, with all that one needs to judge it.

    The interval and the reference points are computed when they are first asked for, since they cost several times
    the score itself; both are deterministic.

    Attributes:
        samples: ``(N,)``, or numbers of training and of test samples.
        seed: of what was random; ``None`` where nothing is.
        learner: what predicted the factors; ``None`` where nothing learns.
        warnings: what a reader must know, in words; each was emitted as a :class:`DisentangleWarning`, too.
        source: what it was computed from; ``None`` where that was not kept.
    """

    bounds: ClassVar[tuple[float, float | None]] = (0.0, 1.0)
    """Least and greatest possible score; ``None`` where there is no greatest."""

    samples: tuple[int, ...]
    seed: int | None = None
    learner: str | None = None
    warnings: tuple[str, ...] = ()
    source: Source | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the score over the choice of samples, cut to the possible; all of that below 20 samples.

        Raises:
            ValueError: where the result does not know what it was computed from.
        """
        return self.interval_of("score")

    def interval_of(self, part: str) -> tuple[float, float]:
        """:attr:`interval` of another number of the result, named like its attribute."""
        least, greatest = self.bounds
        if not self.halves:
            return least, float("inf") if greatest is None else greatest
        low, high = interval(getattr(self, part), [getattr(result, part) for result in self.halves])
        return max(least, low), high if greatest is None else min(greatest, high)

    @cached_property
    def halves(self) -> list[Result]:
        """Results on random halves of the samples, whose spread is the standard error; none below 20 samples, halves of
        which may all be alike by chance.

        Raises:
            ValueError: where the result does not know what it was computed from.
        """
        source = self._kept()
        return source.halves() if min(self.samples) >= LEAST else []

    @cached_property
    def references(self) -> dict[str, Result]:
        """Results for ``"rotated"``, ``"perfect"`` and ``"noise"`` codes of the same shape, on the same factors.

        Raises:
            ValueError: where the result does not know what it was computed from.
        """
        source = self._kept()
        return source.references(source.seed)

    @property
    def reference_points(self) -> dict[str, float]:
        """The scores of :attr:`references`."""
        return {name: result.score for name, result in self.references.items()}

    def to_dict(self) -> dict[str, Any]:
        """The score and every part as JSON can hold them, without the interval and the reference points."""
        return {name: part for name, part in super().to_dict().items() if name != "source"}

    def _kept(self) -> Source:
        if self.source is None:
            raise ValueError(f"this result does not know what it was computed from: {[f.name for f in fields(self)]}")
        return self.source
