"""``disentangle demo`` from nothing to a report, with a training small enough for a test."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import RECIPES as TINY

from disentangle.apps import demo
from disentangle.apps.cli import main
from disentangle.training.recipes import RECIPES
from disentangle.training.run import Run


@pytest.fixture(autouse=True)
def tiny_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, demo.RECIPE, TINY["vae"])
    monkeypatch.setattr(demo, "EVALUATE", ("--train-samples", "60", "--test-samples", "40", "--samples", "12"))


def test_the_demo_trains_scores_discovers_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["demo", "--no-serve"])
    run = Run.open(tmp_path / "runs/demo")
    assert run.step == TINY["vae"].steps
    shown = capsys.readouterr().out
    assert "MIG" in shown
    for name in ("report.html", "directions/subspace/strips.png", "directions/subspace/traversal.gif"):
        assert (run.path / name).stat().st_size > 1_000
        assert f"runs/demo/{name}" in shown
    scores = {score["name"]: score for score in json.loads((run.path / "report.json").read_text())["scores"]}
    assert scores["MIG"]["baselines"].keys() >= {"rotated", "perfect", "noise"}

    # A demo that is done is not done again.
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    main(["demo", "--no-serve"])
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()} == before


def test_a_demo_that_was_stopped_goes_on(tmp_path: Path) -> None:
    recipe = TINY["vae"]
    run = Run.draft(tmp_path / "runs/demo", demo.RECIPE, recipe)
    run.create()  # killed before the first checkpoint
    main(["demo", "--no-serve"])
    assert run.step == recipe.steps
    assert (run.path / "report.html").exists()


def test_another_run_in_its_place_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Run.draft(tmp_path / "runs/demo", "other", replace(TINY["vae"], seed=5)).create()
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--no-serve"])
    assert stop.value.code == 2
    assert "holds another run than the demo's" in capsys.readouterr().err
    assert not (tmp_path / "runs/demo/checkpoints").exists()
