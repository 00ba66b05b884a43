"""What a reader of a score must know about the arrays it was computed from, in words."""

import warnings
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.cluster import expected_mutual_information

from disentangle.errors import DisentangleWarning
from disentangle.metrics.common import Floats, Integers

FAINT = 0.01
"""A code that varies by less than this share of the most varying one (standard deviations) is called dead."""

A_VALUE = 10
"""Samples of each of a factor's values that a predictor should have to learn from."""

CHANCE = 0.05
"""Share of a factor's entropy that noise may show by chance before samples are called few."""


def warn(messages: Iterable[str], stacklevel: int = 3) -> tuple[str, ...]:
    """Emit each message as a :class:`DisentangleWarning`, and return them all.

    Args:
        messages: one line each.
        stacklevel: whose line the warning names; 3 is the caller of the function that calls this one.
    """
    words = tuple(messages)
    for message in words:
        warnings.warn(message, DisentangleWarning, stacklevel=stacklevel)
    return words


def constant_factors(factors: Integers) -> list[str]:
    """Of factors ``(N, k)`` that do not vary, which no score can count."""
    return [f"factor {j} is constant: it does not count" for j in np.flatnonzero(~varies(factors))]


def dead_codes(codes: Floats) -> list[str]:
    """Of codes ``(N, d)`` that are constant, or next to it beside the others."""
    constant = ~varies(codes)
    with np.errstate(over="ignore", invalid="ignore"):  # of codes near the largest number: infinite, and so not faint
        spread = codes.astype(np.float64).std(axis=0)
    deviation = np.where(constant, 0, spread)  # that of a large constant is a rounding
    faint = ~constant & (deviation < FAINT * deviation.max())
    words = []
    if constant.any():
        words.append(f"{_codes(constant)} constant: nothing can be known from such a code")
    if faint.any():
        words.append(f"{_codes(faint)} nearly constant, below {FAINT:.0%} of the deviation of the most varying code")
    return words


def few_bins(factors: Integers, bins: int) -> list[str]:
    """Of factors ``(N, k)`` with more values than a code has bins."""
    sizes = _sizes(factors)
    return [
        f"factor {j} takes {size} values and codes have {bins} bins: even perfect codes score below 1"
        for j, size in enumerate(sizes)
        if size > bins
    ]


def few_samples(factors: Integers, bins: int) -> list[str]:
    """Of factors ``(N, k)`` about which codes of pure noise, cut into ``bins`` bins, would seem to know much.

    The mutual information that chance alone shows is that of two random labellings with these counts, exactly (Vinh,
    Epps, Bailey, "Information Theoretic Measures for Clusterings Comparison", JMLR 11, 2010).
    """
    n = len(factors)
    if n < bins:
        return [f"{n} samples in {bins} bins: mutual information is mostly chance"]
    words = []
    for j, factor in enumerate(factors.T):
        counts = np.unique(factor, return_counts=True)[1]
        entropy = float(-np.sum(counts / n * np.log(counts / n)))
        # The first term of the bias, larger than the whole: where it is small nothing needs to be summed.
        if (bins - 1) * (len(counts) - 1) / (2 * n) <= CHANCE * entropy:
            continue
        even = np.full(bins, n // bins)
        even[: n % bins] += 1
        chance = expected_nats(even, counts)
        if chance > CHANCE * entropy:
            words.append(
                f"{n} samples are few for factor {j}, of {len(counts)} values: noise, evenly spread over "
                f"{bins} bins, shows {chance:.2f} nats of it by chance, {chance / entropy:.0%} of its entropy"
            )
    return words


def few_to_learn(factors: Integers) -> list[str]:
    """Of factors ``(N, k)`` with too few samples of a value for a predictor to tell it from chance."""
    return [
        f"{len(factors)} samples are few to learn factor {j} from, of {size} values: fewer than {A_VALUE} of each"
        for j, size in enumerate(_sizes(factors))
        if size > 1 and len(factors) < A_VALUE * size
    ]


def expected_nats(rows: Integers, columns: Integers) -> float:
    """Mutual information in nats that two independent labellings with these counts show on average."""
    # Any table with these margins will do: it is only summed.
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    np.add.at(table, (np.repeat(np.arange(len(rows)), rows), np.repeat(np.arange(len(columns)), columns)), 1)
    return float(expected_mutual_information(table, int(rows.sum())))


def varies(columns: Floats | Integers) -> NDArray[np.bool_]:
    """Which columns of ``(N, m)`` take more than one value."""
    return np.asarray((columns != columns[0]).any(axis=0))


def _sizes(factors: Integers) -> list[int]:
    return [len(np.unique(factor)) for factor in factors.T]


def _codes(which: NDArray[np.bool_]) -> str:
    numbers = np.flatnonzero(which)
    return f"code {numbers[0]} is" if len(numbers) == 1 else f"codes {', '.join(map(str, numbers))} are"
