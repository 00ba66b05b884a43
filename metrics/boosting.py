"""Gradient boosting for the importance of codes: the published learner of DCI, on binned codes and in fewer rounds.

Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", Annals of Statistics 29, 2001, as scikit-learn's
``GradientBoostingClassifier`` computes it: one tree of depth 3 for each class and round, its splits those of the least
squared error of the gradient, its leaves one Newton step. Libraries that are fast because they weigh a split by second
derivatives grow other trees, and give other importances.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Singles = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Binned = NDArray[np.unsignedinteger[Any]]
Masks = NDArray[np.bool_]

DEPTH = 3
BINS = 64
RATES: tuple[float, ...] = tuple(0.1 * 1.04216**step for step in range(40))
"""Learning rates of the rounds. They sum to 10, as the published 100 of 0.1 do, and start like them: Newton steps in
leaves of one class are long at first, and overshoot at higher rates."""

DISCRETE = 255
"""Most bins of a code whose values recur."""

BLOCK = 4096
"""Samples that are worked on together, so that what is done to them stays in the processor's cache."""

EXACT = 2**19
"""Every value has a bin of its own in one block of samples, if times codes times classes these are no more than this.
Trees that tell many classes apart by few samples do much by setting single ones apart, which bins do not let them: with
1,000 samples, D of noisy codes came out 0.05 too low in 64 bins."""

DAMPING = 0.9
"""Power of the rate that a round's importance counts by. By the rate itself, long steps credit noise too much: several
short ones in their place would find ever less of it."""

ROW = 32
"""More bins than :data:`BINS` are summed in rows of so many."""

TIED = 1e-5
"""Splits whose gains differ by less than this share count as equally good: single precision cannot tell them apart."""

ENOUGH = 1e-5
"""A round that gains less than this share of all gains so far is the last: nothing is left to learn."""


@dataclass(frozen=True, eq=False)
class Splits:
    """The best split of one node in each of ``K`` trees: codes in bins up to ``threshold`` of ``feature`` go left.

    Attributes:
        feature: ``(K,)``.
        threshold: ``(K,)``; the last bin where a node is not split, so that all of it goes left.
        credit: ``(d, K)``, by how much the split lowers the sum of squared errors, shared by codes that lower it alike.
    """

    feature: NDArray[np.intp]
    threshold: NDArray[np.intp]
    credit: Singles


@dataclass(frozen=True, eq=False)
class Round:
    """A tree for each of ``K`` classes: the splits of its nodes, level by level, and its leaves' values ``(K, 8)``."""

    levels: list[list[Splits]]
    values: Singles

    def add(self, raw: Singles, binned: Binned) -> None:
        """Add what the trees say of codes in bins ``(d, N)`` to predictions ``(K, N)``, in place."""
        nodes = np.zeros(raw.shape, dtype=np.uint8)
        for splits in self.levels:
            nodes = descend(nodes, splits, binned)
        look_up(raw, self.values, nodes)


