"""The direction file gives back what was put in, or says in a line why not."""

import dataclasses
import errno
import json
import pickle
import random
from pathlib import Path

import pytest
import safetensors.torch
import torch

from disentangle.directions import Directions, discover
from disentangle.directions.file import FIELDS, MEASURED, TENSORS, _checksum
from disentangle.errors import UserError
from tests.fakes import LinearGenerator


@pytest.fixture
def directions() -> Directions:
    """With everything that can be measured and written."""
    found = discover(LinearGenerator(), "weights", seed=4, weights="a" * 64)
    draw = torch.Generator().manual_seed(0)
    shapes = dict.fromkeys(MEASURED, (6,)) | {"effects": (6, 2), "spans": (6, 2, 2), "readable": (2,)}
    measured = {name: torch.rand(shape, generator=draw) for name, shape in shapes.items()}
    filled = dataclasses.replace(found, factors=("hue", "größe"), **measured)  # type: ignore[arg-type]
    return filled.rename(2, "smile", 'what a "smile"\n<b>☺</b>').rename(5, "größer → kleiner")


def described(path: Path) -> dict[str, object]:
    with safetensors.safe_open(path, "pt") as file:
        return json.loads(file.metadata()["directions"])  # type: ignore[no-any-return]


def rewrite(path: Path, words: object = None, tensors: dict[str, torch.Tensor] | None = None) -> None:
    """Write the file anew with other words or tensors, as somebody might who knows its form."""
    text = json.dumps(described(path) if words is None else words)
    held = safetensors.torch.load(path.read_bytes()) if tensors is None else tensors
    safetensors.torch.save_file(held, path, {"directions": text})


def assert_same(one: Directions, other: Directions) -> None:
    for name in (*TENSORS, *MEASURED):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is b is None) or (a.dtype == b.dtype == torch.float32 and torch.equal(a, b)), name
    for name in FIELDS:
        assert getattr(one, name) == getattr(other, name), name


def test_round_trip(directions: Directions, tmp_path: Path) -> None:
    assert {field.name for field in dataclasses.fields(Directions)} == {*TENSORS, *MEASURED, *FIELDS}
    for path in (tmp_path / "new" / "folder", tmp_path / "mine.safetensors"):
        directions.save(path)
        directions.save(path)
        assert_same(Directions.load(path), directions)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "directions.safetensors",
        "mine.safetensors",
    ]


def test_what_was_not_measured_and_what_has_no_neighbour_survives(tmp_path: Path) -> None:
    found = discover(LinearGenerator(rank=1), "subspace")
    bare = dataclasses.replace(found, stability=None)
    for some in (found, bare):
        some.save(tmp_path)
        loaded = Directions.load(tmp_path)
        assert_same(loaded, some)
        assert loaded.gaps.isinf().all()
        assert loaded.effects is None
    assert loaded.stability is None


def test_saving_twice_gives_the_same_bytes(directions: Directions, tmp_path: Path) -> None:
    directions.save(tmp_path / "a")
    Directions.load(tmp_path / "a").save(tmp_path / "b")
    first, second = ((tmp_path / name / "directions.safetensors").read_bytes() for name in "ab")
    assert first == second


def test_every_truncation_is_noticed(directions: Directions, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    directions.save(path)
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 9, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"d\.safetensors is no direction file.*disentangle discover RUN"):
            Directions.load(path)


