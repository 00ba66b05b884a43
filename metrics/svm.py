"""A linear support vector machine of one feature, solved exactly and fast.

The problem is the one that scikit-learn's ``LinearSVC(C, class_weight="balanced")`` hands to liblinear (Fan, Chang,
Hsieh, Wang, Lin, "LIBLINEAR: A Library for Large Linear Classification", JMLR 9, 2008): squared hinge, one class
against the rest, a bias that is regularised like the weight. liblinear stops within a tolerance of its solution; the
finite Newton method (Mangasarian, "A finite Newton method for classification", Optimization Methods and Software 17,
2002) ends at it. With one feature the samples inside the margin lie on one side of a threshold, so sums over them are
differences of cumulative sums, and a Newton step for all classes costs some look-ups and no pass over the samples.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from disentangle.metrics.common import Floats, Integers

Matrix = NDArray[np.float64]

STEPS = 100
"""Newton steps at most; some five are usual."""


@dataclass(frozen=True, eq=False)
class LinearSVM:
    """What was learned. ``x`` is of the class of greatest ``weight · z + bias``, ``z = x / peak / spread − origin``.

    Attributes:
        classes: ``(k,)`` labels, ascending.
        weight: ``(k,)``, one class's against the rest.
        bias: ``(k,)``.
        peak: the feature's greatest size.
        spread: its deviation, in units of ``peak``; 1 where it is constant.
        origin: its mean, in units of both.
    """

    classes: Integers
    weight: Matrix
    bias: Matrix
    peak: float
    spread: float
    origin: float

    def predict(self, feature: Floats) -> Integers:
        """The classes ``(M,)`` of features ``(M,)``."""
        z = feature.astype(np.float64) / self.peak / self.spread - self.origin
        best, value = np.zeros(len(z), dtype=np.int64), self.weight[0] * z + self.bias[0]
        for j in range(1, len(self.classes)):
            other = self.weight[j] * z + self.bias[j]
            best[other > value] = j
            value = np.maximum(value, other)
        return np.asarray(self.classes[best])


def linear_svm(feature: Floats, labels: Integers, cost: float = 0.01) -> LinearSVM:
    r"""Learn ``labels`` ``(N,)``, of at least two classes, from one ``feature`` ``(N,)``.

    For each class :math:`\min_{w,b} \tfrac12 (w^2+b^2) + \sum_i C_i \max(0, 1 - y_i (w x_i + b))^2`, with ``C_i`` the
    ``cost``, times ``N / (k N_c)`` for the samples of the class; those of the rest are weighted so too where there are
    two classes, and not at all where there are more, as in liblinear.
    """
    classes, index = np.unique(labels, return_inverse=True)
    counts = np.bincount(index)
    own_cost = cost * len(labels) / (len(classes) * counts)
    rest_cost = own_cost[::-1] if len(classes) == 2 else np.full(len(classes), cost)
    # Units in which the feature has deviation 1 and mean 0: the sums then keep their digits whatever its scale.
    peak = float(np.abs(feature).max()) or 1.0
    scaled = feature.astype(np.float64) / peak
    spread = float(scaled.std()) if np.ptp(scaled) > 0 else 1.0
    origin = float(scaled.mean()) / spread
    ridge = min(max(spread * peak, 1e-15), 1e15) ** -2  # beyond, it is all or nothing
    weight, bias = _Problem(scaled / spread - origin, index, own_cost, rest_cost, ridge, origin).solve()
    return LinearSVM(classes, weight, bias, peak, spread, origin)


class _Problem:
    """The problems of all classes, in the weight and bias of the standardised feature ``z (N,)``.

    In these ``½(w² + b²)`` of the feature as it was given is ``½(ridge · w² + (b − origin · w)²)``.
    """

    def __init__(
        self, z: Matrix, index: Integers, own_cost: Matrix, rest_cost: Matrix, ridge: float, origin: float
    ) -> None:
        n, k = len(z), len(own_cost)
        order = np.argsort(z, kind="stable")
        few = np.uint16 if k <= 2**16 else np.int64  # short integers are sorted by radix, ten times faster
        grouped = np.argsort(index[order].astype(few), kind="stable")  # ranks, class after class
        self.z, self.n = z[order], n
        moments = np.stack([np.ones(n), self.z, self.z**2], axis=1)
        self.sums = np.vstack([np.zeros(3), np.cumsum(moments, axis=0)])
        self.class_sums = np.vstack([np.zeros(3), np.cumsum(moments[grouped], axis=0)])
        self.keys = index[order][grouped] * (n + 1) + grouped  # ascending: class, then rank
        self.first = np.arange(k) * (n + 1)
        ends = np.cumsum(np.bincount(index, minlength=k))
        self.class_range = self.class_sums[np.concatenate([[0], ends[:-1]])], self.class_sums[ends]
        self.own_cost, self.rest_cost = own_cost[:, None], rest_cost[:, None]
        self.ridge, self.origin = ridge, origin

    def solve(self) -> tuple[Matrix, Matrix]:
        """Weights and biases ``(k,)`` at the minimum."""
        k = len(self.first)
        weight, bias = np.zeros(k), np.zeros(k)
        loss, inside = self._loss(weight, bias)
        for _ in range(STEPS):
            step, slope = self._newton(weight, bias, *inside)
            length = np.ones(k)
            for _ in range(30):
                trial = weight + length * step[0], bias + length * step[1]
                new_loss, new_inside = self._loss(*trial)
                short = new_loss > loss + 1e-4 * length * slope + 1e-12 * loss
                if not short.any():
                    break
                length = np.where(short, length / 2, length)
            settled = all(np.array_equal(new, old) for new, old in zip(new_inside, inside))
            (weight, bias), loss, inside = trial, new_loss, new_inside
            if settled:  # the same samples are inside the margin: the loss was a parabola, and this is its vertex
                break
        return weight, bias

    def _loss(self, weight: Matrix, bias: Matrix) -> tuple[Matrix, tuple[Matrix, Matrix]]:
        """Losses ``(k,)``, and weighted count, sum and sum of squares inside the margin: the class's, the rest's."""
        everyone, own = self._inside(weight, bias)
        own_inside = self.own_cost * own
        everyone, own = self._inside(-weight, -bias)
        rest_inside = self.rest_cost * (everyone - own)
        loss = (self.ridge * weight**2 + (bias - self.origin * weight) ** 2) / 2
        for sums, gap, slope in ((own_inside, 1 - bias, -weight), (rest_inside, 1 + bias, weight)):
            loss = loss + gap**2 * sums[:, 0] + 2 * gap * slope * sums[:, 1] + slope**2 * sums[:, 2]
        return loss, (own_inside, rest_inside)

    def _inside(self, weight: Matrix, bias: Matrix) -> tuple[Matrix, Matrix]:
        """Count, sum and sum of squares ``(k, 3)`` of the samples with ``w z + b < 1``: of all, and of the class."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            threshold = (1 - bias) / (weight + 0.0)  # minus zero would turn the infinities round
        threshold = np.where(np.isnan(threshold), -np.inf, threshold)
        below = weight >= 0
        rank = np.where(below, np.searchsorted(self.z, threshold), np.searchsorted(self.z, threshold, side="right"))
        place = np.searchsorted(self.keys, self.first + rank)
        start, end = self.class_range
        everyone, own = self.sums[rank], self.class_sums[place]
        return (
            np.where(below[:, None], everyone, self.sums[-1] - everyone),
            np.where(below[:, None], own - start, end - own),
        )

    def _newton(self, weight: Matrix, bias: Matrix, own: Matrix, rest: Matrix) -> tuple[tuple[Matrix, Matrix], Any]:
        """The Newton steps of weight and bias, and the slopes along them."""
        count, total, squares = (own + rest).T
        offset = bias - self.origin * weight
        gradient_w = self.ridge * weight - self.origin * offset
        gradient_w = gradient_w + 2 * (weight * squares + bias * total - own[:, 1] + rest[:, 1])
        gradient_b = offset + 2 * (weight * total + bias * count - own[:, 0] + rest[:, 0])
        ww = self.ridge + self.origin**2 + 2 * squares
        wb = 2 * total - self.origin
        bb = 1 + 2 * count
        determinant = ww * bb - wb**2
        step_w = (wb * gradient_b - bb * gradient_w) / determinant
        step_b = (wb * gradient_w - ww * gradient_b) / determinant
        return (step_w, step_b), gradient_w * step_w + gradient_b * step_b