class BoostedTrees:
    """Boosted trees that say how much each code mattered, in about a hundredth of the published learner's time.

    What differs from scikit-learn's: codes are cut into at most ``bins`` bins (exact where a code takes no more
    values); rounds are fewer and their rates grow, and the importance of a round counts by its rate, as that many
    rounds of the published rate would; where codes split equally well, all are credited and one is taken, not one at
    random; sums are in single precision. :file:`docs/results/dci.md` has how far the scores are apart.

    Args:
        seed: of the order of the codes, which decides between splits that are equally good.
        bins: most bins of a code, from 2 to 65,536. If ``None``, one a value or 64, by :data:`EXACT`.
        rates: the learning rate of each round.

    Raises:
        ValueError: for bins that are out of range.
    """

    feature_importances_: Matrix
    """``(d,)``, the share of each code in the squared error that the splits removed; all 0 where nothing was."""

    classes_: NDArray[Any]
    """The values that were learnt, in ascending order."""

    rounds_: list[Round]
    """The trees; fewer than the rates where nothing was left to learn."""

    def __init__(self, seed: int = 0, bins: int | None = None, rates: Sequence[float] = RATES) -> None:
        if bins is not None and not 2 <= bins <= 2**16:
            raise ValueError(f"bins must be from 2 to {2**16}, got {bins}")
        self.seed, self.bins, self.rates = seed, bins, tuple(rates)

    def fit(self, codes: NDArray[Any], labels: NDArray[Any]) -> Self:
        """Learn to predict ``labels (N,)`` from ``codes (N, d)``."""
        self.classes_, indices, counts = np.unique(labels, return_inverse=True, return_counts=True)
        self._order = np.random.default_rng(self.seed).permutation(codes.shape[1])
        exact = len(codes) <= BLOCK and codes.size * len(counts) <= EXACT
        most = self.bins or (len(codes) if exact else BINS)
        self._edges = [cut(code, most) for code in codes.T[self._order]]
        bins = 1 + max(1, *(len(edges) for edges in self._edges))
        self._bins = bins if bins <= BINS else -(-bins // ROW) * ROW  # whole rows of bins
        self._start = starting_point(counts)
        self.rounds_ = []
        self.feature_importances_ = np.zeros(codes.shape[1])
        if len(counts) == 1:
            return self
        # Two classes share one tree, which raises the odds of the second; more have one each.
        targets = np.arange(len(counts) - len(self._start), len(counts))[:, None] == indices
        binned = self._binned(codes)
        blocks = [Block(binned[:, rows], targets[:, rows], self._start, self._bins) for rows in slices(len(labels))]
        gains = np.zeros(len(binned))
        for rate in self.rates:
            grown, gain = grow(blocks, rate)
            self.rounds_.append(grown)
            gains += rate**DAMPING * gain
            if rate * gain.sum() <= ENOUGH * gains.sum():
                break
        if gains.sum() > 0:
            self.feature_importances_[self._order] = gains / gains.sum()
        return self

    def predict(self, codes: NDArray[Any]) -> NDArray[Any]:
        """The most likely of ``classes_`` for each of ``codes (M, d)``."""
        binned, best = self._binned(codes), np.empty(len(codes), dtype=np.intp)
        for rows in slices(len(codes)):
            raw = np.tile(self._start[:, None], len(best[rows]))
            for grown in self.rounds_:
                grown.add(raw, binned[:, rows])
            best[rows] = raw[0] > 0 if len(raw) == 1 else raw.argmax(axis=0)
        return np.asarray(self.classes_[best])

    def _binned(self, codes: NDArray[Any]) -> Binned:
        """The bin of every value, ``(d, N)``, codes in the shuffled order."""
        pairs = zip(self._edges, codes.T[self._order])
        binned = np.stack([np.searchsorted(edges, code.astype(np.float64)) for edges, code in pairs])
        return binned.astype(np.min_scalar_type(self._bins - 1))


class Block:
    """Some of the samples, few enough for the processor's cache, and what a round knows of them.

    Args:
        binned: ``(d, n)``, the bin of every code.
        targets: ``(K, n)``, whether a sample is of the class.
        start: ``(K,)``, the first prediction.
        bins: how many bins there are.
    """

    def __init__(self, binned: Binned, targets: Masks, start: Singles, bins: int) -> None:
        d, n = binned.shape
        self.binned, self.targets, self.shape = binned, targets.astype(np.float32), (d, bins, -1)
        self.raw = np.tile(start[:, None], n)
        rows = binned.T + bins * np.arange(d, dtype=np.int32)
        starts = np.arange(0, d * n + 1, d, dtype=np.int32)
        one_hot = scipy.sparse.csc_array((np.ones(d * n, np.float32), rows.ravel(), starts), shape=(d * bins, n))
        # By columns, histograms stay in the cache; where they are longer than the samples are many, by rows samples do.
        self._one_hot = one_hot if bins < n else one_hot.tocsr()
        self._counts = self._running_sums(np.ones((n, 1), dtype=np.float32))

    def begin(self) -> tuple[Singles, Singles]:
        """Begin a round: all samples are in the root, whose running sums are returned."""
        self.probabilities = likelihood(self.raw)
        self.gradients = self.targets - self.probabilities
        self.nodes = np.zeros(self.raw.shape, dtype=np.uint8)
        self._columns = np.ascontiguousarray(self.gradients.T)
        return self._running_sums(self._columns), self._counts

    def left_sums(self, parents: int) -> list[tuple[Singles, Singles]]:
        """Of every parent's left node, gradients and samples summed up to each bin, ``(d, bins, K)``."""
        nodes = np.ascontiguousarray(self.nodes.T)
        inside = [(nodes == 2 * parent).astype(np.float32) for parent in range(parents)]
        return [(self._running_sums(self._columns * mask), self._running_sums(mask)) for mask in inside]

    def _running_sums(self, columns: Singles) -> Singles:
        sums: Singles = self._one_hot @ columns
        return running_sums(sums.reshape(self.shape))

    def leaf_sums(self) -> tuple[Matrix, Matrix]:
        """Sums of first and second derivatives in each leaf, ``(K, 8)``."""
        curved = self.probabilities * (1 - self.probabilities)
        first = [np.bincount(leaf, row, 2**DEPTH) for leaf, row in zip(self.nodes, self.gradients)]
        second = [np.bincount(leaf, row, 2**DEPTH) for leaf, row in zip(self.nodes, curved)]
        return np.array(first), np.array(second)


def grow(blocks: list[Block], rate: float) -> tuple[Round, Matrix]:
    """One round: a tree for every class, all grown together.

    Args:
        blocks: the samples; the round is added to their predictions.
        rate: of learning.

    Returns:
        The round, and by how much splits on each code lowered the squared error of the gradients, ``(d,)``.
    """
    levels: list[list[Splits]] = []
    sums = [add_up(block.begin() for block in blocks)]
    for level in range(DEPTH):
        if level:
            left = map(add_up, zip(*(block.left_sums(len(sums)) for block in blocks)))
            # What is not on the left is on the right.
            sums = [side for (g, n), (part, m) in zip(sums, left) for side in ((part, m), (g - part, n - m))]
        levels.append([best_splits(*pair) for pair in sums])
        for block in blocks:
            block.nodes = descend(block.nodes, levels[-1], block.binned)
    grown = Round(levels, np.float32(rate) * newton(*add_up(block.leaf_sums() for block in blocks)))
    for block in blocks:
        look_up(block.raw, grown.values, block.nodes)
    gain = np.sum([split.credit.sum(axis=1, dtype=np.float64) for level in levels for split in level], axis=0)
    return grown, gain


def best_splits(sums: Singles, counts: Singles) -> Splits:
    """The split of one node in each of ``K`` trees that lowers the squared error most.

    Args:
        sums: ``(d, bins, K)``, of the gradients of the samples up to each bin.
        counts: ``(d, bins, K)`` or ``(d, bins, 1)``, how many these are.
    """
    total, number = sums[:1, -1:], counts[:1, -1:]
    gains = sums - counts * (total / np.maximum(number, 1))
    gains *= gains
    sizes = number - counts
    sizes *= counts
    gains *= np.minimum(sizes, 1)  # 0 where a side is empty, as above the last bin
    gains /= np.maximum(sizes, 1)
    thresholds = gains.argmax(axis=1)
    by_feature = np.take_along_axis(gains, thresholds[:, None], axis=1)[:, 0] * number[0]
    best = by_feature.max(axis=0)
    tied = (by_feature >= best * (1 - np.float32(TIED))) & (best > 0)
    feature = tied.argmax(axis=0)
    threshold = np.take_along_axis(thresholds, feature[None], axis=0)[0]
    credit = by_feature * tied / np.maximum(tied.sum(axis=0, dtype=np.float32), 1)
    return Splits(feature, np.where(best > 0, threshold, sums.shape[1] - 1), credit)


def running_sums(values: Singles) -> Singles:
    """Cumulative sums along the second axis of ``(d, bins, K)``."""
    # Products with a triangle are faster than cumsum along an axis that is not the last; if it is long, in rows.
    d, bins, k = values.shape
    if bins <= BINS:
        return np.asarray(np.tri(bins, dtype=np.float32) @ values)
    rows = np.tri(ROW, dtype=np.float32) @ values.reshape(d, bins // ROW, ROW, k)
    rows[:, 1:] += np.cumsum(rows[:, :-1, -1], axis=1)[:, :, None]
    return np.asarray(rows.reshape(values.shape))


def descend(nodes: Bytes, splits: list[Splits], binned: Binned) -> Bytes:
    """The nodes ``(K, N)`` of the next level that samples go to, from the ones they are in; binned ``(d, N)``."""
    right = np.zeros(nodes.shape, dtype=bool)
    for node, split in enumerate(splits):
        right |= (binned[split.feature] > split.threshold.astype(binned.dtype)[:, None]) & (nodes == node)
    return 2 * nodes + right.view(np.uint8)


def look_up(raw: Singles, values: Singles, leaves: Bytes) -> None:
    """Add the values ``(K, 8)`` of each sample's leaves ``(K, N)`` to predictions ``(K, N)``, in place."""
    for row, value, leaf in zip(raw, values, leaves):
        row += value[leaf]


def newton(slope: Matrix, curvature: Matrix) -> Singles:
    """The values of leaves ``(K, 8)``, a Newton step, from the sums of their samples' first and second derivatives."""
    classes = len(slope)
    value = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature > 1e-30)
    # The factor is Friedman's. Where all that a leaf has left is improbable its step is enormous; 1000 decides as much.
    return np.clip(value * (1 if classes == 1 else (classes - 1) / classes), -1000, 1000).astype(np.float32)


def starting_point(counts: NDArray[np.intp]) -> Singles:
    """The prediction ``(K,)`` before the first round: logarithms of the classes' shares, of two those of the odds."""
    logs = np.log(counts / counts.sum())
    return np.asarray(logs[1:] - logs[:1] if len(logs) == 2 else logs, dtype=np.float32)


def slices(samples: int) -> list[slice]:
    """Blocks of rows."""
    return [slice(start, start + BLOCK) for start in range(0, samples, BLOCK)]


def add_up(pairs: Iterable[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The sums of the first and of the second arrays."""
    first, second = zip(*pairs)
    return sum(first[1:], start=first[0]), sum(second[1:], start=second[0])


def likelihood(raw: Singles) -> Singles:
    """The probability of each class from its prediction ``(K, N)``, of the second of two from a single row."""
    if len(raw) == 1:
        return np.asarray(np.exp(-np.logaddexp(0, -raw)))
    powers: Singles = raw - raw.max(axis=0)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=0)
    return powers


def cut(code: NDArray[Any], bins: int) -> Matrix:
    """Ascending thresholds that cut a code ``(N,)`` into at most ``bins`` bins.

    A code of no more values than that is cut between any two of them. Otherwise its sorted values are cut once in
    every stretch of equally many, where they are farthest apart: quantiles that do not cut through clusters. A code
    whose values recur, one in ten or more of them, is rather discrete, and gets up to :data:`DISCRETE` bins.
    """
    halves = np.sort(code.astype(np.float64)) / 2  # sums and differences of whole values may overflow
    steps = np.flatnonzero(halves[1:] > halves[:-1])
    if 10 * len(steps) < 9 * len(halves):
        bins = max(bins, DISCRETE)
    if len(steps) >= bins:
        gaps = np.diff(halves)
        starts = np.arange(bins) * len(gaps) // (bins - 1)
        steps = np.array([a + int(gaps[a:b].argmax()) for a, b in pairwise(starts)])
        steps = steps[gaps[steps] > 0]
    low, high = halves[steps], halves[steps + 1]
    middle = low + high
    return np.asarray(np.where(middle < 2 * high, middle, 2 * low))
