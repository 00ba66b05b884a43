"""What a reader of a score must know about the arrays it was computed from, in words."""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.cluster import expected_mutual_information

from disentangle.errors import DisentangleWarning
from disentangle.metrics.common import Floats, Integers, rescaled

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
    return uncounted(np.flatnonzero(~varies(factors)))


def uncounted(constant: Sequence[int] | Integers) -> list[str]:
    """The words for factors, by their numbers, of one value."""
    if not len(constant):
        return []
    words = ("is", "it does") if len(constant) == 1 else ("are", "they do")
    return [f"{listed(constant)} {words[0]} constant: {words[1]} not count"]


def dead_codes(codes: Floats) -> list[str]:
    """Of codes ``(N, d)`` that are constant, or next to it beside the others."""
    constant = ~varies(codes)
    spread = rescaled(codes).std(axis=0)
    deviation = np.where(constant, 0, spread)  # that of a large constant is a rounding
    faint = ~constant & (deviation < FAINT * deviation.max())
    words = []
    if constant.any():
        words.append(f"{numbered(constant)} constant: nothing can be known from such a code")
    if faint.any():
        words.append(f"{numbered(faint)} nearly constant, below {FAINT:.0%} of the deviation of the most varying code")
    return words


def few_bins(factors: Integers, bins: int) -> list[str]:
    """Of factors ``(N, k)`` with more values than a code has bins."""
    many = {j: size for j, size in enumerate(_sizes(factors)) if size > bins}
    if not many:
        return []
    who = f"{listed(many)} {'takes' if len(many) == 1 else 'take'}"
    return [f"{who} {upto(many.values())} values and codes have {bins} bins: even perfect codes score below 1"]


def few_samples(factors: Integers, bins: int) -> list[str]:
    """Of factors ``(N, k)`` about which codes of pure noise, cut into ``bins`` bins, would seem to know much.

    The mutual information that chance alone shows is that of two random labellings with these counts, exactly (Vinh,
    Epps, Bailey, "Information Theoretic Measures for Clusterings Comparison", JMLR 11, 2010).
    """
    n = len(factors)
    if n < bins:
        return [f"{n} samples in {bins} bins: mutual information is mostly chance"]
    few, sizes, nats, shares = [], [], [], []
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
            few.append(j)
            sizes.append(len(counts))
            nats.append(chance)
            shares.append(chance / entropy)
    if not few:
        return []
    of, its = ("it", "its") if len(few) == 1 else ("each", "the")
    return [
        f"{n} samples are few for {listed(few)}, of {upto(sizes)} values: noise, evenly spread over {bins} bins, shows "
        f"{upto(nats, '.2f')} nats of {of} by chance, {upto(shares, '.0%')} of {its} entropy"
    ]


def few_to_learn(factors: Integers) -> list[str]:
    """Of factors ``(N, k)`` with too few samples of a value for a predictor to tell it from chance."""
    few = {j: size for j, size in enumerate(_sizes(factors)) if size > 1 and len(factors) < A_VALUE * size}
    if not few:
        return []
    return [
        f"{len(factors)} samples are few to learn {listed(few)} from, of {upto(few.values())} values: fewer than "
        f"{A_VALUE} of each"
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


def listed(numbers: Iterable[int] | Integers) -> str:
    """Factors by their numbers: ``"factor 3"``, ``"factors 0, 2 and 3"``."""
    *rest, last = map(str, numbers)
    return f"factors {', '.join(rest)} and {last}" if rest else f"factor {last}"


def upto(values: Iterable[float], form: str = "") -> str:
    """A number, or the least and the greatest of several: ``"40"``, ``"32 to 40"``."""
    ends = dict.fromkeys(f"{value:{form}}" for value in sorted(values))
    first, *_, last = *ends, *ends
    return first if first == last else f"{first} to {last}"


def _sizes(factors: Integers) -> list[int]:
    return [len(np.unique(factor)) for factor in factors.T]


def numbered(which: NDArray[np.bool_]) -> str:
    """Codes by their numbers, with the verb: ``"code 3 is"``, ``"codes 0, 2 are"``."""
    numbers = np.flatnonzero(which)
    return f"code {numbers[0]} is" if len(numbers) == 1 else f"codes {', '.join(map(str, numbers))} are"
