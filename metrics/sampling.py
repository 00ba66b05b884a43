"""What the β-VAE and FactorVAE scores draw from: groups and pairs of samples that share the value of one factor.

From a grid, with one picture for every combination of factors, any group can be drawn; pictures are encoded once each
however often they are drawn. Plain arrays have only the rows that they have, and groups are drawn among these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from disentangle.metrics.baselines import halves
from disentangle.metrics.common import Floats, Integers, Result, as_codes, as_factors
from disentangle.metrics.trust import Source
from disentangle.metrics.words import constant_factors, listed, uncounted

FEW = 10
"""Half of the rows must share a factor's value with as many others for groups of it to be more than repetitions."""

REDRAWN = 10
"""Halves of rows from which groups are drawn anew for an interval."""

CHUNK = 1000
"""Groups that are handled at a time, so that memory does not grow with their number."""

Encode = Callable[[Any], ArrayLike | Tensor]
"""Pictures to codes ``(n, d)``."""


class Grid(Protocol):
    """A set with one picture for every combination of factors, such as :class:`disentangle.data.GridSet`."""

    @property
    def factor_sizes(self) -> Sequence[int]:
        """How many values each factor has: the integers ``0 … size − 1``."""

    def index(self, factors: Tensor, /) -> Tensor:
        """Indices ``(n,)`` of the pictures with ``factors`` ``(n, k)``, int64."""

    def images(self, indices: Tensor, /) -> Any:
        """The pictures at ``indices``."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What was drawn.

    Attributes:
        codes: ``(U, d)``, each picture's once.
        factors: ``(U, k)``, theirs.
        rows: of every array of samples that was looked up, the rows of ``codes``.
    """

    codes: Floats
    factors: Integers
    rows: list[Integers]


class Population(Protocol):
    """Samples to draw from; they are named by integers.

    Attributes:
        name: what the samples are, in words.
        factors: how many factors there are.
        counted: the factors that groups are drawn for.
        words: what a reader must know about the others.
    """

    name: str
    factors: int
    counted: Integers
    words: list[str]

    def sample(self, rng: np.random.RandomState, n: int) -> Integers:
        """Samples ``(n,)`` to know the codes' variance from."""

    def groups(self, rng: np.random.RandomState, n: int, size: int) -> tuple[Integers, Integers]:
        """Factors ``(n,)`` and groups ``(n, size)``, whose members share the value of the factor."""

    def pairs(self, rng: np.random.RandomState, n: int, size: int) -> tuple[Integers, Integers, Integers]:
        """Factors ``(n,)``, samples ``(n, size)`` and partners of these, which share the value of the factor."""

    def look_up(self, *samples: Integers) -> Drawn:
        """Codes and factors of the samples in arrays of any shape."""


