"""The FactorVAE score.

Kim, Mnih, "Disentangling by Factorising", ICML 2018, arXiv 1802.05983; computed as Locatello et al., "Challenging
Common Assumptions in the Unsupervised Learning of Disentangled Representations", ICML 2019, arXiv 1811.12359,
published it.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from disentangle.metrics.common import Floats, Integers
from disentangle.metrics.sampling import (
    CHUNK,
    DrawnSource,
    Encode,
    Encoded,
    Grid,
    Rows,
    check_numbers,
    generator,
    population,
)
from disentangle.metrics.trust import CodeScore
from disentangle.metrics.words import varies, warn

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FactorVAE(CodeScore):
    """A FactorVAE score and its parts.

    Attributes:
        votes: ``(d, k)``, how often each code varied least, relative to itself, in the training groups that shared
            each factor.
        test_votes: ``(d, k)``, the same of the test groups.
        factor: ``(d,)``, the factor that each code stands for: the one of most of its training votes.
        active: ``(d,)``, which codes may vote.
        deviation: ``(d,)``, each code's standard deviation over all samples.
        threshold: of the deviation, below which a code has no vote.
    """

    votes: Integers
    test_votes: Integers
    factor: Integers
    active: NDArray[np.bool_]
    deviation: Matrix
    threshold: float

    @property
    def score(self) -> float:
        """The share of test votes whose code stands for the factor that was shared, in [0, 1]."""
        return self._share(self.test_votes)

    @property
    def train_score(self) -> float:
        """The same of the training votes, which is what Kim and Mnih report."""
        return self._share(self.votes)

    def _share(self, votes: Integers) -> float:
        right = votes[np.arange(len(votes)), self.factor].sum()
        return float(right / max(votes.sum(), 1))


def factor_vae_score(
    dataset: Grid | Encoded | Rows,
    encode: Encode | None = None,
    seed: int = 0,
    *,
    train: int = 10_000,
    test: int = 5_000,
    group: int = 64,
    variance_samples: int = 10_000,
    threshold: float = 0.05,
    batch: int = 256,
) -> FactorVAE:
    """Whether the code that varies least over samples that share a factor's value tells which factor it is.

    For every group of samples the code of the least variance, over its variance on all samples, has a vote; the codes
    are assigned to factors by the majority of the training votes and tested on others. A rotation of the codes may
    score almost as high as perfect ones: see ``reference_points``.

    What the published code leaves open: a constant code has no vote whatever the threshold (published, at a threshold
    of 0, 0/0 has the least variance and all the votes); without a code that may vote the score is 0, as without a
    factor that varies; a factor of one value is not drawn. Where only one factor is drawn every vote is right: 1.

    Args:
        dataset: a grid of pictures, an :class:`Encoded` one, or :class:`Rows`.
        encode: pictures to codes ``(n, d)``, for a grid of pictures. Each picture is encoded once, whatever the seed.
        seed: of the draws; the published numbers are those of 0.
        train: groups to learn from.
        test: groups to test on.
        group: samples in each, at least 2.
        variance_samples: samples that a code's variance is taken from; of rows it is all.
        threshold: standard deviation that a code needs to vote: 0.05 in the published study. It is in the code's own
            units, made for codes whose prior is a standard normal.
        batch: pictures that are encoded at a time.

    Raises:
        ValueError: for numbers that are too small, codes that are not finite or not one row a picture, and a grid
            without ``encode``.

    Warns:
        DisentangleWarning: where codes have no vote, and where factors are constant or not shared by enough samples.
    """
    check_numbers(1, train=train, test=test)
    check_numbers(2, group=group, variance_samples=variance_samples)
    samples = population(dataset, encode, batch)
    rng = generator(seed)
    every = samples.sample(rng, variance_samples)
    n = train + test if len(samples.counted) else 0
    labels, groups = samples.groups(rng, n, group)
    drawn = samples.look_up(every, groups)
    every, groups = drawn.rows
    draws = _Draws(every, groups, labels[:, None], min(train, n), samples.name, seed, threshold)
    result = draws.score(drawn.codes, drawn.factors)
    silent = np.flatnonzero(~result.active)
    numbers = ", ".join(map(str, silent))
    vote = f"codes without a vote, of a standard deviation of at most {threshold:g}: {numbers}"
    words = [vote] if len(silent) else []
    if isinstance(samples, Rows):
        settings = {"seed": seed, "train": train, "test": test, "group": group, "threshold": threshold}
        again = partial(factor_vae_score, variance_samples=variance_samples, **settings)  # type: ignore[arg-type]
        result = replace(result, source=replace(cast(DrawnSource, result.source), rows=samples, again=again))
    return replace(result, warnings=warn(samples.words + words))


@dataclass(frozen=True, eq=False)
class _Draws:
    """Groups that were drawn, which any codes of the same samples can be scored on.

    Attributes:
        every: ``(n,)`` rows that a code's variance is taken from.
        groups: ``(train + test, group)`` rows.
        labels: ``(train + test, 1)``, the factor that each group shares.
        train: how many of the groups are to learn from.
        variant: what is drawn, in words.
        seed: of the draws.
        threshold: of the deviation.
    """

    every: Integers
    groups: Integers
    labels: Integers
    train: int
    variant: str
    seed: int
    threshold: float

    def score(self, codes: Floats, factors: Integers) -> FactorVAE:
        """The score of ``codes (U, d)``."""
        peak = np.abs(codes).max(axis=0)
        # Powers of two, which change no digit, where squares might overflow.
        unit = np.exp2(np.where(peak > 2.0**50, np.floor(np.log2(np.maximum(peak, 1))), 0)).astype(codes.dtype)
        scaled = codes / unit
        sample = scaled[self.every]
        variance = sample.var(axis=0, ddof=1) if len(sample) > 1 else np.zeros(codes.shape[1], codes.dtype)
        deviation = np.sqrt(variance) * unit
        active = (deviation >= self.threshold) & varies(sample) & (variance > 0)
        votes = np.full((len(self.groups), 1), -1)
        if active.any():
            votes[:, 0] = np.flatnonzero(active)[self._least(scaled[:, active], variance[active])]
        learn = partial(self._learn, factors.shape[1], active, deviation.astype(np.float64))
        parts = votes[: self.train], self.labels[: self.train], votes[self.train :], self.labels[self.train :]
        return replace(learn(*parts), source=DrawnSource(self.score, codes, factors, learn=learn, groups=parts))

    def _least(self, codes: Floats, variance: Floats) -> Integers:
        """Of each group the code of least variance over ``variance``; in the codes' own precision, as published."""
        least = np.empty(len(self.groups), dtype=np.int64)
        for start in range(0, len(least), CHUNK):
            chunk = slice(start, start + CHUNK)
            least[chunk] = np.argmin(codes[self.groups[chunk]].var(axis=1, ddof=1) / variance, axis=1)
        return least

    def _learn(
        self,
        factors: int,
        active: NDArray[np.bool_],
        deviation: Matrix,
        votes: Floats,
        labels: Integers,
        test_votes: Floats,
        test_labels: Integers,
    ) -> FactorVAE:
        """The score of votes ``(n, 1)``, −1 for none, of groups that share the factors ``(n, 1)``."""
        shape = len(active), factors
        counts = _count(votes, labels, shape)
        return FactorVAE(
            self.variant,
            counts,
            _count(test_votes, test_labels, shape),
            np.argmax(counts, axis=1),
            active,
            deviation,
            self.threshold,
            samples=(len(votes), len(test_votes)),
            seed=self.seed,
            learner="majority vote",
        )


def _count(votes: Floats, labels: Integers, shape: tuple[int, int]) -> Integers:
    counts = np.zeros(shape, dtype=np.int64)
    cast = votes[:, 0] >= 0
    np.add.at(counts, (votes[cast, 0].astype(np.int64), labels[cast, 0]), 1)
    return counts
