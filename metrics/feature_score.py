"""What every score of two sets of features carries, and how far chance moves it."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from disentangle.metrics.baselines import interval
from disentangle.metrics.common import Result

INCEPTION = ("inception@legacy", "inception@clean")
"""Names that :func:`disentangle.metrics.load_features` gives the published Inception network, with its resizes: the
features that FID and KID are of."""

Features = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sets of features and the metric that compared them, kept by reference so that it can be done on halves.

    Attributes:
        metric: the function, with all its settings bound.
        x: ``(n, d)``.
        y: ``(m, d)``.
        repeats: random halves that an interval is taken from.
        seed: of the halves.
    """

    metric: Callable[[Features, Features], Result]
    x: Features
    y: Features
    repeats: int = 20
    seed: int = 0

    def halves(self) -> list[Result]:
        """The metric on random halves of both sets, drawn without replacement."""
        rng = np.random.default_rng(self.seed)

        def half(rows: Features) -> Features:
            return np.asarray(rows[np.sort(rng.permutation(len(rows))[: len(rows) // 2])])

        return [self.metric(half(self.x), half(self.y)) for _ in range(self.repeats)]


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureScore(Result):
    """A score of two sets of features.

    Attributes:
        n: samples of the first set.
        m: samples of the second set.
        dimension: ``d``, the number of features.
        features: the name of the network that made them, with the size or resize of its pictures.
        seed: of what was random; ``None`` where nothing is.
        warnings: what a reader must know, in words; each was emitted as a :class:`DisentangleWarning`, too.
        source: what it was computed from; ``None`` where only moments were there.
    """

    bounds: ClassVar[tuple[float, float | None]] = (0.0, None)
    """Least and greatest possible score; ``None`` where there is none."""
    least_half: ClassVar[int] = 2
    """Samples that a half must have to be scored."""

    n: int
    m: int
    dimension: int
    features: str | None
    seed: int | None = None
    warnings: tuple[str, ...] = ()
    source: Pair | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the score over the choice of ``n`` and ``m`` samples; see :meth:`interval_of`."""
        return self.interval_of("score")

    def interval_of(self, part: str) -> tuple[float, float]:
        """95% interval of a number of the result, named like its attribute; all that is possible for a few samples.

        It is centred on the number itself and as wide as its spread over random halves of both sets, which equals the
        standard error on all samples (the delete-half jackknife: Shao, Wu, Annals of Statistics 17, 1989). Halves
        share a bias, that of fewer samples, so it cancels in their spread; their mean is no centre.

        Raises:
            ValueError: where features were not kept.
        """
        least, greatest = self.bounds
        halves = self.halves
        if not halves:
            return least, float("inf") if greatest is None else greatest
        low, high = interval(getattr(self, part), [getattr(half, part) for half in halves])
        return max(least, low), high if greatest is None else min(greatest, high)

    @cached_property
    def halves(self) -> list[Result]:
        """Results on random halves of both sets, computed when first asked for; none where the sets are too small.

        Raises:
            ValueError: where features were not kept.
        """
        if self.source is None:
            raise ValueError("this score was computed from moments: score features, or parts of them, for an interval")
        return self.source.halves() if min(self.n, self.m) >= 2 * self.least_half else []

    @cached_property
    def bias(self) -> float:
        """By how much the score is too large (or small) for the number of samples, where the bias goes like ``1/N``.

        Halves have twice the bias, so it is their mean minus the score (the jackknife: Quenouille, Biometrika 43,
        1956); ``score − bias`` estimates what infinitely many samples would give. 0 for sets too small to halve.

        Raises:
            ValueError: where features were not kept.
        """
        scores = [half.score for half in self.halves]
        return statistics.fmean(scores) - self.score if scores else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The score and every part as JSON can hold them, without the interval."""
        return {name: part for name, part in super().to_dict().items() if name != "source"}
