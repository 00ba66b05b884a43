"""A run that is killed, at any moment, and resumed ends with the weights of one that was not, to the bit."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny import RECIPES, make_trainer
from torch import Tensor

from disentangle.errors import UserError
from disentangle.training import checkpoint
from disentangle.training.architectures import ResNetConfig
from disentangle.training.files import locked
from disentangle.training.hardware import make_accelerator
from disentangle.training.loop import Trainer
from disentangle.training.run import Run
from disentangle.treatments import TreatmentConfig

STEPS = 40

DEADLY = """
import os, pathlib, signal, sys
moments = 0
def deadly(original):
    def call(*arguments, **options):
        global moments
        moments += 1
        if moments == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    return call
os.replace, os.fsync = deadly(os.replace), deadly(os.fsync)
pathlib.Path.rename = deadly(pathlib.Path.rename)
from disentangle.apps.cli import main
main(["train", "--resume", sys.argv[2], "--device", "cpu"])
"""
"""Resumes a run and kills itself at its n-th call of what makes files last: in the middle of a checkpoint, between its
renaming and the removal of an older one, while a row of metrics is written."""


def contents(run: Path) -> dict[str, bytes]:
    """Bytes of every weight and of the optimisers' state after the last step."""
    folder = run / "checkpoints" / f"{STEPS:08d}"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))}


def untimed(run: Run) -> list[dict[str, float]]:
    """The recorded rows without the time."""
    return [{name: value for name, value in row.items() if name != "time"} for row in run.metrics()]


@pytest.mark.parametrize(
    ("kind", "moments"), [("gan", (23, 38, 90)), ("vae", (5, 61, 49)), ("classifier", (11, 45, 80))]
)
def test_killed_and_resumed_equals_never_stopped(
    tmp_path: Path, root: Path, kind: str, moments: tuple[int, ...]
) -> None:
    recipe = replace(RECIPES[kind], steps=STEPS, checkpoint_every=3, sample_every=7)
    make_trainer(tmp_path / "whole", recipe).train()
    expected = contents(tmp_path / "whole")
    assert len(expected) == (4 if kind == "gan" else 3)

    run = Run.draft(tmp_path / "killed", "tiny", recipe)
    run.create()
    environment = os.environ | {"PYTHONPATH": str(root)}
    reached = []
    for moment in (*moments, 10**9):
        process = subprocess.run(
            [sys.executable, "-c", DEADLY, str(moment), str(run.path)], env=environment, capture_output=True
        )
        assert process.returncode == (0 if moment == 10**9 else -signal.SIGKILL), process.stderr.decode()
        reached.append((run.checkpoints() or [0])[-1])
    assert reached[-2] < STEPS == reached[-1]
    assert any(reached[:-1]), "no run was killed after its first checkpoint"

    assert contents(run.path) == expected
    assert untimed(run) == untimed(Run.open(tmp_path / "whole"))
    assert [row["step"] for row in run.metrics()] == list(range(1, STEPS + 1))
    seconds = [row["time"] for row in run.metrics()]
    assert seconds == sorted(seconds)
    assert not list((run.path / "checkpoints").glob(".*")), "something half-written is left"


def resumed(run: Run) -> Trainer:
    return Trainer(run, run.data(), make_accelerator("cpu"))


@pytest.mark.parametrize("names", [("sn", "nog", "olr"), ("ow", "nog", "olr")], ids="+".join)
@pytest.mark.parametrize("kind", ["classifier", "gan"])
def test_weights_that_a_treatment_makes_of_others_go_on_to_the_bit(
    tmp_path: Path, kind: str, names: tuple[str, ...]
) -> None:
    recipe = replace(RECIPES[kind], steps=4, test_every=0, ema_pictures=30, treatment=TreatmentConfig(names))
    if kind == "classifier":
        model = ResNetConfig(depth="small", pool="covariance", pool_channels=4)
        recipe = replace(recipe, model=model, precision="bfloat16", channels_last="yes")
    make_trainer(tmp_path / "whole", recipe).train()

    killed = make_trainer(tmp_path / "killed", recipe)
    original = killed.step

    def step(number: int) -> dict[str, Tensor]:
        if number == 4:
            raise KeyboardInterrupt
        return original(number)

    killed.step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    assert killed.run.checkpoints() == [2]
    resumed(killed.run).train()
    whole, again = (tmp_path / name / "checkpoints/00000004" for name in ("whole", "killed"))
    files = sorted(str(file.relative_to(whole)) for file in whole.rglob("*.safetensors"))
    assert len(files) == (4 if kind == "gan" else 3)
    for file in files:
        assert (whole / file).read_bytes() == (again / file).read_bytes(), file
    raw = [name for name in load_file(whole / "trainer.safetensors") if name.startswith(checkpoint.RAW)]
    assert any(name.endswith(".original") for name in raw)


