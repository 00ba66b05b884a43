"""``disentangle discover`` end to end, on an untrained run."""

import io
import logging
from pathlib import Path

import pytest
import torch
from PIL import Image

from disentangle.apps import discover
from disentangle.apps.cli import main
from disentangle.directions import Directions
from disentangle.errors import UserError
from disentangle.training.run import Run
from tests.runs import gan_run, vae_run

FILES = ["directions.json", "directions.safetensors", "strips.png", "traversal.gif"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return gan_run(tmp_path_factory.mktemp("discover") / "tiny")


def test_writes_its_four_files_and_a_table(
    run: Run, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        discover.main([str(run.path), "--directions", "3", "--seed", "5", "--rows", "2", "--samples", "2"])
    folder = run.path / "directions" / "subspace"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    found = Directions.load(folder)
    assert len(found) == 18
    assert (found.seed, found.weights) == (5, run.weights_hash())
    assert not found.activeness.isnan().any()
    out = capsys.readouterr().out
    labels = [found.labels[k] for k in found.ranking()]
    assert all(label in out for label in labels[:3])
    assert labels[3] not in out
    assert all(word in out for word in ("spectrum", "gap", "activity"))
    assert str(folder) in caplog.text
    assert "seed 5" in caplog.text
    strips, gif = Image.open(folder / "strips.png"), Image.open(folder / "traversal.gif")
    assert strips.height > 3 * 2 * 96
    assert gif.n_frames == 40  # type: ignore[attr-defined]


def test_the_same_seed_gives_the_same_bytes(run: Run) -> None:
    folder = run.path / "directions" / "weights"
    arguments = [str(run.path), "--method", "weights", "--directions", "2", "--samples", "1", "--layer", "layer 2"]
    contents = []
    for _ in range(2):
        discover.main(arguments)
        contents.append([(folder / name).read_bytes() for name in FILES])
    assert contents[0] == contents[1]
    assert set(Directions.load(folder).layers) == {"layer 2"}


def test_colour_pictures(tmp_path: Path) -> None:
    run = vae_run(tmp_path / "vae")
    discover.main([str(run.path), "--method", "random", "--directions", "1", "--samples", "1"])
    strips = Image.open(io.BytesIO((run.path / "directions" / "random" / "strips.png").read_bytes()))
    pixels = torch.frombuffer(bytearray(strips.tobytes()), dtype=torch.uint8).view(-1, 3).int()
    assert (pixels.amax(1) - pixels.amin(1)).max() > 10, "some pixel is not grey"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "wieghts"], r"unknown discovery method 'wieghts': did you mean weights\?"),
        (["--layer", "layer 7"], r"unknown layer 'layer 7'.*possible: layer 1, layer 2, layer 3"),
        (["--directions", "0"], r"--directions must be at least 1, got 0"),
        (["--rows", "-1"], r"--rows must be at least 1, got -1"),
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
