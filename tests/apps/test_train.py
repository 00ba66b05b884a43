"""``disentangle train`` and ``disentangle list``: what they accept, refuse and leave behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import RECIPES as TINY

from disentangle.apps import train
from disentangle.apps.cli import main
from disentangle.training.recipes import RECIPES
from disentangle.training.run import Run

SMALL = ["--model.base-channels", "2", "--model.max-channels", "4", "--model.encoder-channels", "2"]
SMALL += ["--batch-size", "4"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a command answers bad input with."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("disentangle: error: ")
    return lines[0]


def test_every_setting_can_be_changed_and_is_kept(tmp_path: Path) -> None:
    changes = ["--treatment.names", "nog", "olr", "--optimizer.betas", "0.8", "0.9", "--data.pictures", "50"]
    main(["train", "digits-vae", *SMALL, *changes, "--steps", "2", "--seed", "3", "--loss.beta", "2.5", "--out", "run"])
    run = Run.open(tmp_path / "run")
    assert run.step == 2
    recipe = run.recipe
    assert (recipe.seed, recipe.loss.beta, recipe.treatment.names) == (3, 2.5, ("nog", "olr"))
    assert (recipe.optimizer.betas, recipe.data.pictures, recipe.batch_size) == ((0.8, 0.9), 50, 4)
    assert run.config["name"] == "digits-vae"


def test_a_run_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    for expected in ("runs/tiny", "runs/tiny-2", "runs/tiny-3"):
        assert train.train("tiny", replace(TINY["vae"], steps=1)) == Path(expected)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["tiny", "tiny-2", "tiny-3"]


def test_resume_can_go_beyond_the_last_step(tmp_path: Path) -> None:
    train.train("tiny", replace(TINY["gan"], steps=2), Path("run"))
    main(["train", "--resume", "run", "--steps", "4"])
    run = Run.open(tmp_path / "run")
    assert run.step == 4
    assert run.recipe.steps == 4
    assert run.config["name"] == "tiny"


@pytest.mark.parametrize(("steps", "expected"), [("-5", "--steps -5 is behind"), ("1", "at step 2 already")])
def test_a_refused_resume_changes_nothing(
    steps: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.train("tiny", replace(TINY["vae"], steps=2), Path("run"))
    before = (tmp_path / "run/config.json").read_bytes()
    assert expected in refused(capsys, "train", "--resume", "run", "--steps", steps)
    assert (tmp_path / "run/config.json").read_bytes() == before


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    line = refused(capsys, "train", "digits-vae", *SMALL, "--steps", "1", "--out", "mine")
    assert "mine exists and is not empty" in line
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["digit-vae"], "unknown recipe 'digit-vae': did you mean digits-vae"),
        (["--steps", "3"], "the recipe's name comes first, got '--steps'"),
        (["digits-vae", "--data.name", "digit"], "unknown data set 'digit': did you mean digits?"),
        (["digits-vae", "--data.size", "48"], "size must be 32 or 64, got 48"),
        (["sprites-eigengan-nog", "--data.size", "100"], "size"),
        (["fashion-eigengan-nog", "--data.name", "digits", "--data.size", "48"], "size must be a power of two"),
        (["digits-vae", "--treatment.names", "nogg"], "unknown treatment 'nogg': did you mean nog?"),
        (["digits-vae", "--batch-size", "0"], "batch_size must be at least 1, got 0"),
        (["digits-vae", "--optimizer.betas", "1.5", "0.9"], "optimizer.betas must lie between 0 and 1"),
        (["digits-vae", "--loss.beta", "nan"], "loss.beta must be at least 0"),
        (["digits-vae", "--steps", "0"], "steps must be at least 1"),
        (["digits-vae", "--seed", "-1"], "seed must lie between 0 and"),
        (["digits-vae", "--seed", "99999999999999999999999"], "seed must lie between 0 and"),
        (["digits-vae", "--loss.beta", "-1"], "loss.beta must be at least 0"),
        (["digits-vae", "--optimizer.learning_rate", "nan"], "optimizer.learning_rate must be above 0"),
        (["anime-eigengan"], "root"),
        (["anime-eigengan", "--data.root", "nowhere"], "nowhere"),
        (["anime-eigengan", "--data.root", "."], "no picture"),
        (["digits-vae", "--model.rank", "5000"], "rank must lie between 1 and"),
        (["--resume", "nowhere"], "no run folder at nowhere"),
        (["--resume", "."], "not a run folder"),
    ],
)
def test_bad_input_gets_one_line_and_makes_no_folder(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(capsys, "train", *words)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_picture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        Image.effect_noise((40, 40), 50).convert("RGB").save(folder / f"{i}.jpg")
    whole = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(whole[: len(whole) // 2])
    line = refused(capsys, "train", "anime-eigengan", "--data.root", "pictures", "--data.size", "32")
    assert "1.jpg" in line
    assert not (tmp_path / "runs").exists()


def test_a_run_of_another_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.train("tiny", replace(TINY["vae"], steps=1), Path("run"))
    config = json.loads((tmp_path / "run/config.json").read_text())
    (tmp_path / "run/config.json").write_text(json.dumps(config | {"format": 0}))
    assert "format 0" in refused(capsys, "train", "--resume", "run")
    config["recipe"]["treatment"]["names"] = 5
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    assert "not a recipe of this version: treatment.names" in refused(capsys, "train", "--resume", "run")


def test_the_list_names_every_recipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "260")
    main(["list"])
    listed = capsys.readouterr().out
    for name, recipe in RECIPES.items():
        assert name in listed
        assert recipe.summary in listed
        recipe.check()
