"""``disentangle discover`` end to end, on an untrained run."""

import io
import json
import logging
import math
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from runs import gan_run, vae_run

from disentangle.apps import discover
from disentangle.apps.cli import main
from disentangle.apps.directions import command
from disentangle.apps.discover import find, keep_names
from disentangle.apps.discoveries import following, table
from disentangle.apps.progress import stages
from disentangle.directions import Directions, measure_activeness
from disentangle.errors import UserError
from disentangle.training import reader
from disentangle.training.reader import ReaderSettings
from disentangle.training.run import Run

FILES = ["directions.safetensors", "strips.png", "traversal.gif"]
QUICK = ["--directions", "1", "--no-steps", "--no-factors", "--seeds", "0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return gan_run(tmp_path_factory.mktemp("discover") / "tiny")


def test_writes_its_three_files_and_a_table(
    run: Run, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        discover.main([str(run.path), "--directions", "3", "--seed", "5", "--rows", "2", "--no-steps"])
    folder = run.path / "directions" / "subspace"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    found = Directions.load(folder)
    assert len(found) == 18
    assert (found.seed, found.weights) == (5, run.weights_hash())
    assert found.activeness is not None
    assert found.step_sizes is found.effects is None, "digits have classes and no factors to tell apart"
    assert found.seed_stability is not None
    out = capsys.readouterr().out
    rows = re.findall(r"^ *(\d+) (layer \d · #\d+) ", out, re.MULTILINE)
    ranked = [k for k in found.ranking() if not found.still[k]]
    assert [(int(place), label) for place, label in rows] == [(k, found.labels[k]) for k in ranked]
    still = int(found.still.sum())
    assert still == 0 or f"{still} of 18 directions hardly change the picture" in out
    assert out.splitlines()[1].split() == ["#", "direction", "value", "share", "gap", "turns", "active"] + (
        ["doubts"] * any(found.doubts(k) for k in range(len(found)))
    )
    assert out.rstrip().endswith(f"disentangle app {run.path}")
    assert f"disentangle render {run.path} --directions subspace --strip {ranked[0]}" in out
    assert str(folder) in caplog.text
    assert "seed 5" in caplog.text
    strips, gif = Image.open(folder / "strips.png"), Image.open(folder / "traversal.gif")
    assert 3 * 2 * 96 < strips.height < 4 * 2 * 96
    assert gif.n_frames == 40  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_bytes_under_any_name(run: Run) -> None:
    contents = []
    for name in ("weights", "mine"):
        discover.main([str(run.path), "--method", "weights", "--name", name, "--layers", "layer 2", *QUICK])
        folder = run.path / "directions" / name
        contents.append([(folder / file).read_bytes() for file in FILES])
    assert contents[0] == contents[1]
    assert set(Directions.load(folder).layers) == {"layer 2"}
    assert Directions.load(folder).method == "weights"


def test_known_factors_are_read_by_a_network_that_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = ReaderSettings(pictures=100, test_pictures=40, steps=3, width=2, hidden=4)
    monkeypatch.setattr(reader, "ReaderSettings", lambda: fast)
    monkeypatch.setenv("DISENTANGLE_DATA", str(tmp_path / "data"))
    run = vae_run(tmp_path / "vae")
    found = find(run, run.load_generator(), "coordinate", factors=True, samples=1)
    assert found.factors == ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation")
    assert found.effects is not None
    assert found.effects.shape == (len(found), 6)
    monkeypatch.setattr(reader, "train_reader", lambda *args: pytest.fail("trained again"))
    shares: list[float] = []
    discover.main([str(run.path), "--method", "coordinate", "--count", "2"])
    again = Directions.load(run.path / "directions" / "coordinate")
    torch.testing.assert_close(again.effects, found.effects[:2])
    assert again.step_sizes is not None
    assert (again.step_sizes > 0).all()
    out = capsys.readouterr().out
    assert all(word in out for word in ("moves", "purity", "step"))
    assert "hardly to be read off these pictures" in out
    find(run, run.load_generator(), "random", seeds=1, factors=True, progress=lambda share, text: shares.append(share))
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1


def test_data_that_are_not_here_cost_only_the_factors(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = json.loads((run.path / "config.json").read_text())
    config["recipe"]["data"] |= {"name": "dsprites", "root": "/nowhere"}
    elsewhere = Run(run.path, config)
    found = find(elsewhere, run.load_generator(), factors=True, samples=1)
    assert found.effects is None
    assert "which factors the directions move is not known: no files of dsprites in /nowhere" in caplog.text


def test_names_are_kept_where_the_directions_are_the_same_ones(tmp_path: Path) -> None:
    run = gan_run(tmp_path / "run")
    arguments = [str(run.path), "--method", "random", "--name", "mine", *QUICK]
    folder = run.path / "directions" / "mine"
    discover.main(arguments)
    before = Directions.load(folder).rename(4, "smile", "to the left").rename(2, "", "only a note")
    before.save(folder)
    discover.main([*arguments, "--count", "6"])
    found = Directions.load(folder)
    assert len(found) == 6
    assert (found.names[4], found.notes[4], found.notes[2]) == ("smile", "to the left", "only a note")
    assert sum(map(bool, (*found.names, *found.notes))) == 3
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]

    # Other directions get no names, and the file with these stays.
    discover.main([*arguments, "--seed", "1"])
    assert not any(Directions.load(folder).names)
    assert Directions.load(folder.with_name("mine-before1")).names == found.names

    # A turned axis, or a reversed one, is the same up to eight degrees; of other weights nothing is.
    turned = replace(found, names=(), notes=(), vectors=-found.vectors.flip(0))
    assert keep_names(turned, found).names == found.names[::-1]
    assert not any(keep_names(replace(turned, weights="0" * 64), found).names)
    for degrees, name in ((7.0, "smile"), (9.0, "")):
        angle = torch.deg2rad(torch.tensor(degrees))
        one, other = found.vectors[4], found.vectors[5]
        other = torch.nn.functional.normalize(other - (other @ one) * one, dim=0)
        vectors = (angle.cos() * one + angle.sin() * other)[None]
        assert keep_names(replace(turned.take([1]), vectors=vectors), found).names == (name,)


def test_names_given_while_it_works_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = gan_run(tmp_path / "run")
    folder = run.path / "directions" / "random"
    arguments = [str(run.path), "--method", "random", *QUICK]
    discover.main(arguments)
    work, draw = discover.find, discover.drawn

    def named(k: int, name: str) -> None:
        command.main(["name", str(run.path), str(k), name])

    def slow_find(*args: Any, **options: Any) -> Directions:
        found = work(*args, **options)
        named(2, "smile")
        return found

    def slow_drawn(*args: Any) -> dict[str, bytes]:
        assert args[1].names[2] == "smile", "the drawings show it"
        files = draw(*args)
        named(3, "grin")
        return files

    monkeypatch.setattr(discover, "find", slow_find)
    monkeypatch.setattr(discover, "drawn", slow_drawn)
    discover.main(arguments)
    assert Directions.load(folder).names[2:4] == ("smile", "grin")


def test_whoever_names_directions_waits_for_who_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = gan_run(tmp_path / "run")
    found = find(run, run.load_generator(), "random", samples=1)
    discover.keep(run, "random", "random", found, {})
    naming = threading.Thread(target=command.main, args=(["name", str(run.path), "0", "smile"],))
    write = discover.write

    def slow_write(*args: Any) -> None:
        naming.start()
        naming.join(0.5)
        assert naming.is_alive()
        write(*args)

    monkeypatch.setattr(discover, "write", slow_write)
    assert not any(discover.keep(run, "random", "random", found, {}).names)
    naming.join(30)
    assert Directions.load(run.path / "directions" / "random").names[0] == "smile"


def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = gan_run(tmp_path / "run")
    monkeypatch.setattr(discover, "find", lambda *args, **options: pytest.fail("it worked first"))
    (run.path / "directions").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*/directions"):
        discover.main([str(run.path), *QUICK])


def test_without_a_terminal_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr("disentangle.apps.progress.time.monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO), stages() as progress:
        for now[0] in (1.0, 14.0, 16.0, 20.0, 31.5):
            progress(now[0] / 40, f"at {now[0]:g}")
    assert caplog.messages == ["40 %: at 16", "79 %: at 31.5"]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = gan_run(tmp_path / "run")

    def stop(*args: object, **options: object) -> Directions:
        raise KeyboardInterrupt

    for where in ("disentangle.directions.measure_activeness", "disentangle.apps.discover.drawn"):
        with monkeypatch.context() as patch:
            patch.setattr(where, stop)
            with pytest.raises(SystemExit) as stopped:
                main(["discover", str(run.path), *QUICK])
        assert stopped.value.code == 130
        assert not (run.path / "directions").exists()


def test_collapsed_layers_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = gan_run(tmp_path / "run")
    generator = run.load_generator()
    generator.blocks[1].subspace.scale.data[:] = 0.0
    found = measure_activeness(generator, find(run, generator, samples=1))
    assert found.collapsed == ("layer 2",)
    words = "\n".join(following(run.path, "my own", found, found.ranking()))
    assert "collapsed, all of whose directions are among these: layer 2" in words
    assert f"disentangle render {run.path} --directions 'my own' --strip {found.ranking()[0]}" in words


def test_colour_pictures(tmp_path: Path) -> None:
    run = vae_run(tmp_path / "vae")
    discover.main([str(run.path), "--method", "random", *QUICK])
    strips = Image.open(io.BytesIO((run.path / "directions" / "random" / "strips.png").read_bytes()))
    pixels = torch.frombuffer(bytearray(strips.tobytes()), dtype=torch.uint8).view(-1, 3).int()
    assert (pixels.amax(1) - pixels.amin(1)).max() > 10, "some pixel is not grey"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "wieghts"], r"unknown discovery method 'wieghts': did you mean weights\?"),
        (["--layers", "layer 7"], r"unknown layer 'layer 7'.*possible: layer 1, layer 2, layer 3"),
        (["--directions", "0"], r"--directions must be at least 1, got 0"),
        (["--rows", "-1"], r"--rows must be at least 1, got -1"),
        (["--seeds", "-1"], r"--seeds must be at least 0, got -1"),
        (["--method", "weights", "--module", "blocks.0"], r"unknown option of the method weights 'module'"),
        (["--rows", "100000"], r"100,000 rows of 8 directions are 5,600,000 pictures: possible: 1,024"),
        (["--layers"], r"--layers names none"),
        (["--name", "../elsewhere"], r"is no name for directions: names have no slash"),
        (["--name", ".hidden"], r"would be hidden"),
        (["--name", " "], r"names have a letter or a number"),
        (["--name", "CON:?*"], r"names have no : \? \*"),
        (["--name", "\u202egnp"], r"names have no '\\u202e', which nobody sees"),
        (["--name", "😀" * 70], r"names have 240 bytes at most, this has 280"),
        (["--name", "random", "--method", "weights"], r"--name random is the name of a method"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path: Path, arguments: list[str], message: str) -> None:
    run = gan_run(tmp_path / "run")
    with pytest.raises(UserError, match=message):
        discover.main([str(run.path), *arguments])
    assert not (run.path / "directions").exists()


def test_bad_runs_end_in_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    incomplete = gan_run(tmp_path / "incomplete")
    next(incomplete.path.glob("checkpoints/*/ema/*.safetensors")).write_bytes(b"cut")
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty", "incomplete"):
        with pytest.raises(SystemExit) as stopped:
            main(["discover", str(tmp_path / name)])
        assert stopped.value.code == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert error[-1].startswith("disentangle: error: ")
        assert name in error[-1]
        assert "Traceback" not in "\n".join(error)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        discover.main(["--help"])
    assert stopped.value.code == 0
    assert "example: disentangle discover" in capsys.readouterr().out


def test_directions_of_another_method_are_not_replaced(run: Run) -> None:
    discover.main([str(run.path), "--method", "coordinate", "--name", "kept", *QUICK])
    before = (run.path / "directions" / "kept" / "directions.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"holds directions of the method coordinate, not random: choose another"):
        discover.main([str(run.path), "--method", "random", "--name", "kept", *QUICK])
    assert (run.path / "directions" / "kept" / "directions.safetensors").read_bytes() == before


def test_the_table_fits_a_terminal_and_says_all_in_short() -> None:
    k = 4
    one = torch.ones(k)
    found = Directions(
        torch.eye(k),
        singular_values=torch.tensor([12.345, 9.0, 9.0, 0.01]),
        shares=torch.tensor([0.5, 0.2, 0.2, 0.1]),
        gaps=torch.tensor([0.27, 0.0, 0.0, torch.inf]),
        sigma=one,
        layers=("layer 1",) * 3 + ("layer 4",),
        method="weights",
        activeness=torch.tensor([0.0623, 0.05, 0.04, 0.0]),
        step_sizes=torch.tensor([0.25, 0.5, 0.75, 1e-4]),
        stability=torch.tensor([1.0, 45.0, 2.0, 3.0]),
        seed_stability=torch.tensor([2.0, 5.0, 7.0, 1.0]),
        factors=("object hue", "wall"),
        effects=torch.tensor([[0.2, 0.6], [0.9, 0.0], [0.01, 0.0], [0.0, 0.0]]),
        readable=one[:2],
        spans=torch.tensor([[[math.nan] * 2, [-0.314, 0.28]]] * k),
        names=("", "[bold]x", "", ""),
    )
    file = io.StringIO()
    Console(file=file, width=80).print(table(found, found.ranking(), "t"))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert [line.split() for line in lines[1:]] == [
        ["#", "direction", "value", "share", "gap", "turns", "active", "step", "moves", "purity", "doubts"],
        ["0", "layer", "1", "·", "#1", "12.3", "50%", "0.270", "2°", "0.062", "0.25", "wall", "0.75"],
        ["−.31…+.28"],
        ["1", "[bold]x", "9", "20%", "0.000", "45°", "0.05", "0.5", "object", "hue", "1", "repeated"],
        ["layer", "1", "unstable"],
        ["2", "layer", "1", "·", "#3", "9", "20%", "0.000", "7°", "0.04", "0.75", "–", "repeated"],
        ["3", "layer", "4", "·", "#1", "0.01", "10%", "–", "3°", "0", "0.0001", "–", "still"],
    ]
