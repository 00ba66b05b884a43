"""Mean and covariance of features that come batch by batch, in memory that does not grow with their number.

Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance: Analysis and Recommendations", The American
Statistician 37, 1983, for how the means of parts combine.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.metrics.common import as_features

Matrix = NDArray[np.float64]


class Moments:
    """The number of samples, their mean, and a factor of their scatter: all that a Fréchet distance needs.

    The scatter, the sum of the squared deviations from the mean, is never formed, which would halve the digits of small
    variances; what is kept is a factor ``R`` of it, ``RᵀR``, from QR decompositions, in float64. How the samples are
    cut into batches, and parts into processes, changes the result by roundings only. At most ``5 d`` rows of ``d``
    features are in memory.

    Attributes:
        n: number of samples so far.
        origin: ``(d,)``, a point near the samples; ``None`` before the first. Means are kept relative to it, so that a
            large common offset costs no digits.
    """

    def __init__(self, origin: Matrix | None = None) -> None:
        self.n = 0
        self.origin = origin
        self._shift: Matrix = np.zeros(0 if origin is None else len(origin))
        self._rows: list[Matrix] = []

    @classmethod
    def of(cls, features: ArrayLike | Tensor, origin: Matrix | None = None) -> "Moments":
        """The moments of features ``(n, d)`` that are in memory already; see :meth:`update`."""
        return cls(origin).update(features)

    @classmethod
    def merged(cls, parts: Iterable["Moments"]) -> "Moments":
        """The moments of all samples of several parts, which stay as they are.

        Raises:
            ValueError: where there is no part, or parts differ in their number of features.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("no moments to merge: at least one part is needed")
        whole = cls(next((part.origin for part in parts if part.origin is not None), None))
        for part in parts:
            if part.n and part.origin is not None and whole.origin is not None:
                whole._check(len(part.origin))
                whole._add(part.n, part._shift + (part.origin - whole.origin), part._rows)
        return whole

    @property
    def dimension(self) -> int:
        """``d``, the number of features; 0 before the first sample."""
        return len(self._shift)

    @property
    def mean(self) -> Matrix:
        """``(d,)``."""
        return self._shift if self.origin is None else self.origin + self._shift

    @property
    def factor(self) -> Matrix:
        """``R (r, d)``, ``r ≤ d``, with ``RᵀR`` the scatter; over ``√(n − 1)``, of the unbiased covariance."""
        self._compress(self.dimension)
        return self._rows[0] if self._rows else np.zeros((0, self.dimension))

    @property
    def covariance(self) -> Matrix:
        """``(d, d)``, unbiased: over ``n − 1``.

        Raises:
            ValueError: for fewer than two samples.
        """
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 samples, got {self.n}")
        return np.asarray(self.factor.T @ self.factor / (self.n - 1))

    def update(self, features: ArrayLike | Tensor) -> "Moments":
        """Take in more samples ``(n, d)``, NumPy or torch, and return these moments.

        Raises:
            ValueError: for another number of features, no rows, or values that are not finite.
        """
        array = as_features(features, "features")
        if self.origin is None:
            self.origin = array[: 4 * array.shape[1]].mean(axis=0, dtype=np.float64)
            self._shift = np.zeros(array.shape[1])
        self._check(array.shape[1])
        step = max(2 * self.dimension, 1024)
        for start in range(0, len(array), step):
            rows = array[start : start + step].astype(np.float64)
            rows -= self.origin
            mean = rows.mean(axis=0)
            rows -= mean
            self._add(len(rows), mean, [rows])
        return self

    def difference(self, other: "Moments") -> Matrix:
        """``(d,)``, this mean minus the other's, without the digits of a common origin."""
        if self.origin is None or other.origin is None:
            raise ValueError("there is no mean yet: update the moments with features first")
        return np.asarray((self.origin - other.origin) + (self._shift - other._shift))

    def pack(self) -> Matrix:
        """All of it as one matrix ``(d + 3, d)``, of the same shape in each process: what is sent, or saved."""
        if self.origin is None:
            raise ValueError("there are no moments yet: update them with features first")
        factor = self.factor
        packed = np.zeros((self.dimension + 3, self.dimension))
        packed[0], packed[1], packed[2] = self.n, self.origin, self._shift
        packed[3 : 3 + len(factor)] = factor
        return packed

    @classmethod
    def unpack(cls, packed: Matrix) -> "Moments":
        """What :meth:`pack` made into moments again.

        Raises:
            ValueError: where it cannot have come from there.
        """
        if packed.ndim != 2 or packed.shape[0] != packed.shape[1] + 3 or not np.isfinite(packed).all():
            raise ValueError(f"packed moments must be finite and (d + 3, d), got shape {packed.shape}")
        moments = cls(packed[1].copy())
        moments.n, moments._shift, moments._rows = int(packed[0, 0]), packed[2].copy(), [packed[3:].copy()]
        return moments

    def _check(self, dimension: int) -> None:
        if dimension != self.dimension:
            raise ValueError(f"features must stay of one number, got {dimension} columns after {self.dimension}")

    def _add(self, n: int, shift: Matrix, rows: list[Matrix]) -> None:
        """Add ``n`` samples: ``shift`` is their mean from the origin, ``rows`` their deviations from that."""
        between = shift - self._shift
        if self.n and between.any():
            rows = [*rows, np.sqrt(self.n * n / (self.n + n)) * between[None]]
        self._shift = self._shift + between * (n / (self.n + n))
        self.n += n
        self._rows.extend(rows)
        self._compress(3 * self.dimension)

    def _compress(self, limit: int) -> None:
        """Put the rows into one matrix, and where they are more than ``limit`` into a triangle of ``d``."""
        count = sum(len(rows) for rows in self._rows)
        if count > limit:
            # a set that is in memory already may come as one block far taller than the triangle: no copy of it then
            stacked = self._rows[0] if len(self._rows) == 1 else np.vstack(self._rows)
            self._rows = [np.asarray(np.linalg.qr(stacked, mode="r"))]
        elif len(self._rows) > 64 or (limit == self.dimension and len(self._rows) > 1):
            self._rows = [np.vstack(self._rows)]