def test_flipped_bytes_are_noticed(directions: Directions, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    directions.save(path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [*range(0, header, 13), *range(header, len(whole), 41), len(whole) - 1]
    # All that is said and measured, and not only what safetensors itself or JSON's grammar would notice.
    places += [whole.index(b"smile"), whole.index(b"layer 1"), whole.index(b"a" * 64), whole.index(b"seed") + 9]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(UserError, match="disentangle discover RUN"):
            Directions.load(path)


OTHERS = {
    "pickle": pickle.dumps({"vectors": [1.0]}),
    "noise": random.Random(0).randbytes(4000),
    "deep": b"[" * 100_000,
    "high": b"\xff" * 64,
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    for start in (b"", len(data).to_bytes(8, "little")):
        (tmp_path / "directions.safetensors").write_bytes(start + data)
        with pytest.raises(UserError, match="is no direction file, or it is damaged"):
            Directions.load(tmp_path)


def test_safetensors_without_a_description(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for metadata in (None, {"format": "pt"}, {"directions": "[]"}, {"directions": "null"}, {"directions": "{"}):
        safetensors.torch.save_file({"vectors": torch.eye(2)}, path, metadata)
        with pytest.raises(UserError, match="is no direction file"):
            Directions.load(path)


def test_a_file_from_before_there_were_spans_is_read(directions: Directions, tmp_path: Path) -> None:
    directions.save(tmp_path / "old.safetensors")
    tensors = safetensors.torch.load((tmp_path / "old.safetensors").read_bytes())
    del tensors["spans"]
    words = described(tmp_path / "old.safetensors") | {"version": 2}
    rewrite(tmp_path / "old.safetensors", words | {"checksum": _checksum(tensors, words)}, tensors)
    loaded = Directions.load(tmp_path / "old.safetensors")
    assert_same(loaded, dataclasses.replace(directions, spans=None))
    assert loaded.span(0, "hue") is None


def test_a_factor_without_order_has_no_span(directions: Directions, tmp_path: Path) -> None:
    assert directions.spans is not None
    spans = directions.spans.clone()
    spans[:, 1] = torch.nan
    dataclasses.replace(directions, spans=spans).save(tmp_path)
    loaded = Directions.load(tmp_path)
    assert loaded.span(3, "hue") == pytest.approx(spans[3, 0].tolist())
    assert loaded.span(3, "größe") is None


@pytest.mark.parametrize("version", [0, 1, 4, "2", None])
def test_another_version(directions: Directions, tmp_path: Path, version: object) -> None:
    path = tmp_path / "d.safetensors"
    directions.save(path)
    rewrite(path, described(path) | {"version": version})
    with pytest.raises(UserError, match=f"of version {version}, possible: 2 and 3"):
        Directions.load(path)


@pytest.mark.parametrize(
    "change",
    [{"seed": 5}, {"names": ["x"] * 6}, {"layers": "layers"}, {"layers": [1] * 6}, {"settings": []}, {"method": None}],
)
def test_a_changed_description_is_noticed(directions: Directions, tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "d.safetensors"
    directions.save(path)
    words = described(path)
    rewrite(path)
    Directions.load(path)
    rewrite(path, words | change)
    with pytest.raises(UserError, match="is damaged"):
        Directions.load(path)


ESCAPE = "\x1b]0;pwn\x07"


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        ("names", ["\x1b[31mRED"], ["👩‍🦰 می‌خواهم"]),
        ("names", ["two\nlines"], ["two lines"]),
        ("names", ["x" * 61], ["x" * 60]),
        ("notes", [ESCAPE], ["two\n\tlines"]),
        ("notes", ["x" * 501], ["x" * 500]),
        ("layers", ["\u202eolleh"], ["h-space"]),
        ("layers", ["x" * 1001], ["x" * 1000]),
        ("factors", [ESCAPE], ["größe"]),
        ("method", ESCAPE, "by hand"),
        ("weights", "\ud800", "w"),
        ("space", "x\x00", "h"),
    ],
)
def test_texts_that_harm_who_reads_them_are_refused(
    tmp_path: Path, field: str, bad: str | list[str], good: str | list[str]
) -> None:
    one = torch.ones(1)
    base = Directions(torch.eye(1), one, one, one, one, ("layer",), "by hand", factors=("f",), effects=torch.eye(1))
    kinds = {True: tuple, False: str}[isinstance(good, list)]
    dataclasses.replace(base, **{field: kinds(good)}).save(tmp_path)
    assert getattr(Directions.load(tmp_path), field) == kinds(good)
    with pytest.raises(UserError, match="characters at most, all of them visible"):
        dataclasses.replace(base, **{field: kinds(bad)}).save(tmp_path)
    # … nor are they read, however they came into a file that is whole.
    words = described(tmp_path / "directions.safetensors") | {field: bad}
    tensors = safetensors.torch.load((tmp_path / "directions.safetensors").read_bytes())
    rewrite(tmp_path / "directions.safetensors", words | {"checksum": _checksum(tensors, words)})
    with pytest.raises(UserError, match=r"is damaged .a .* characters at most, all of them visible; got ") as caught:
        Directions.load(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["vectors", "effects", "extra", "sigma"])
def test_missing_and_foreign_parts(directions: Directions, tmp_path: Path, name: str) -> None:
    path = tmp_path / "d.safetensors"
    directions.save(path)
    tensors = safetensors.torch.load(path.read_bytes())
    changes = {
        "vectors": {},
        "effects": {"effects": tensors["effects"].bfloat16()},
        "extra": {"vectors": tensors["vectors"], "extra": torch.zeros(1)},
        "sigma": {"sigma": tensors["sigma"] + 1},
    }
    rewrite(path, tensors={key: value for key, value in tensors.items() if key != name} | changes[name])
    with pytest.raises(UserError, match="is damaged"):
        Directions.load(path)
    for field in FIELDS:
        directions.save(path)
        rewrite(path, {key: value for key, value in described(path).items() if key != field})
        with pytest.raises(UserError, match=f"damaged.*{field}"):
            Directions.load(path)


def test_paths_that_are_missing_or_cannot_be_written(directions: Directions, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no directions at .*nowhere/directions\.safetensors: find them again"):
        Directions.load(tmp_path / "nowhere")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(UserError, match="cannot read"):
        Directions.load(tmp_path / "folder.safetensors")
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


def test_two_measurements_may_be_one_tensor(directions: Directions, tmp_path: Path) -> None:
    angles = torch.zeros(len(directions))
    dataclasses.replace(directions, stability=angles, seed_stability=angles).save(tmp_path)
    loaded = Directions.load(tmp_path)
    assert loaded.stability is not None
    assert loaded.seed_stability is not None
    assert torch.equal(loaded.stability, loaded.seed_stability)
