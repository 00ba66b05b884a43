"""What a pickle of plain values and arrays of bytes says, read without running it.

CIFAR is published as pickles, and a pickle is a program: Python's own reader calls whatever the file names. This one
only takes the file apart (:func:`pickletools.genops`) and keeps what is data.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = ("PROTO", "FRAME")
_VALUE_NAMES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8"
)
_VALUES = frozenset(_VALUE_NAMES.split())
_MARK = object()


@dataclass
class Bytes:
    """An array of bytes that a pickle describes.

    Attributes:
        array: uint8, any shape; ``None`` until the pickle has said what is in it.
    """

    array: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class _Type:
    """A numpy type."""

    name: object


@dataclass(frozen=True)
class _Name:
    """A name that a pickle imports: only what arrays of bytes, and bytes themselves, are written with."""

    name: str


_NAMES = {
    "numpy.core.multiarray _reconstruct": _Name("array"),
    "numpy._core.multiarray _reconstruct": _Name("array"),
    "numpy ndarray": _Name("ndarray"),
    "numpy dtype": _Name("type"),
    "_codecs encode": _Name("bytes"),
}


def read(content: bytes) -> object:
    """The value that a pickle of any protocol describes.

    Args:
        content: the pickle. It may hold ``None``, booleans, numbers, text, bytes, lists, tuples and dictionaries of
            these, and numpy arrays of bytes, which come as :class:`Bytes`. The text of Python 2 comes as ``str``, one
            character a byte.

    Raises:
        ValueError: where it holds anything else, or is cut short or otherwise damaged; nothing of it was run.
    """
    reader = _Reader()
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                return reader.stack.pop()
            reader.step(operation.name, argument)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is no valid pickle ({type(error).__name__}: {error})") from None
    raise ValueError("it does not end")


class _Reader:
    """A stack, and what the pickle remembers to use again."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.memo: dict[object, object] = {}
        self.actions: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_MARK),
            "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_DICT": lambda: self.stack.append({}),
            "EMPTY_TUPLE": lambda: self.stack.append(()),
            "LIST": lambda: self.stack.append(self.above_mark()),
            "TUPLE": lambda: self.stack.append(tuple(self.above_mark())),
            "DICT": lambda: self.stack.append(_pairs(self.above_mark())),
            "APPEND": lambda: self.extend(self.take(1)),
            "APPENDS": lambda: self.extend(self.above_mark()),
            "SETITEM": lambda: self.update(self.take(2)),
            "SETITEMS": lambda: self.update(self.above_mark()),
            "MEMOIZE": lambda: self.memo.update({len(self.memo): self.stack[-1]}),
            "STACK_GLOBAL": lambda: self.stack.append(_lookup(" ".join(map(str, self.take(2))))),
            "REDUCE": self.reduce,
            "BUILD": self.build,
        }

    def step(self, name: str, argument: object) -> None:
        """Do what one opcode says."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in self.actions:
            self.actions[name]()
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(tuple(self.take(_TUPLES[name])))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.stack.append(_lookup(str(argument)))
        elif name not in _IGNORED:
            raise ValueError(f"it holds what is no plain value ({name})")

    def take(self, count: int) -> list[object]:
        """The topmost values, taken off."""
        if len(self.stack) < count:
            raise IndexError("empty stack")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def above_mark(self) -> list[object]:
        """The values above the last mark, taken off with it."""
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def extend(self, values: list[object]) -> None:
        """Append to the list on top."""
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("what is appended to is no list")
        target.extend(values)

    def update(self, values: list[object]) -> None:
        """Set entries of the dictionary on top."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise TypeError("what entries are set of is no dictionary")
        target.update(_pairs(values))

    def reduce(self) -> None:
        """A "call": of the few that are known, what it would make."""
        called, given = self.take(2)
        if not isinstance(given, tuple):
            raise TypeError("arguments that are no tuple")
        if called == _Name("array"):
            self.stack.append(Bytes())
        elif called == _Name("type"):
            self.stack.append(_Type(given[0]))
        elif called == _Name("bytes") and given[1:] in (("latin1",), ("latin-1",)):
            self.stack.append(str(given[0]).encode("latin-1"))
        else:
            raise ValueError("it calls what is no plain value")

    def build(self) -> None:
        """Fill in the object on top: an array with its shape, type, order and content."""
        (state,) = self.take(1)
        target = self.stack[-1]
        if isinstance(target, _Type):
            return  # the rest of a type, such as its byte order, means nothing for bytes
        if not isinstance(target, Bytes):
            raise ValueError("it holds an object that is no array")
        if not isinstance(state, tuple):
            raise TypeError("the state of an array that is no tuple")
        _, shape, kind, by_column, content = state
        if kind not in (_Type("u1"), _Type("|u1"), _Type("uint8")):
            raise ValueError("it holds an array that is not of bytes")
        if isinstance(content, str):
            content = content.encode("latin-1")
        target.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_column else "C")


def _lookup(name: str) -> _Name:
    if name not in _NAMES:
        raise ValueError(f"it asks for {name.replace(' ', '.')}, which is no plain value")
    return _NAMES[name]


def _pairs(values: list[object]) -> dict[object, object]:
    return dict(zip(values[::2], values[1::2], strict=True))
