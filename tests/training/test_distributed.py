"""Two processes train as one on the whole batch."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import RECIPES, make_trainer

from disentangle.training.architectures import ResNetConfig
from disentangle.training.recipe import Recipe
from disentangle.training.run import Run
from disentangle.treatments import TreatmentConfig

STEPS = 5


def recipe_of(kind: str, *names: str) -> Recipe:
    recipe = RECIPES[kind]
    data, treatment = replace(recipe.data, flip=True), TreatmentConfig(names)
    return replace(recipe, precision="float64", steps=STEPS, data=data, treatment=treatment)


CASES = {kind: recipe_of(kind, "ol", "nog", "olr") for kind in sorted(RECIPES)} | {
    # both meta-layers, and both kinds of orthogonal weights
    "orthogonal weights": replace(
        recipe_of("classifier", "ow", "nog", "olr"),
        model=ResNetConfig(depth="small", pool="covariance", pool_channels=4),
    )
}

TOGETHER = """
import sys
from disentangle.training.hardware import finish, make_accelerator
from disentangle.training.loop import Trainer
from disentangle.training.run import Run
accelerator = make_accelerator("cpu")
for path in sys.argv[1:]:
    run = Run.open(path)
    Trainer(run, run.data(), accelerator).train()
    accelerator.wait_for_everyone()
finish(accelerator)
"""
"""Trains some runs, one after another: most of the time would go into starting processes for each."""


def launch(root: Path, *words: str | Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [sys.executable, *launcher, *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A folder with a run of every case, trained by two processes."""
    folder = tmp_path_factory.mktemp("together")
    for name, recipe in CASES.items():
        Run.draft(folder / name, "tiny", recipe).create()
    script = folder / "together.py"
    script.write_text(TOGETHER)
    launch(root, script, *(folder / name for name in CASES))
    return folder


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    files = sorted(run.checkpoint_path(STEPS).glob("*/*.safetensors"))
    return {f"{file.parent.name}.{name}": tensor for file in files for name, tensor in load_file(file).items()}


def check_equal(one: Run, two: Run) -> None:
    alone, together = weights_of(one), weights_of(two)
    assert len(alone) > 0
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        assert tensor.dtype in (torch.float64, torch.int64)
        assert torch.allclose(tensor, together[name], rtol=0, atol=1e-9), name
    assert len(one.metrics()) == len(two.metrics()) == STEPS
    rows = [run.metrics()[-1] | {"time": 0.0} for run in (one, two)]
    for row in rows:  # the pooling's covariances are those of the first process's first pictures
        for name in [name for name in row if name.endswith("/pooling")]:
            del row[name]
    assert rows[0] == pytest.approx(rows[1], rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(tmp_path: Path, together: Path, name: str) -> None:
    trainer = make_trainer(tmp_path / "run", CASES[name])
    trainer.train()
    assert {file.parent.name for file in trainer.run.checkpoint_path(STEPS).glob("*/*.safetensors")} == {
        *trainer.networks,
        "ema",
    }
    check_equal(trainer.run, Run.open(together / name))


def test_the_command_trains_on_two_processes(tmp_path: Path, together: Path, root: Path) -> None:
    run = Run.draft(tmp_path / "run", "tiny", CASES["vae"])
    run.create()
    launch(root, "-m", "disentangle", "train", "--resume", run.path, "--device", "cpu")
    check_equal(run, Run.open(together / "vae"))
