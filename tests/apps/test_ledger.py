"""What is done is kept, found again under the same inputs only, and never trusted where it is damaged."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

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