@pytest.mark.parametrize("kind", ["gan", "diffusion"])
def test_ctrl_c_keeps_the_step_in_which_it_is_pressed(tmp_path: Path, kind: str, ctrl_c: None) -> None:
    recipe = replace(RECIPES[kind], steps=5, checkpoint_every=5, log_every=2)
    make_trainer(tmp_path / "whole", recipe).train()
    stopped = make_trainer(tmp_path / "stopped", recipe)
    original = stopped.step

    def step(number: int) -> dict[str, Tensor]:
        if number == 3:
            signal.raise_signal(signal.SIGINT)
        return original(number)

    stopped.step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    assert stopped.run.checkpoints() == [3]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed(stopped.run).train()
    assert stopped.run.checkpoints() == [3, 5]
    assert untimed(stopped.run) == untimed(Run.open(tmp_path / "whole"))
    whole, again = (tmp_path / name / "checkpoints/00000005" for name in ("whole", "stopped"))
    for file in whole.rglob("*.safetensors"):
        assert file.read_bytes() == (again / file.relative_to(whole)).read_bytes(), file


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, ctrl_c: None) -> None:
    trainer = make_trainer(tmp_path / "run", replace(RECIPES["vae"], steps=4, checkpoint_every=2))

    def step(number: int) -> dict[str, Tensor]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it waited")

    trainer.step = step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.run.checkpoints() == []


def test_a_training_in_a_thread_leaves_ctrl_c_to_others(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", replace(RECIPES["vae"], steps=2))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(trainer.train).result()
    assert trainer.run.checkpoints() == [2]


def test_what_a_kill_leaves_half_done_is_passed_over(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", replace(RECIPES["vae"], steps=4))
    trainer.train()
    run = Run.open(tmp_path / "run")
    partial = run.path / "checkpoints" / ".00000006.abc"
    partial.mkdir()
    (partial / "trainer.json").write_text("{")
    with run.metrics_path.open("a") as file:
        file.write('{"step": 5, "vae/loss": 1.0}\n{"step": 6, "va')
    assert run.step == 4
    resumed(Run.draft(run.path, "tiny", replace(run.recipe, steps=5))).train()
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4, 5]
    assert not partial.exists()
    assert run.checkpoints() == [4, 5]


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.draft(tmp_path / "run", "tiny", RECIPES["gan"])
    run.create()
    trainer = resumed(run)
    calls = []

    def full(tensors: object, path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        original(tensors, path)

    original = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match=r"cannot write .*00000004: No space left on device; .* is kept"):
        trainer.train()
    assert run.checkpoints() == [2]
    assert not list((run.path / "checkpoints").glob(".*"))
    monkeypatch.undo()
    resumed(run).train()
    assert run.step == 6


@pytest.mark.parametrize("damage", ["truncate", "remove", "other"])
def test_a_damaged_checkpoint_is_told_in_one_line(tmp_path: Path, damage: str) -> None:
    make_trainer(tmp_path / "run", replace(RECIPES["vae"], steps=2)).train()
    run = Run.open(tmp_path / "run")
    weights = run.checkpoint_path(2) / "ema" / "diffusion_pytorch_model.safetensors"
    if damage == "truncate":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "remove":
        weights.unlink()
    else:
        (weights.parent / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(UserError, match=r"ema is incomplete|ema holds no network") as error:
        run.load_generator()
    assert "\n" not in str(error.value)
    if damage != "other":
        with pytest.raises(UserError, match="incomplete, damaged"):
            resumed(run).train()


def test_folders_that_are_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run folder at"):
        Run.open(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"not a run folder: it has no config\.json"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text("{]")
    with pytest.raises(UserError, match="cannot be read"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match="of another kind"):
        Run.open(tmp_path)
    (tmp_path / "config.json").write_text('{"format": 99, "version": "9.9", "kind": "gan", "recipe": {}}')
    with pytest.raises(UserError, match=r"format 99, written by version 9\.9"):
        Run.open(tmp_path)
    with pytest.raises(UserError, match="exists and is not empty"):
        Run.draft(tmp_path, "tiny", RECIPES["gan"]).create()
    assert Run.find(tmp_path) == []


def test_one_process_at_a_time_trains_a_run(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", replace(RECIPES["vae"], steps=2))
    with locked(tmp_path / "run"), pytest.raises(UserError, match="another process is training in"):
        trainer.train()
    trainer.train()
    assert trainer.run.step == 2


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    make_trainer(tmp_path / "run", replace(RECIPES["vae"], steps=2)).train()
    run = Run.open(tmp_path / "run")
    folder = run.checkpoint_path(2)
    (folder / "ema/diffusion_pytorch_model.safetensors").write_bytes((folder / "trainer.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"ema is damaged or of another kind: its weights and its config\.json differ"):
        run.load_generator()


def test_other_things_among_the_checkpoints_are_passed_over(tmp_path: Path) -> None:
    make_trainer(tmp_path / "run", replace(RECIPES["vae"], steps=2)).train()
    (tmp_path / "run/checkpoints/99999999").mkdir()
    assert Run.open(tmp_path / "run").step == 2
    with (tmp_path / "run/metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 3, "\xff')
    assert [row["step"] for row in Run.open(tmp_path / "run").metrics()] == [1, 2]
    with pytest.raises(UserError, match=r"it holds run: name one"):
        Run.open(tmp_path)
    with pytest.raises(UserError, match=r"did you mean .*run"):
        Run.open(tmp_path / "ruin")
