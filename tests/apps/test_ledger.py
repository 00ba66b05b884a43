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


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": 1}', "cut"])
def test_a_damaged_file_is_computed_again_and_said_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("mig", INPUTS, [SCORE], 1.0)
    text = (tmp_path / "mig.json").read_text()
    (tmp_path / "mig.json").write_text(text[:-40] if damage == "cut" else damage)
    with caplog.at_level(logging.WARNING):
        assert ledger.read("mig", INPUTS) is None
    assert damage == '{"key": 1}' or "damaged" in caplog.text


def test_a_score_that_misses_a_field_is_computed_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write("mig", INPUTS, [SCORE], 1.0)
    kept = json.loads((tmp_path / "mig.json").read_text())
    del kept["scores"][0]["value"]
    (tmp_path / "mig.json").write_text(json.dumps(kept))
    assert ledger.read("mig", INPUTS) is None


def test_a_number_that_is_none_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Ledger(tmp_path).write("mig", INPUTS, [Score("MIG", "v", float("nan"), "higher", (0, 1), "It.")], 1.0)
    assert not list(tmp_path.iterdir())


def test_arrays_are_computed_once(tmp_path: Path) -> None:
    calls = []

    def compute() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"codes": np.arange(6.0).reshape(2, 3), "train": np.array(1)}

    ledger = Ledger(tmp_path)
    for _ in range(2):
        arrays = ledger.arrays("codes", INPUTS, compute)
        assert set(arrays) == {"codes", "train"}
        assert np.array_equal(arrays["codes"], np.arange(6.0).reshape(2, 3))
    assert len(calls) == 1
    ledger.arrays("codes", INPUTS | {"seed": 9}, compute)
    Ledger(tmp_path, fresh=True).arrays("codes", INPUTS | {"seed": 9}, compute)
    assert len(calls) == 3
    (tmp_path / "codes.npz").write_bytes((tmp_path / "codes.npz").read_bytes()[:100])
    ledger.arrays("codes", INPUTS | {"seed": 9}, compute)
    assert len(calls) == 4


def test_a_folder_that_takes_no_files_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        Ledger(tmp_path / "file").write("mig", INPUTS, [SCORE], 1.0)
