"""The kernel distance between two sets of features.

Bińkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018, arXiv 1801.01401. It is the Kernel Inception
Distance, KID, only with the features of the published Inception network.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.metrics.common import as_codes, as_features
from disentangle.metrics.feature_score import INCEPTION, Features, FeatureScore, Pair
from disentangle.metrics.words import warn


@dataclass(frozen=True, eq=False, kw_only=True)
class Kernel(FeatureScore):
    """A kernel distance.

    Attributes:
        mean: the score, the mean over the subsets.
        deviation: standard deviation of the subsets' distances, over their number, as published; that of the mean is
            smaller, and is in the interval.
        subsets: how many.
        subset_size: samples of each set in a subset.
    """

    bounds: ClassVar[tuple[float, float | None]] = (-np.inf, None)
    least_half: ClassVar[int] = 2

    mean: float
    deviation: float
    subsets: int
    subset_size: int

    @property
    def score(self) -> float:
        """The squared distance; 0 on average for sets of one distribution, and so below 0 for half of them."""
        return self.mean

    @property
    def name(self) -> str:
        """``"KID"`` of features of the published Inception network and resize, else ``"kernel distance"``."""
        return "KID" if self.features in INCEPTION else "kernel distance"

    def to_dict(self) -> dict[str, Any]:
        """The score, its name and every part, as JSON can hold them."""
        return {"name": self.name, **super().to_dict()}


def kernel_distance(
    x: ArrayLike | Tensor,
    y: ArrayLike | Tensor,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
    features: str | None = None,
) -> Kernel:
    r"""The squared maximum mean discrepancy of two sets of features under the kernel :math:`(x^\top y/d + 1)^3`.

    The unbiased estimate, averaged over random subsets of both sets, drawn without replacement: it has no bias at any
    number of samples, other than the Fréchet distance. Subsets are those that torch-fidelity draws with the same seed.
    In float64; memory beyond the features is three matrices of ``subset_size²``.

    What the published code leaves open: sets smaller than ``subset_size`` are compared in subsets of all that the
    smaller one has, with a warning.

    Args:
        x: ``(n, d)`` features of one set, ``n ≥ 2``.
        y: ``(m, d)`` features of the other, ``m ≥ 2``.
        subsets: number of subsets, at least 1.
        subset_size: samples of each set in a subset, at least 2.
        seed: of the subsets.
        features: name of the features, kept in the result.

    Raises:
        ValueError: for fewer samples or subsets, different numbers of features, or values that are not finite.

    Warns:
        DisentangleWarning: where a set is smaller than a subset.
    """
    a, b = as_codes(as_features(x, "x")), as_codes(as_features(y, "y"))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x and y must have the same features, got {a.shape[1]} and {b.shape[1]} columns")
    fewest = min(len(a), len(b))
    if fewest < 2 or subsets < 1 or subset_size < 2:
        raise ValueError(
            f"a kernel distance needs 2 samples, a subset and 2 in it, got {fewest}, {subsets} and {subset_size}"
        )
    words = []
    if fewest < subset_size:
        words = [f"{fewest} samples are fewer than the {subset_size} of a subset: subsets of {fewest} are compared"]
    size = min(subset_size, fewest)
    # the legacy generator, for the sake of equal subsets
    rng = np.random.RandomState(seed)
    distances = []
    for _ in range(subsets):
        first, second = (rows[rng.choice(len(rows), size, replace=False)] for rows in (a, b))
        distances.append(_discrepancy(first, second))
    return Kernel(
        variant=f"cubic kernel, unbiased, {subsets} subsets of {size}",
        mean=float(np.mean(distances)),
        deviation=float(np.std(distances)),
        subsets=subsets,
        subset_size=size,
        n=len(a),
        m=len(b),
        dimension=a.shape[1],
        features=features,
        seed=seed,
        warnings=warn(words),
        source=Pair(partial(_halved, subsets=min(subsets, 20), size=size, seed=seed), a, b),
    )


def _halved(x: Features, y: Features, subsets: int, size: int, seed: int) -> Kernel:
    """Of halves smaller than a subset all is taken, which needs no words; a mean over few subsets is as good."""
    size = min(size, len(x), len(y))
    return kernel_distance(x, y, subsets if size < min(len(x), len(y)) else 1, size, seed)


def _discrepancy(x: Features, y: Features) -> float:
    """The unbiased estimate: a sample is not compared with itself."""
    n = len(x)
    within = sum(float(kernel.sum() - np.trace(kernel)) for kernel in (_kernel(x, x), _kernel(y, y)))
    return within / (n * (n - 1)) - 2 * float(_kernel(x, y).mean())


def _kernel(x: Features, y: Features) -> NDArray[np.float64]:
    product = x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1
    return np.asarray(product * product * product)
