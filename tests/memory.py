"""How much memory this process uses, to the byte: so that a small leak shows within a few steps."""

import ctypes
import gc
import os
from collections.abc import Callable, Iterable
from functools import cache

FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
SMALL = 200
"""Bytes a step that are no leak: what one small tensor takes is twice that."""


class Info(ctypes.Structure):
    """``struct mallinfo2`` of the GNU C library."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in FIELDS)


@cache
def _mallinfo() -> Callable[[], Info] | None:
    function = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is not None:
        function.restype = Info
    return function


def countable() -> bool:
    """Whether the C library tells: the GNU one does, from 2.33 on."""
    return _mallinfo() is not None


def allocated() -> int:
    """Bytes in use, of all that was asked of the C library, as tensors are; small Python objects are not."""
    gc.collect()
    info = _mallinfo()()
    return int(info.uordblks + info.hblkhd)


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def watched(step: Callable[..., object], at: Iterable[int], found: dict[int, tuple[int, int]]) -> Callable[..., object]:
    """``step``, but before its calls of these numbers, from 1, ``found`` gets what is allocated and resident."""
    calls, moments = 0, set(at)

    def call(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls in moments:
            found[calls] = allocated(), resident()
        return step(*arguments, **options)

    return call
