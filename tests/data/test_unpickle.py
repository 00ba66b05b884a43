"""Plain values come out as Python's own reader would give them; everything else is refused and not run."""

import os
import pickle
import subprocess
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from disentangle.data import unpickle

PLAIN = {
    "none": None,
    "flags": [True, False],
    "numbers": [0, 1, 255, 256, 65_536, -1, -(2**31), 2**40, 2**70, 0.5, -1e300],
    "text": ["", "a", "ä" * 300, "long " * 20_000],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "nested": {"a": {"b": [[], {}, {1: "x"}]}},
    b"bytes": b"\0\xff" * 200,
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_as_they_are(protocol: int) -> None:
    assert unpickle.read(pickle.dumps(PLAIN, protocol)) == PLAIN
    shared = [1, 2]
    assert unpickle.read(pickle.dumps([shared, shared], protocol)) == [shared, shared]


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4)])
def test_arrays_of_bytes_come_as_they_are(protocol: int, order: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8), order=order)
    found = unpickle.read(pickle.dumps({"data": array}, protocol))["data"]
    assert isinstance(found, unpickle.Bytes)
    assert found.array.dtype == np.uint8
    assert np.array_equal(found.array, array)


class Call:
    """Pickles as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.called = function, arguments

    def __reduce__(self) -> object:
        return self.called


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, subprocess.getoutput, eval, exec, np.load], ids=lambda f: f.__name__)
def test_nothing_is_run(tmp_path: Path, protocol: int, function: object) -> None:
    content = pickle.dumps({"data": Call(function, f"touch {tmp_path / 'ran'}")}, protocol)
    with pytest.raises(ValueError, match="which is no plain value"):
        unpickle.read(content)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "value",
    [
        OrderedDict(a=1),
        {1, 2},
        1j,
        Path("a"),
        np.float32(1),
        np.zeros(3, np.int64),
        np.array([None]),
        np.zeros(3, [("a", np.uint8)]),
        np.ma.zeros(3, np.uint8),
        range(3),
        len,
        bytearray(b"a"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_what_is_no_plain_value_is_refused(value: object, protocol: int) -> None:
    with pytest.raises(ValueError, match=r"it (asks for|holds|calls)"):
        unpickle.read(pickle.dumps([value], protocol))


def test_a_name_alone_is_no_way_around() -> None:
    # an array of a given class, state for what is no array, and a persistent object
    for content in (
        b"cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\n(K\x00tU\x01btR.",
        b"cnumpy\nndarray\n(K\x01tR.",
        b"}(K\x01K\x02tb.",
        b"Pname\n.",
        b"\x80\x02c__builtin__\neval\n.",
    ):
        with pytest.raises(ValueError, match=r"it (asks for|holds|calls)"):
            unpickle.read(content)


def test_wherever_it_is_cut_a_pickle_is_refused() -> None:
    content = pickle.dumps(
        {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 300], "x": ("a", b"b")}, 2
    )
    for end in range(len(content)):
        with pytest.raises(ValueError, match=r"\w"):
            unpickle.read(content[:end])


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_wherever_a_byte_is_wrong_the_result_is_a_value_or_a_value_error() -> None:
    content = pickle.dumps(
        {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 300], "x": ("a", b"b")}, 2
    )
    random = np.random.default_rng(0)
    for _ in range(3_000):
        damaged = bytearray(content)
        damaged[random.integers(len(content))] = random.integers(256)
        with suppress(ValueError):
            unpickle.read(bytes(damaged))