class Encoded:
    """A grid seen through an encoder. It remembers codes: hand the same one to both scores.

    Draws are those of disentanglement_lib's ``RandomState(seed)``, one by one, so that scores are the published ones
    for the same seed. A factor of one value, for which the published code draws too, is left out.

    Args:
        grid: the pictures.
        encode: pictures, as ``grid.images`` gives them, to codes ``(n, d)``; called without gradients.
        batch: pictures at a time.
    """

    def __init__(self, grid: Grid, encode: Encode, batch: int = 256) -> None:
        if batch < 1:
            raise ValueError(f"batch must be at least 1, got {batch}")
        self.grid, self.encode, self.batch = grid, encode, batch
        self.name = "groups drawn from the grid"
        self.sizes = np.array([int(size) for size in grid.factor_sizes], dtype=np.int64)
        if not len(self.sizes) or self.sizes.min() < 1:
            raise ValueError(
                f"factor_sizes must be at least one number, each at least 1, got {tuple(grid.factor_sizes)}"
            )
        self.factors = len(self.sizes)
        self.counted = np.flatnonzero(self.sizes > 1)
        self.words = uncounted(np.flatnonzero(self.sizes == 1))
        # A picture's number is its place in a grid whose last factor runs fastest; the grid may have another order.
        self._places = np.cumprod(np.concatenate([[1], self.sizes[:0:-1]]))[::-1]
        self._known: Integers = np.zeros(0, dtype=np.int64)
        self._codes: Floats | None = None

    def sample(self, rng: np.random.RandomState, n: int) -> Integers:
        """Of :class:`Population`."""
        return np.asarray(self._cells(rng, n) @ self._places)

    def groups(self, rng: np.random.RandomState, n: int, size: int) -> tuple[Integers, Integers]:
        """Of :class:`Population`."""
        factors, groups = np.zeros(n, dtype=np.int64), np.zeros((n, size), dtype=np.int64)
        for i in range(n):
            factors[i] = self._factor(rng)
            cells = self._cells(rng, size)
            cells[:, factors[i]] = cells[0, factors[i]]
            groups[i] = cells @ self._places
        return factors, groups

    def pairs(self, rng: np.random.RandomState, n: int, size: int) -> tuple[Integers, Integers, Integers]:
        """Of :class:`Population`."""
        factors, pairs = np.zeros(n, dtype=np.int64), np.zeros((2, n, size), dtype=np.int64)
        for i in range(n):
            factors[i] = self._factor(rng)
            first, second = self._cells(rng, size), self._cells(rng, size)
            second[:, factors[i]] = first[:, factors[i]]
            pairs[0, i], pairs[1, i] = first @ self._places, second @ self._places
        return factors, pairs[0], pairs[1]

    def look_up(self, *samples: Integers) -> Drawn:
        """Of :class:`Population`; encodes what it does not know yet."""
        numbers, rows = np.unique(np.concatenate([array.ravel() for array in samples]), return_inverse=True)
        new = np.setdiff1d(numbers, self._known, assume_unique=True)
        if len(new):
            codes = self._encode(new)
            if self._codes is not None:
                new, codes = np.concatenate([self._known, new]), np.concatenate([self._codes, codes])
            order = np.argsort(new)
            self._known, self._codes = new[order], codes[order]
        codes = self._codes[np.searchsorted(self._known, numbers)]  # type: ignore[index]  # something is known by now
        ends = np.cumsum([array.size for array in samples])[:-1]
        parts = [part.reshape(array.shape) for part, array in zip(np.split(rows, ends), samples)]
        return Drawn(codes, self._factors(numbers), parts)

    def _factor(self, rng: np.random.RandomState) -> int:
        return int(self.counted[rng.randint(len(self.counted))])

    def _cells(self, rng: np.random.RandomState, n: int) -> Integers:
        """Factors ``(n, k)``, uniform over the grid, drawn factor by factor."""
        high = np.broadcast_to(self.sizes[:, None], (self.factors, n))
        return rng.randint(0, high).T.astype(np.int64, copy=False)

    def _factors(self, numbers: Integers) -> Integers:
        return np.stack([numbers // place % size for place, size in zip(self._places, self.sizes)], axis=1)

    def _encode(self, numbers: Integers) -> Floats:
        parts: list[Floats] = []
        with torch.no_grad():
            for start in range(0, len(numbers), self.batch):
                factors = torch.from_numpy(self._factors(numbers[start : start + self.batch]))
                codes = as_codes(self.encode(self.grid.images(self.grid.index(factors))), "encode's codes")
                width = parts[0].shape[1] if parts else codes.shape[1]
                if codes.shape != (len(factors), width):
                    raise ValueError(
                        f"encode must give a row of {width} codes for every picture, got shape {codes.shape} for "
                        f"{len(factors)} pictures"
                    )
                parts.append(codes)
        return np.concatenate(parts)


class Rows:
    """Codes and factors of samples that are there, for the scores that draw groups. There is nothing to encode.

    Groups and pairs that share a factor's value are drawn among the rows, with replacement (a row is no partner of its
    own), every row as likely as any other. Rows that no other shares its value with are not drawn. From a full grid
    this is the published sampling; otherwise factors that go together in the rows go together in the groups.

    Args:
        codes: ``(N, d)`` floats, NumPy or torch.
        factors: ``(N, k)`` integers, the index of each factor's value.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite or factors that are not integers.
    """

    def __init__(self, codes: ArrayLike | Tensor, factors: ArrayLike | Tensor) -> None:
        self.codes = as_codes(codes)
        self.values = as_factors(factors, len(self.codes))
        self.name = "groups drawn among the rows"
        self.factors = self.values.shape[1]
        self._by_value = [_ByValue(column) for column in self.values.T]
        self.words = constant_factors(self.values)
        counted, alone, few = [], [], []
        for j, rows in enumerate(self._by_value):
            if rows.constant:
                continue
            if not len(rows.shared):
                alone.append(j)
                continue
            counted.append(j)
            if rows.typical < FEW:
                few.append(j)
        if alone:
            take, count = ("takes", "it does") if len(alone) == 1 else ("take", "they do")
            self.words.append(f"{listed(alone)} {take} another value in every row: {count} not count")
        if few:
            its = "its value" if len(few) == 1 else "the value of each"
            self.words.append(
                f"the rows are few for {listed(few)}: half of them share {its} with fewer than {FEW} others"
            )
        self.counted = np.array(counted, dtype=np.int64)

    def sample(self, rng: np.random.RandomState, n: int) -> Integers:
        """Of :class:`Population`: all rows."""
        return np.arange(len(self.codes))

    def groups(self, rng: np.random.RandomState, n: int, size: int) -> tuple[Integers, Integers]:
        """Of :class:`Population`."""
        factors, groups = self._factor(rng, n), np.zeros((n, size), dtype=np.int64)
        for j in self.counted:
            chosen = np.flatnonzero(factors == j)
            rows = self._by_value[j]
            leaders = rows.shared[rng.randint(len(rows.shared), size=(len(chosen), 1))]
            groups[chosen] = rows.mates(leaders, rng.random_sample((len(chosen), size)), themselves=True)
        return factors, groups

    def pairs(self, rng: np.random.RandomState, n: int, size: int) -> tuple[Integers, Integers, Integers]:
        """Of :class:`Population`."""
        factors, pairs = self._factor(rng, n), np.zeros((2, n, size), dtype=np.int64)
        for j in self.counted:
            chosen = np.flatnonzero(factors == j)
            rows = self._by_value[j]
            first = rows.shared[rng.randint(len(rows.shared), size=(len(chosen), size))]
            pairs[0, chosen] = first
            pairs[1, chosen] = rows.mates(first, rng.random_sample(first.shape), themselves=False)
        return factors, pairs[0], pairs[1]

    def look_up(self, *samples: Integers) -> Drawn:
        """Of :class:`Population`."""
        return Drawn(self.codes, self.values, list(samples))

    def _factor(self, rng: np.random.RandomState, n: int) -> Integers:
        return np.asarray(self.counted[rng.randint(len(self.counted), size=n)]) if n else self.counted[:0]


class _ByValue:
    """The rows of one factor ``(N,)`` by its values.

    Attributes:
        constant: whether there is but one value.
        shared: the rows whose value others have, too.
        typical: with how many others the median row shares its value.
    """

    def __init__(self, factor: Integers) -> None:
        _, value, counts = np.unique(factor, return_inverse=True, return_counts=True)
        self._order = np.argsort(value, kind="stable")
        self._place = np.empty(len(factor), dtype=np.int64)  # of each row in the order
        self._place[self._order] = np.arange(len(factor))
        self._start = (np.cumsum(counts) - counts)[value]
        self._count = counts[value]
        self.constant = len(counts) == 1
        self.shared = np.flatnonzero(self._count > 1)
        self.typical = float(np.median(self._count)) - 1

    def mates(self, rows: Integers, uniform: NDArray[np.float64], themselves: bool) -> Integers:
        """For each of ``uniform`` in [0, 1) a row of the same value as the ``rows``, which broadcast to it."""
        count, start = self._count[rows], self._start[rows]
        if themselves:
            step = (uniform * count).astype(np.int64)
            return np.asarray(self._order[start + step])
        step = 1 + (uniform * (count - 1)).astype(np.int64)
        return np.asarray(self._order[start + (self._place[rows] - start + step) % count])


def population(dataset: Grid | Encoded | Rows, encode: Encode | None, batch: int) -> Population:
    """``dataset`` as something to draw from.

    Raises:
        ValueError: where a grid comes without ``encode``, or codes with one.
    """
    if isinstance(dataset, (Encoded, Rows)):
        if encode is not None:
            raise ValueError(f"{type(dataset).__name__} has its codes already: leave encode out")
        return dataset
    if encode is None:
        raise ValueError("a data set of pictures needs encode, a function from pictures to codes; arrays go into Rows")
    if not hasattr(dataset, "index"):
        raise ValueError("groups are drawn from a grid, with a picture for every combination of factors: use Rows")
    return Encoded(dataset, encode, batch)


def generator(seed: int) -> np.random.RandomState:
    """NumPy's legacy generator: the published one, whose stream never changes.

    Raises:
        ValueError: for a seed outside 0 … 2³² − 1.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must lie between 0 and {2**32 - 1}, got {seed}")
    return np.random.RandomState(seed)


def check_numbers(least: int, **numbers: int) -> None:
    """Raise ValueError unless all ``numbers`` are at least ``least``."""
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")


@dataclass(frozen=True, eq=False, kw_only=True)
class DrawnSource(Source):
    """A source whose groups were drawn, and are drawn again only where that costs no encoding.

    From a grid, halves are halves of the groups: they tell what other draws would have given. From rows, they are
    groups drawn anew from half of the rows, so that they tell what other rows would have given, which matters more.

    Attributes:
        learn: makes the result of groups; called with their arrays.
        groups: points ``(n, …)``, what each training group says, labels ``(n, 1)``, the factor that its members share;
            then the test groups'.
        rows: what was drawn from, where it was plain arrays …
        again: … and the whole score of others.
    """

    learn: Callable[..., Result]
    groups: tuple[Floats, Integers, Floats, Integers]
    rows: Rows | None = None
    again: Callable[[Rows], Result] | None = None

    def halves(self) -> list[Result]:
        """Results on random halves of the rows where there are rows, else of the groups."""
        rows, again = self.rows, self.again
        if rows is not None and again is not None and len(rows.codes) >= 4:
            redrawn = lambda codes, factors: again(Rows(codes, factors))  # noqa: E731
            return halves(redrawn, rows.codes, rows.values, repeats=REDRAWN, seed=self.seed)
        return halves(self.learn, *self.groups, repeats=self.repeats, seed=self.seed)
