"""Precision and recall, density and coverage of one set of features beside another.

Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved Precision and Recall Metric for Assessing Generative Models",
NeurIPS 2019, arXiv 1904.06991; Naeem, Oh, Uh, Choi, Yoo, "Reliable Fidelity and Diversity Metrics for Generative
Models", ICML 2020, arXiv 2002.09797.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.metrics.common import as_codes, as_features
from disentangle.metrics.feature_score import FeatureScore, Pair

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class PrecisionRecall(FeatureScore):
    """How much of what is generated is real, and of what is real is generated.

    Attributes:
        precision: share of the generated samples that lie in the ball of a real one; in [0, 1].
        recall: share of the real samples that lie in the ball of a generated one; in [0, 1].
        density: number of balls of real samples that a generated one lies in, over ``k``; 1 on average for sets of one
            distribution, without an upper limit.
        coverage: share of the real samples with a generated one in their ball; in [0, 1].
        k: the ball of a sample reaches to its ``k``-th neighbour in its own set.
    """

    bounds: ClassVar[tuple[float, float | None]] = (0.0, None)
    least_half: ClassVar[int] = 2

    precision: float
    recall: float
    density: float
    coverage: float
    k: int

    @property
    def score(self) -> float:
        """The precision."""
        return self.precision

    def interval_of(self, part: str) -> tuple[float, float]:
        """95% interval of ``"precision"``, ``"recall"``, ``"density"`` or ``"coverage"``, cut to the possible."""
        low, high = super().interval_of(part)
        return low, high if part == "density" else min(high, 1.0)


def precision_recall(
    x: ArrayLike | Tensor, y: ArrayLike | Tensor, k: int = 5, features: str | None = None, block: int = 1024
) -> PrecisionRecall:
    """Precision, recall, density and coverage of generated features ``x`` beside real ones ``y``.

    The ball of a sample reaches to its ``k``-th nearest neighbour in its own set; what lies on its edge is outside, as
    in the ``prdc`` package. Values at different ``n``, ``m`` or ``k`` do not compare: balls shrink with more samples.
    Distances are Euclidean, in float64, and ``block × max(n, m)`` of them are in memory at a time.

    What the published code leaves open: a sample that occurs more than ``k`` times in its set has a ball of radius 0,
    in which nothing lies. ``k`` is cut to the number of neighbours that the smaller set has.

    Args:
        x: ``(n, d)`` features of generated samples, ``n ≥ 2``.
        y: ``(m, d)`` features of real ones, ``m ≥ 2``.
        k: which neighbour; 3 in the paper on precision and recall, 5 in that on density and coverage.
        features: name of the features, kept in the result.
        block: rows at a time.

    Raises:
        ValueError: for fewer samples, different numbers of features, ``k`` or ``block`` below 1, or values that are not
            finite.
    """
    generated, real = as_codes(as_features(x, "x")), as_codes(as_features(y, "y"))
    if generated.shape[1] != real.shape[1]:
        raise ValueError(f"x and y must have the same features, got {generated.shape[1]} and {real.shape[1]} columns")
    fewest = min(len(generated), len(real))
    if fewest < 2 or k < 1 or block < 1:
        raise ValueError(f"balls need 2 samples, k and block of at least 1, got {fewest}, {k} and {block}")
    k = min(k, fewest - 1)
    centre = real.mean(axis=0, dtype=np.float64)  # distances of what is far from the origin would lose digits
    fake, truth = (rows.astype(np.float64) - centre for rows in (generated, real))
    fake_radii, real_radii = (_radii(rows, k, block) for rows in (fake, truth))
    within = np.zeros(len(fake))
    recalled, covered = 0, 0
    for start in range(0, len(truth), block):
        part = slice(start, start + block)
        squares = _squares(truth[part], fake)
        inside = squares < real_radii[part, None]
        within += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((squares < fake_radii).any(axis=1).sum())
    return PrecisionRecall(
        variant=f"balls to neighbour {k}, without their edge",
        precision=float(np.mean(within > 0)),
        recall=recalled / len(truth),
        density=float(within.mean() / k),
        coverage=covered / len(truth),
        k=k,
        n=len(fake),
        m=len(truth),
        dimension=fake.shape[1],
        features=features,
        source=Pair(partial(precision_recall, k=k, block=block), generated, real),
    )


def _radii(rows: Matrix, k: int, block: int) -> Matrix:
    """Squared distance of each row to its ``k``-th nearest other one."""
    radii = np.empty(len(rows))
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        squares = _squares(rows[part], rows)
        own = np.arange(len(squares))
        squares[own, start + own] = -1.0  # itself is the nearest, whatever the rounding
        radii[part] = np.partition(squares, k, axis=1)[:, k]
    return radii


def _squares(a: Matrix, b: Matrix) -> Matrix:
    """Squared distances ``(len(a), len(b))``; exactly 0 where rows are equal up to rounding."""
    scale = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
    squares = scale - 2 * (a @ b.T)
    squares[squares < 1e-13 * scale] = 0  # what is left when equal rows cancel
    return np.asarray(squares)
