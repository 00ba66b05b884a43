"""The β-VAE score.

Higgins et al., "β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework", ICLR 2017; computed as
Locatello et al., "Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations", ICML
2019, arXiv 1811.12359, published it.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import numpy as np

from disentangle.metrics import logistic
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
from disentangle.metrics.words import dead_codes, warn


@dataclass(frozen=True, eq=False)
class BetaVAE(CodeScore):
    """A β-VAE score and its parts.

    Attributes:
        confusion: ``(k, k)``, of the test points that share each factor, how many are taken for each.
        train_score: accuracy on the training points.
        converged: whether the regression did in the published number of steps.
    """

    confusion: Integers
    train_score: float
    converged: bool

    @property
    def score(self) -> float:
        """Accuracy on the test points, in [0, 1]; chance is one over the number of factors."""
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))


def beta_vae_score(
    dataset: Grid | Encoded | Rows,
    encode: Encode | None = None,
    seed: int = 0,
    *,
    train: int = 10_000,
    test: int = 5_000,
    pairs: int = 64,
    learner: Literal["multinomial", "one-vs-rest"] = "multinomial",
    batch: int = 256,
) -> BetaVAE:
    """Whether the mean difference of codes between samples that share a factor's value tells which factor it is.

    A point is the mean of ``|c₁ − c₂|`` over some pairs that share one factor; a logistic regression says which. The
    score is that of a linear classifier of all codes and can be 1 for codes that are no factors.

    What the published code leaves open: without a factor that varies the score is 0; a factor of one value is not
    drawn, and where only one is drawn every answer is right: 1. Constant codes differ by 0 and need no care.

    Args:
        dataset: a grid of pictures, an :class:`Encoded` one, or :class:`Rows`.
        encode: pictures to codes ``(n, d)``, for a grid of pictures. Each picture is encoded once, whatever the seed.
        seed: of the draws; the published numbers are those of 0.
        train: points to learn from.
        test: points to test on.
        pairs: pairs that a point is the mean over.
        learner: ``"multinomial"``, or ``"one-vs-rest"``, what the published call meant before scikit-learn 0.22.
        batch: pictures that are encoded at a time.

    Raises:
        UserError: for an unknown name of a learner.
        ValueError: for numbers that are too small, codes that are not finite or not one row a picture, and a grid
            without ``encode``.

    Warns:
        DisentangleWarning: where codes or factors are constant, factors are not shared by enough samples, or the
            regression stopped before it converged.
    """
    check_numbers(1, train=train, test=test, pairs=pairs)
    logistic.check_learner(learner, ("multinomial", "one-vs-rest"))
    samples = population(dataset, encode, batch)
    rng = generator(seed)
    n = train + test if len(samples.counted) else 0
    labels, first, second = samples.pairs(rng, n, pairs)
    # Where nothing is drawn, one picture has to tell how many codes there are.
    drawn = samples.look_up(first, second, np.zeros(0 if n else 1, dtype=np.int64))
    first, second, _ = drawn.rows
    draws = _Draws(first, second, labels[:, None], min(train, n), samples.name, seed, learner)
    result = draws.score(drawn.codes, drawn.factors)
    words = samples.words + dead_codes(drawn.codes)
    if not result.converged:
        words.append("the regression stopped after the published 100 steps, before it converged")
    if isinstance(samples, Rows):
        settings = {"seed": seed, "train": train, "test": test, "pairs": pairs, "learner": learner}
        again = partial(beta_vae_score, **settings)  # type: ignore[arg-type]
        result = replace(result, source=replace(cast(DrawnSource, result.source), rows=samples, again=again))
    return replace(result, warnings=warn(words))


@dataclass(frozen=True, eq=False)
class _Draws:
    """Pairs that were drawn, which any codes of the same samples can be scored on.

    Attributes:
        first: ``(train + test, pairs)`` rows.
        second: their partners.
        labels: ``(train + test, 1)``, the factor that each point's pairs share.
        train: how many of the points are to learn from.
        variant: what is drawn, in words.
        seed: of the draws.
        learner: name of the regression.
    """

    first: Integers
    second: Integers
    labels: Integers
    train: int
    variant: str
    seed: int
    learner: str

    def score(self, codes: Floats, factors: Integers) -> BetaVAE:
        """The score of ``codes (U, d)``."""
        points = self._points(codes)
        parts = points[: self.train], self.labels[: self.train], points[self.train :], self.labels[self.train :]
        learn = partial(self._learn, factors.shape[1])
        return replace(learn(*parts), source=DrawnSource(self.score, codes, factors, learn=learn, groups=parts))

    def _points(self, codes: Floats) -> Floats:
        """``(train + test, d)`` in float64, each the mean over its pairs in the codes' own precision, as published."""
        points = np.empty((len(self.first), codes.shape[1]))
        for start in range(0, len(points), CHUNK):
            chunk = slice(start, start + CHUNK)
            points[chunk] = np.abs(codes[self.first[chunk]] - codes[self.second[chunk]]).mean(axis=1)
        return points

    def _learn(
        self, factors: int, points: Floats, labels: Integers, test_points: Floats, test_labels: Integers
    ) -> BetaVAE:
        """The score of points ``(n, d)`` whose pairs share the factors ``(n, 1)``."""
        confusion = np.zeros((factors, factors), dtype=np.int64)
        right, converged = float(len(labels) > 0), True
        if len(np.unique(labels)) < 2:  # one factor, or nothing at all
            answer = np.resize(labels[:, 0], len(test_labels))
        else:
            model, converged = logistic.fit(self.learner, points, labels[:, 0])
            right = float(np.mean(model.predict(points) == labels[:, 0]))
            answer = model.predict(test_points)
        np.add.at(confusion, (test_labels[:, 0], answer), 1)
        return BetaVAE(
            self.variant,
            confusion,
            right,
            converged,
            samples=(len(points), len(test_points)),
            seed=self.seed,
            learner=logistic.WORDS[self.learner],
        )
