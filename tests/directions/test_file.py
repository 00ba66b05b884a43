"""The direction file gives back what was put in, or says in a line why not."""

import dataclasses
import errno
import json
from pathlib import Path

import pytest
import torch

from disentangle.directions import Directions, discover, measure_activeness
from disentangle.directions.file import FIELDS, TENSORS
from disentangle.errors import UserError
from tests.fakes import LinearGenerator


@pytest.fixture
def directions() -> Directions:
    generator = LinearGenerator()
    return measure_activeness(generator, discover(generator, "weights", seed=4, weights="a" * 64), samples=2)


def test_round_trip(directions: Directions, tmp_path: Path) -> None:
    directions.save(tmp_path / "new" / "folder")
    loaded = Directions.load(tmp_path / "new" / "folder")
    for name in TENSORS:
        assert torch.equal(getattr(loaded, name), getattr(directions, name)), name
    for name in FIELDS:
        assert getattr(loaded, name) == getattr(directions, name), name
    assert {field.name for field in dataclasses.fields(Directions)} == {*TENSORS, *FIELDS}, "nothing is left out"


def test_what_was_not_measured_and_what_has_no_neighbour_survives(tmp_path: Path) -> None:
    found = discover(LinearGenerator(rank=1), "subspace")
    found.save(tmp_path)
    loaded = Directions.load(tmp_path)
    assert loaded.activity.isnan().all()
    assert loaded.gaps.isinf().all()
    json.loads((tmp_path / "directions.json").read_text(), parse_constant=pytest.fail)


def test_only_the_two_files_are_left(directions: Directions, tmp_path: Path) -> None:
    directions.save(tmp_path)
    directions.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directions.json", "directions.safetensors"]


@pytest.mark.parametrize("missing", ["directions.json", "directions.safetensors"])
def test_a_missing_file(directions: Directions, tmp_path: Path, missing: str) -> None:
    directions.save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match=f"{missing} is missing.*disentangle discover"):
        Directions.load(tmp_path)


def test_a_save_that_was_cut_between_the_two_files_is_noticed(directions: Directions, tmp_path: Path) -> None:
    directions.save(tmp_path)
    old = (tmp_path / "directions.json").read_bytes()
    dataclasses.replace(directions, activity=directions.activeness + 1).save(tmp_path)
    (tmp_path / "directions.json").write_bytes(old)
    with pytest.raises(UserError, match="half written"):
        Directions.load(tmp_path)


def test_every_truncation_is_noticed(directions: Directions, tmp_path: Path) -> None:
    directions.save(tmp_path)
    for name in ("directions.json", "directions.safetensors"):
        whole = (tmp_path / name).read_bytes()
        for length in (0, 1, len(whole) // 2, len(whole) - 1):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(UserError, match="disentangle discover"):
                Directions.load(tmp_path)
        (tmp_path / name).write_bytes(whole)
    Directions.load(tmp_path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version(directions: Directions, tmp_path: Path, version: object) -> None:
    directions.save(tmp_path)
    described = json.loads((tmp_path / "directions.json").read_text())
    (tmp_path / "directions.json").write_text(json.dumps(described | {"version": version}))
    with pytest.raises(UserError, match=f"of version {version}, possible: 1"):
        Directions.load(tmp_path)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"'])
def test_json_of_another_kind(directions: Directions, tmp_path: Path, text: str) -> None:
    directions.save(tmp_path)
    (tmp_path / "directions.json").write_text(text)
    with pytest.raises(UserError, match="version None"):
        Directions.load(tmp_path)


def test_missing_and_wrong_fields(directions: Directions, tmp_path: Path) -> None:
    directions.save(tmp_path)
    described = json.loads((tmp_path / "directions.json").read_text())
    for change in ({"layers": ["layer 1"]}, {"layers": None}):
        (tmp_path / "directions.json").write_text(json.dumps(described | change))
        with pytest.raises(UserError, match="damaged"):
            Directions.load(tmp_path)
    for name in FIELDS:
        (tmp_path / "directions.json").write_text(json.dumps({k: v for k, v in described.items() if k != name}))
        with pytest.raises(UserError, match=f"damaged.*{name}"):
            Directions.load(tmp_path)


def test_a_folder_that_cannot_be_written(directions: Directions, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the directions"):
        directions.save(tmp_path / "file")


def test_no_space_left_keeps_what_was_there(
    directions: Directions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directions.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        directions.take([0]).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_dataclass_refuses_what_does_not_fit(directions: Directions) -> None:
    for change in (
        {"vectors": directions.vectors * 2},
        {"vectors": directions.vectors[:0]},
        {"sigma": directions.sigma[:1]},
        {"spectrum": directions.singular_values.flip(0)},
        {"layers": directions.layers[:1]},
    ):
        with pytest.raises(ValueError, match="expected"):
            dataclasses.replace(directions, **change)  # type: ignore[arg-type]
