"""``disentangle directions``: list, match, merge, name, export, import."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from disentangle.apps.directions import command
from disentangle.apps.directions.adopt import from_arrays
from disentangle.apps.directions.merge import merge
from disentangle.apps.directions.places import place_of
from disentangle.apps.discoveries import table
from disentangle.directions import Directions, discover
from disentangle.directions.file import FILE
from disentangle.errors import UserError
from disentangle.training import files
from disentangle.training.run import Run
from tests.runs import gan_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """With two direction files: of the learned subspace, and a rotation of it."""
    run = gan_run(tmp_path / "grey")
    for method in ("subspace", "random"):
        found = discover(run.load_generator(), method, weights=run.weights_hash())
        found.save(run.path / "directions" / method)
    return run


def kept(run: Run, name: str = "subspace") -> Directions:
    return Directions.load(run.path / "directions" / name)


def axes(*rows: list[float], **fields: object) -> Directions:
    """Directions with singular values 1, 2, … from the last to the first."""
    vectors = torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)
    count = torch.arange(len(rows), 0, -1).float()
    given: dict[str, object] = {"layers": ("layer",) * len(rows), "method": "by hand", "weights": "w"}
    return Directions(vectors, count, count / 10, torch.ones(len(rows)), torch.ones(len(rows)), **(given | fields))


def test_list_shows_what_has_been_measured(
    run: Run, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    command.main(["list", str(run.path)])
    out = capsys.readouterr().out
    assert "grey/subspace: 18 directions" in out
    assert "grey/random: 18 directions" in out
    assert "active" not in out
    found = kept(run)
    effects = torch.tensor([[0.2, 0.6]]).repeat(18, 1)
    dead = next(layer for layer in found.layers if layer != found.layers[2])
    activeness = torch.tensor([float(layer != dead) for layer in found.layers])
    angles = torch.full((18,), 45.0)
    measured = replace(found, activeness=activeness, step_sizes=torch.full((18,), 0.125), stability=angles)
    measured = replace(measured, factors=("shape", "scale"), effects=effects, readable=torch.ones(2))
    measured.rename(2, "wide").save(run.path / "directions" / "subspace")
    with caplog.at_level("INFO"):
        command.main(["list", str(run.path), "--directions", "subspace", "--count", "20"])
    assert f"{dead} has collapsed" in caplog.text
    assert caplog.text.count("collapsed") == 1
    header, *rows = capsys.readouterr().out.splitlines()[1:]
    columns = "# direction value share gap turns active step moves purity doubts"
    assert " ".join(header.split()) == columns, "what nobody has measured has no column"
    assert len(rows) == 18 + 6 + 1, "every doubt of several stands in a line, and the layer of a given name"
    wide = next(row for row in rows if "wide" in row)
    for text in ("45°", "0.12", "scale", "0.75", "unstable"):
        assert text in wide
    assert [int(row.split()[0]) for row in rows if row.split()[0].isdecimal()] == kept(run).ranking()


def test_match_finds_turned_and_reordered_directions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turned = np.deg2rad(10.0)
    axes([1, 0, 0], [0, 1, 0], names=("smile", "")).save(tmp_path / "a")
    axes([0, np.cos(turned), np.sin(turned)], [-1, 0, 0], weights="v").save(tmp_path / "b")
    command.main(["match", str(tmp_path / "a"), str(tmp_path / "b"), "--angle", "5"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["0", "smile", "1", "layer", "·", "#2", "0.0°", "opposite"]
    assert lines[2] == ["1", "layer", "·", "#2", "0", "layer", "·", "#1", "10.0°", "same"]
    text = [" ".join(line) for line in lines[3:]]
    assert text[0] == "1 of 2 pairs are the same within 5°"
    assert "principal angles of all they span: 0.0, 10.0 degrees" in text
    assert text[-1] == "the two belong to different weights"
    axes([1.0, 0]).save(tmp_path / "c")
    with pytest.raises(UserError, match=r"has 3 latents and .* 2: only directions of as many latents match"):
        command.main(["match", str(tmp_path / "a"), str(tmp_path / "c")])


def test_merge_keeps_the_better_of_two(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    near = [0.01, 1, 0]  # by 0.57 degrees
    first = axes([1, 0, 0], [0, 1, 0], activeness=torch.tensor([0.5, 0.1]), notes=("", "nice"))
    second = axes(near, [0, -1, 1], activeness=torch.tensor([0.3, 0.2]))
    merged = merge([first, second], 1.0)
    assert torch.equal(merged.vectors, torch.cat([first.vectors[:1], second.vectors]))
    assert merged.notes == ("", "nice", ""), "a note goes over to the one that stays"
    assert len(merge([first, second], 0.5)) == 4
    assert len(merge([first, replace(second, vectors=-first.vectors)], 1.0)) == 2, "a line has no sign"
    half = merge([first, replace(second, activeness=None)], 1.0)
    assert half.activeness is None
    assert torch.equal(half.vectors, torch.cat([first.vectors[:1], second.vectors])), "the first of its file is better"
    with pytest.raises(UserError, match="only directions of the same weights can be merged"):
        merge([first, replace(second, weights="v")], 1.0)
    command.main(["merge", str(run.path), "--out", "both", "--angle", "1"])
    assert capsys.readouterr().out.strip() == str(run.path / "directions" / "both" / "directions.safetensors")
    both = kept(run, "both")
    assert len(both) == 36
    assert both.weights == run.weights_hash()
    assert set(both.layers) == {f"layer {i} ({name})" for i in (1, 2, 3) for name in ("random", "subspace")}
    assert {"layer 1 (random) · #1", "layer 1 (subspace) · #1"} <= set(both.labels)


def test_merging_again_replaces_nothing_and_takes_no_merge_in(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run.path / "directions"
    merging = ["merge", str(run.path), "--out"]
    command.main([*merging, "both"])
    before = {path: path.read_bytes() for path in folder.glob("*/*")}
    for names, words in (
        ("subspace weights auto", "is the name of a method, and these come from several"),
        ("both", "exists: choose another with --out, or replace it with --force"),
        (". .. .hidden a:b", "is no name for directions"),
    ):
        for name in names.split():
            for force in ([], ["--force"] * (names != "both")):
                with pytest.raises(UserError, match=words):
                    command.main([*merging, name, *force])
    with pytest.raises(UserError, match="is the name of a method"):
        command.main([*merging, str(folder / "subspace" / "directions.safetensors"), "--force"])
    mine = str(tmp_path / "mine.safetensors")
    command.main([*merging, mine])
    with pytest.raises(UserError, match="exists"):
        command.main(["merge", mine, str(folder / "random"), "--out", mine])
    assert {path: path.read_bytes() for path in folder.glob("*/*")} == before
    command.main([*merging, "both", "--force"])
    command.main([*merging, "again"])
    assert len({path.read_bytes() for path in (folder / name / FILE for name in ("both", "again"))} | {
        before[folder / "both" / FILE], Path(mine).read_bytes()}) == 1, "earlier merges are not merged"  # fmt: skip
    command.main(["merge", str(folder / "both"), str(folder / "random"), "--out", "more"])
    more = kept(run, "more")
    assert (len(more), more.method) == (36, "random + subspace"), "a merge that is named is taken"
    assert set(more.layers) <= set(kept(run, "both").layers) | {f"layer {i} (random)" for i in (1, 2, 3)}


def test_what_another_process_is_writing_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    folder = run.path / "directions" / "both"
    kept(run, "random").save(folder)
    np.save(tmp_path / "mine.npy", np.eye(26)[:2])
    commands = (
        ["merge", str(run.path), "--out", "both", "--force"],
        ["import", str(tmp_path / "mine.npy"), "--run", str(run.path), "--out", "both", "--force"],
    )
    for arguments in commands:
        before = (folder / FILE).read_bytes()
        with files.locked(folder), pytest.raises(UserError, match=f"another process is writing to {folder}"):
            command.main(arguments)
        assert (folder / FILE).read_bytes() == before
        command.main(arguments)
        assert (folder / FILE).read_bytes() != before


def test_one_damaged_file_hides_no_other(
    run: Run, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    empty = run.path / "directions" / "empty" / FILE
    empty.parent.mkdir()
    empty.touch()
    command.main(["list", str(run.path), "--count", "1"])
    out = capsys.readouterr().out
    assert all(f"grey/{name}: 18" in out for name in ("random", "subspace"))
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert str(empty) in warning.getMessage()
    for arguments in (["list", str(run.path), "--directions", "empty"], ["merge", str(run.path), "--out", "x"]):
        with pytest.raises(UserError, match=f"{empty} is no direction file, or it is damaged"):
            command.main(arguments)
    for count in ("0", "-1"):
        with pytest.raises(UserError, match=f"--count must be at least 1, got {count}"):
            command.main(["list", str(run.path), "--count", count])


def test_tables_show_nothing_that_a_terminal_obeys() -> None:
    bad = replace(axes([1.0, 0]), names=("\x1b[31mRED",), notes=("\x1b]0;pwn\x07\nmore",), layers=("a\nb",))
    file = io.StringIO()
    Console(file=file, width=200).print(table(bad, bad.ranking(), "t\x1b\n"))
    assert not set(file.getvalue()) & set("\x1b\x07")
    assert file.getvalue().count("\n") == 4


def test_names_and_notes(run: Run) -> None:
    where = ["--directions", "subspace"]
    command.main(["name", str(run.path), "3", " smile ", "--note", "subtle", *where])
    assert (kept(run).names[3], kept(run).notes[3]) == ("smile", "subtle")
    command.main(["name", str(run.path), "Smile", "grin", *where])
    assert (kept(run).names[3], kept(run).notes[3]) == ("grin", "subtle")
    command.main(["name", str(run.path), "layer 1 #1", "", "--note", "first", *where])
    k = kept(run).labels.index("layer 1 · #1")
    assert kept(run).notes[k] == "first"
    before = (run.path / "directions" / "subspace" / "directions.safetensors").read_bytes()
    for name, words in (
        ("GRIN", "already"),
        ("7", "must not be a number"),
        ("x" * 61, "60 characters"),
        ("two\nlines", "one line"),
        ("\x1b[31mred", "visible"),
    ):
        with pytest.raises(UserError, match=words):
            command.main(["name", str(run.path), "0", name, *where])
    with pytest.raises(UserError, match="a note has 500 characters at most, all of them visible"):
        command.main(["name", str(run.path), "0", "--note", "\x1b]0;pwn\x07", *where])
    with pytest.raises(UserError, match="give a name, a note or both"):
        command.main(["name", str(run.path), "0", *where])
    with pytest.raises(UserError, match="choose one with --directions NAME: random, subspace"):
        command.main(["name", str(run.path), "0", "x"])
    assert (run.path / "directions" / "subspace" / "directions.safetensors").read_bytes() == before


def test_places() -> None:
    found = axes([1, 0, 0], [0, 1, 0], [0, 0, 1], names=("", "Größe", "Größe"))
    assert [place_of(found, text) for text in ("2", "LAYER · #1", "layer  #1")] == [2, 0, 0]
    assert place_of(found, "٢") == 2, "digits are digits"
    for text, words in (
        ("3", "possible: 0 to 2"),
        ("-1", "possible: 0 to 2"),
        ("1" * 5000, "there is no direction 1{20}: possible: 0 to 2"),
        ("grösse", "by its place, 1, 2"),
        ("x" * 5000, "unknown direction 'x{60}': possible: a place, 0 to 2, a label such as 'layer · #1', or a given"),
    ):
        with pytest.raises(UserError, match=words):
            place_of(found, text)
    with pytest.raises(UserError, match=r"possible: a place, 0 to 0, or a given name: slant$"):
        place_of(axes([1.0, 0], names=("slant",)), "smile")


def test_exports_read_back(run: Run, tmp_path: Path) -> None:
    found = kept(run)
    named = replace(found.rename(1, 'say "hi", twice'), gaps=found.gaps.clone().fill_(torch.inf), factors=("shape",),
                    effects=torch.full((18, 1), 0.5), readable=torch.ones(1))  # fmt: skip
    named.save(run.path / "directions" / "subspace")
    for kind in ("csv", "json", "npz", "npy"):
        command.main(["export", str(run.path), "--directions", "subspace", "--out", str(tmp_path / f"x.{kind}")])
    assert np.array_equal(np.load(tmp_path / "x.npy"), named.vectors.numpy())
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["vectors"], named.vectors.numpy())
        assert arrays["names"].tolist() == list(named.names)
        assert str(arrays["weights"]) == run.weights_hash()
    described = json.loads((tmp_path / "x.json").read_text())
    assert described["directions"][1]["name"] == 'say "hi", twice'
    assert described["directions"][0]["gaps"] is None
    assert described["directions"][4]["vector"] == named.vectors[4].tolist()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text())))
    assert rows[1]["label"] == 'say "hi", twice'
    assert float(rows[2]["singular_values"]) == float(named.singular_values[2])
    assert [float(rows[3][f"v{i}"]) for i in range(named.vectors.shape[1])] == named.vectors[3].tolist()
    assert rows[0]["effect on shape"] == "0.5"
    with pytest.raises(UserError, match=r"exists: choose another with --out, or replace it with --force"):
        command.main(["export", str(run.path), "--directions", "subspace", "--out", str(tmp_path / "x.npy")])
    with pytest.raises(UserError, match="say in which format"):
        command.main(["export", str(run.path), "--directions", "subspace"])


def test_vectors_from_elsewhere(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    d = kept(run).vectors.shape[1]
    vectors = np.random.default_rng(0).normal(size=(2, d))
    np.save(tmp_path / "mine.npy", 3 * vectors)
    command.main(["import", str(tmp_path / "mine.npy"), "--run", str(run.path)])
    found = kept(run, "mine")
    lengths = np.linalg.norm(vectors, axis=1)
    assert found.vectors.numpy() == pytest.approx(vectors / lengths[:, None], abs=1e-6)
    assert found.singular_values.numpy() == pytest.approx(3 * lengths, rel=1e-6)
    assert (found.weights, found.method, bool(found.repeated.any())) == (run.weights_hash(), "imported", False)
    assert found.activeness is not None
    np.savez(tmp_path / "named.npz", vectors=vectors, names=np.array(["a", "b"]))
    command.main(["import", str(tmp_path / "named.npz"), "--run", str(run.path), "--out", "theirs"])
    assert kept(run, "theirs").names == ("a", "b")
    file = run.path / "directions" / "random" / FILE
    command.main(["import", str(file), "--run", str(run.path), "--out", "again"])
    assert torch.equal(kept(run, "again").vectors, kept(run, "random").vectors)
    for key, words, said in (
        ("names", ["3", ""], "must not be a number"),
        ("names", ["A", "a "], "several directions are called 'A'"),
        ("names", ["imported #2", ""], "several directions are called"),
        ("names", ["x" * 61, ""], "60 characters"),
        ("notes", ["\x1b]0;pwn\x07", ""], "visible"),
    ):
        np.savez(tmp_path / "bad.npz", vectors=vectors, **{key: np.array(words)})
        with pytest.raises(UserError, match=said):
            command.main(["import", str(tmp_path / "bad.npz"), "--run", str(run.path)])
    with pytest.raises(UserError, match="'weights' is no name for directions: it is the name of a method"):
        command.main(["import", str(tmp_path / "mine.npy"), "--run", str(run.path), "--out", "weights"])
    other = gan_run(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="belong to other weights"):
        command.main(["import", str(file), "--run", str(other.path), "--out", "again"])
    with pytest.raises(UserError, match="exists: choose another with --out"):
        command.main(["import", str(tmp_path / "mine.npy"), "--run", str(run.path)])


@pytest.mark.parametrize(
    ("scales", "values"), [((1e300, 2e300), (0.5, 1.0)), ((1e-320, 1e-320), (1.0, 1.0)), ((1e300, 1e-300), (1.0, 0.0))]
)
def test_vectors_of_any_size_have_a_direction(scales: tuple[float, float], values: tuple[float, float]) -> None:
    found = from_arrays({"vectors": np.array([[3.0, 4.0], [0.0, 5.0]]) * np.array(scales)[:, None]}, "x.npy")
    assert found.vectors.numpy() == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]), abs=1e-3)
    assert found.singular_values.numpy() == pytest.approx(np.array(values), rel=1e-3)
    assert found.shares.numpy() == pytest.approx(np.square(values) / np.square(values).sum(), rel=1e-3)


class Trap:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("trapped"),))  # type: ignore[return-value]


def test_what_is_no_vector_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    d = kept(run).vectors.shape[1]
    cases: dict[str, tuple[object, str]] = {
        "short": (np.ones((2, d - 1)), f"is for {d - 1} latents, .* has {d}"),
        "zero": (np.zeros((1, d)), "vector 0 .* zero, or not finite"),
        "nan": (np.full((1, d), np.nan), "vector 0 .* zero, or not finite"),
        "deep": (np.ones((1, 1, d)), "must hold numbers"),
        "words": (np.array(["a"]), "must hold numbers"),
        "trap": (np.array([Trap()], dtype=object), "Python objects, which are refused"),
    }
    for name, (array, words) in cases.items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=words):
            command.main(["import", str(tmp_path / f"{name}.npy"), "--run", str(run.path)])
    assert not (tmp_path / "trapped").exists()
    (tmp_path / "cut.npy").write_bytes((tmp_path / "zero.npy").read_bytes()[:100])
    with pytest.raises(UserError, match="damaged"):
        command.main(["import", str(tmp_path / "cut.npy"), "--run", str(run.path)])
    np.savez(tmp_path / "two.npz", a=np.ones(d), b=np.ones(d))
    with pytest.raises(UserError, match=r"must hold 'vectors'.*it has a, b"):
        command.main(["import", str(tmp_path / "two.npz"), "--run", str(run.path)])
    for name, words in (("../up", "is no name"), ("", "is no name"), (".hidden", "is no name")):
        with pytest.raises(UserError, match=words):
            command.main(["import", str(tmp_path / "zero.npy"), "--run", str(run.path), "--out", name])
    assert sorted(path.name for path in (run.path / "directions").iterdir()) == ["random", "subspace"]


def test_commands_and_sources(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([])
    assert "disentangle directions COMMAND" in capsys.readouterr().out
    with pytest.raises(UserError, match="did you mean merge"):
        command.main(["merg"])
    empty = gan_run(tmp_path / "empty")
    with pytest.raises(UserError, match=r"has no directions yet: `disentangle discover .*empty`"):
        command.main(["list", str(empty.path)])
    with pytest.raises(UserError, match="unknown directions 'subspaces': did you mean subspace"):
        command.main(["list", str(run.path), "--directions", "subspaces"])
    (tmp_path / "x.npy").touch()
    with pytest.raises(UserError, match="is no direction file: `disentangle directions import"):
        command.main(["list", str(tmp_path / "x.npy")])
    with pytest.raises(UserError, match=r"is no run and has no directions.safetensors"):
        command.main(["list", str(tmp_path)])
