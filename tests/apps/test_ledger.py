"""What is done is kept, found again under the same inputs only, and never trusted where it is damaged."""

import io
import json
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest

from disentangle.apps.evaluation.arrays import load
from disentangle.apps.evaluation.ledger import Ledger
from disentangle.apps.evaluation.score import Score
from disentangle.errors import UserError

SCORE = Score(
    "MIG",
    "variant",
    0.1 + 0.2,
    "higher",
    (0.0, None),
    "It measures.",
    {"noise": 0.25},
    interval=(0.1, 0.4),
    resamples=(0.3, 1 / 3),
    parts={"matrix": [[1.0, 2.0]]},
    notes=("a note",),
)
INPUTS = {"weights": "abc", "seed": 3, "data": {"name": "digits"}}


def test_a_score_comes_back_to_the_bit_under_the_same_inputs_and_no_others(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.read("mig", INPUTS) is None
    ledger.write("mig", INPUTS, [SCORE, SCORE], 1.5)
    entry = ledger.read("mig", dict(reversed(INPUTS.items())))
    assert entry is not None
    assert (entry.scores, entry.seconds) == ([SCORE, SCORE], 1.5)
    assert ledger.read("mig", INPUTS | {"seed": 4}) is None
    assert ledger.read("mig", INPUTS | {"data": {"name": "mnist"}}) is None
    assert ledger.read("dci", INPUTS) is None
    assert Ledger(tmp_path, fresh=True).read("mig", INPUTS) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": 1}', "cut", "words", "NaN"])
def test_a_damaged_file_is_computed_again_and_said_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("mig", INPUTS, [SCORE], 1.0)
    (file,) = tmp_path.glob("mig-*.json")
    text = file.read_text()
    words = json.dumps(json.loads(text) | {"scores": ["words"]})
    number = text.replace(f'"value": {SCORE.value}', '"value": NaN')
    file.write_text({"cut": text[:-40], "words": words, "NaN": number}.get(damage, damage))
    with caplog.at_level(logging.WARNING):
        assert ledger.read("mig", INPUTS) is None
    assert damage == '{"key": 1}' or "damaged" in caplog.text


def test_a_score_that_misses_a_field_is_computed_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("mig", INPUTS, [SCORE], 1.0)
    (file,) = tmp_path.glob("mig-*.json")
    kept = json.loads(file.read_text())
    del kept["scores"][0]["value"]
    file.write_text(json.dumps(kept))
    assert ledger.read("mig", INPUTS) is None


def test_a_number_that_is_none_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Ledger(tmp_path).write("mig", INPUTS, [Score("MIG", "v", float("nan"), "higher", (0, 1), "It.")], 1.0)
    assert not list(tmp_path.iterdir())


def test_arrays_come_back_under_the_same_inputs(tmp_path: Path) -> None:
    ledger, arrays = Ledger(tmp_path), {"codes": np.arange(6.0).reshape(2, 3), "train": np.array(1)}
    assert ledger.read_arrays("codes", INPUTS) is None
    ledger.write_arrays("codes", INPUTS, arrays)
    kept = ledger.read_arrays("codes", INPUTS)
    assert kept is not None
    assert set(kept) == {"codes", "train"}
    assert np.array_equal(kept["codes"], arrays["codes"])
    assert ledger.read_arrays("codes", INPUTS | {"seed": 9}) is None
    assert Ledger(tmp_path, fresh=True).read_arrays("codes", INPUTS) is None
    (file,) = tmp_path.glob("codes-*.npz")
    raw = file.read_bytes()
    for damaged in (raw[:100], b"", b"words", raw[:-30]):
        file.write_bytes(damaged)
        assert ledger.read_arrays("codes", INPUTS) is None
    with file.open("wb") as plain:
        np.save(plain, np.zeros(3))
    assert ledger.read_arrays("codes", INPUTS) is None


def npy(shape: str, content: bytes) -> bytes:
    """A .npy file that says that it has this shape."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + head.ljust(117) + b"\n" + content


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_damaged_anywhere_counts_as_absent(tmp_path: Path, packed: bool) -> None:
    ledger, codes = Ledger(tmp_path), np.random.default_rng(0).normal(size=(40, 3)).round(1)
    ledger.write_arrays("codes", INPUTS, {"codes": codes})
    (file,) = tmp_path.glob("codes-*.npz")
    kept = ledger.read_arrays("codes", INPUTS)
    assert kept is not None
    with np.load(file) as whole:
        content = dict(whole)
    if packed:
        np.savez_compressed(file, allow_pickle=False, **content)
    raw, outcomes = file.read_bytes(), set()
    for place in range(0, len(raw), 7):
        for bits in (1, 16, 255):
            damaged = bytearray(raw)
            damaged[place] ^= bits
            file.write_bytes(damaged)
            found = ledger.read_arrays("codes", INPUTS)
            outcomes.add(found is None)
            if found:  # it was what nobody reads, such as a time
                assert list(found) == ["codes"]
                assert np.array_equal(found["codes"], codes)
            file.write_bytes(damaged[:place])
            assert ledger.read_arrays("codes", INPUTS) is None
    assert outcomes == {True, False}


@pytest.mark.parametrize("shape", ["(1000000000000, 10)", "(9223372036854775807, 9)", "(2, 2)", "(-1,)", "(("])
def test_a_header_that_promises_too_much_counts_as_damage(tmp_path: Path, shape: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.write_arrays("codes", INPUTS, {"codes": np.zeros(3)})
    (file,) = tmp_path.glob("codes-*.npz")
    with np.load(file) as whole:
        key = io.BytesIO()
        np.save(key, whole["key"])
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("key.npy", key.getvalue())
        archive.writestr("codes.npy", npy(shape, bytes(24)))
    assert ledger.read_arrays("codes", INPUTS) is None
    with pytest.raises(UserError, match="cannot be read as an array"):
        load(file, "codes")


def test_other_inputs_overwrite_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for seed in (1, 2):
        ledger.write("mig", {"seed": seed}, [SCORE], float(seed))
    entries = [ledger.read("mig", {"seed": seed}) for seed in (1, 2)]
    assert [entry.seconds for entry in entries if entry is not None] == [1.0, 2.0]


def test_a_folder_that_takes_no_files_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        Ledger(tmp_path / "file").write("mig", INPUTS, [SCORE], 1.0)
