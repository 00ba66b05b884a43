"""``disentangle sweep``: what is trained, what is passed over, and what a kill or a failure leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import RECIPES as TINY

from disentangle.apps import sweep_jobs
from disentangle.apps.cli import main
from disentangle.apps.sweep_jobs import Pool, cores, next_stage, progress_of, spell, words_of
from disentangle.apps.sweep_plan import Plan, agree, parse_treatments, parse_vary, with_setting
from disentangle.errors import UserError
from disentangle.training.files import locked
from disentangle.training.recipes import RECIPES
from disentangle.training.run import Run

# Stands for `disentangle train` and `evaluate`: leaves what they leave, or does as it is told.
FAKE = """
import json, os, sys, time
from pathlib import Path
stage, path = sys.argv[1], Path(sys.argv[2])
with open(path.parent / ".calls", "a") as calls:
    calls.write(f"{stage} {path.name} {os.environ['OMP_NUM_THREADS']}\\n")
mode = path / stage
mode = mode.read_text() if mode.exists() else ""
if mode == "fail":
    print("disentangle: error: it went wrong")
    sys.exit(2)
if mode == "die":
    os.kill(os.getpid(), 9)
if mode == "sleep":
    time.sleep(60)
step = json.loads((path / "config.json").read_text())["recipe"]["steps"]
if stage == "train":
    folder = path / "checkpoints" / f"{step:08d}"
    folder.mkdir(parents=True)
    (folder / "trainer.json").write_text("{}")
elif mode != "nothing":
    scores = [{"name": "MIG", "value": 0.5, "better": "higher", "variant": "v"}]
    (path / "report.json").write_text(json.dumps({"step": step, "scores": scores}))
"""
CALL = ["sweep", "tiny", "--treatments", "none", "nog", "--seeds", "0", "1", "--jobs", "2", "--out", "out"]


@pytest.fixture(autouse=True)
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], list[str]]:
    """A recipe that is small, and children that do not train."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "tiny", TINY["vae"])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / ".fake.py").write_text(FAKE)

    def words(stage: str, path: Path) -> list[str]:
        return [sys.executable, str(tmp_path / ".fake.py"), stage, str(path)]

    monkeypatch.setattr(sweep_jobs, "words_of", lambda device: words)
    return words


def calls(folder: Path = Path("out")) -> list[str]:
    """What was started, in order, as ``stage run``."""
    path = folder / ".calls"
    return [line.rpartition(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("disentangle: error: ")]
    assert len(lines) == 1, lines
    return lines[0]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_treatment_and_seed_is_trained_scored_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    main([*CALL, "--model.rank", "1", "--steps", "4"])
    names = ["none-s0", "nog-s0", "none-s1", "nog-s1"]
    assert sorted(calls()) == sorted(f"{stage} {name}" for stage in ("train", "evaluate") for name in names)
    assert {call.split()[1] for call in calls()[:2]} == {"none-s0", "nog-s0"}  # all treatments of a seed first
    threads = {line.split()[2] for line in Path("out/.calls").read_text().splitlines()}
    assert threads == {str(max(1, cores() // 2))}
    for name in names:
        recipe = Run.open(f"out/{name}").recipe
        assert (recipe.seed, recipe.model.rank, recipe.steps) == (int(name[-1]), 1, 4)
        assert recipe.treatment.names == (("nog",) if name.startswith("nog") else ())
        assert recipe.precision == "float32"
    saved = json.loads(Path("out/sweep.json").read_text())
    assert (saved["recipe"], saved["treatments"], saved["seeds"]) == ("tiny", [[], ["nog"]], [0, 1])
    assert saved["settings"]["model"]["rank"] == 1
    groups = json.loads(Path("out/compare.json").read_text())["groups"]
    assert [(group["label"], len(group["runs"])) for group in groups] == [("none", 2), ("nog", 2)]
    assert "0.500" in capsys.readouterr().out

    # Called again it has nothing to do.
    before = {name: content for name, content in snapshot(Path("out")).items() if "compare." not in name}
    main([*CALL, "--model.rank", "1", "--steps", "4"])
    assert {name: content for name, content in snapshot(Path("out")).items() if "compare." not in name} == before


def test_scoring_can_be_left_out_and_made_up_for() -> None:
    main([*CALL, "--no-evaluate"])
    assert {call.split()[0] for call in calls()} == {"train"}
    main(CALL)
    assert sorted(calls()[4:]) == ["evaluate nog-s0", "evaluate nog-s1", "evaluate none-s0", "evaluate none-s1"]


def test_by_default_the_recipes_own_treatment_and_three_seeds() -> None:
    main(["sweep", "tiny", "--no-evaluate", "--out", "out"])
    assert calls() == ["train nog-s0", "train nog-s1", "train nog-s2"]
    assert {line.split()[2] for line in Path("out/.calls").read_text().splitlines()} == {str(cores())}


def test_threads_that_the_user_has_set_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    main(["sweep", "tiny", "--seeds", "0", "--no-evaluate", "--out", "out"])
    assert Path("out/.calls").read_text() == "train nog-s0 7\n"


def plan_folders() -> None:
    """The folders of ``CALL``, with nothing trained."""
    recipe = replace(TINY["vae"], precision="float32")
    plan = Plan("tiny", TINY["vae"], ((), ("nog",)), (0, 1))
    Path("out").mkdir()
    agree(Path("out"), plan)
    for name, wanted in plan.runs().items():
        Run.draft(Path("out") / name, "tiny", replace(wanted, precision=recipe.precision)).write_config()


@pytest.mark.parametrize(
    ("stage", "mode", "why"),
    [
        ("train", "fail", "exit code 2: it went wrong"),
        ("train", "die", "ended by the signal SIGKILL"),
        ("evaluate", "fail", "exit code 2: it went wrong"),
    ],
)
def test_a_failure_is_told_at_the_end_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str], stage: str, mode: str, why: str
) -> None:
    plan_folders()
    (Path("out/none-s0") / stage).write_text(mode)
    line = refused(capsys, *CALL)
    assert f"1 of 4 runs failed: none-s0 ({why})" in line
    groups = json.loads(Path("out/compare.json").read_text())["groups"]
    assert sum(len(group["runs"]) for group in groups) == (3 if stage == "train" else 4)

    # Mended, it is tried again, and nothing else.
    (Path("out/none-s0") / stage).unlink()
    before = len(calls())
    main(CALL)
    assert calls()[before:] == [f"{stage} none-s0"] + ["evaluate none-s0"] * (stage == "train")


def test_a_stage_that_leaves_nothing_is_not_tried_for_ever(fake: Any) -> None:
    plan_folders()
    (Path("out/none-s0") / "evaluate").write_text("nothing")
    pool = Pool(1, True, fake, dict(os.environ))
    failures = pool.work([Path("out/none-s0")])
    assert failures == {Path("out/none-s0"): "it left nothing behind"}
    assert calls() == ["train none-s0", "evaluate none-s0"]


def test_an_interrupt_leaves_no_process(monkeypatch: pytest.MonkeyPatch, fake: Any) -> None:
    plan_folders()
    paths = [Path("out/none-s0"), Path("out/nog-s0")]
    for path in paths:
        (path / "train").write_text("sleep")
    pool = Pool(2, False, fake, dict(os.environ))
    started: list[subprocess.Popen[bytes]] = []

    def interrupt(seconds: float) -> None:
        if not started:
            started.extend(job.process for job in pool.running)
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep_jobs.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.work(paths)
    assert len(started) == 2
    assert [process.returncode for process in started] == [-signal.SIGTERM] * 2


def test_a_second_sweep_at_the_same_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    with locked(Path("out")):
        assert "another process" in refused(capsys, *CALL)
    assert calls() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--steps", "5"], "whose steps is 6 and not 5"),
        (["--seeds", "0", "1", "2"], "whose seeds is [0, 1] and not [0, 1, 2]"),
        (["--treatments", "none"], "whose treatments is"),
        (["--vary", "model.rank=1,2"], "whose vary.model.rank is None"),
    ],
)
def test_another_sweep_in_the_same_folder_is_refused(
    capsys: pytest.CaptureFixture[str], change: list[str], said: str
) -> None:
    plan_folders()
    before = snapshot(Path("out"))
    assert said in refused(capsys, *CALL, *change)
    assert snapshot(Path("out")) == before


def test_what_is_no_sweep_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/thesis.txt").write_text("years of work")
    assert "holds no sweep, but thesis.txt" in refused(capsys, *CALL)
    assert list(snapshot(Path("out"))) == ["out/thesis.txt"]


def test_another_run_in_the_place_of_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    plan_folders()
    Run.draft(Path("out/nog-s1"), "tiny", replace(TINY["vae"], steps=99)).write_config()
    assert "nog-s1 holds another run than the sweep's" in refused(capsys, *CALL)
    assert calls() == []


def test_runs_go_on_in_the_precision_that_the_sweep_was_begun_in() -> None:
    recipe = replace(TINY["vae"], precision="auto")
    RECIPES["tiny"] = recipe  # put back by the fixture
    agree_to = Plan("tiny", recipe, ((), ("nog",)), (0, 1))
    Path("out").mkdir()
    agree(Path("out"), agree_to)
    begun = replace(agree_to.runs()["none-s0"], precision="float64")
    Run.draft(Path("out/none-s0"), "tiny", begun).write_config()
    main([*CALL, "--no-evaluate"])
    assert {Run.open(path.parent).recipe.precision for path in Path("out").glob("*/config.json")} == {"float64"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--jobs", "2"], "the recipe's name comes first, got '--jobs'"),
        (["tinyy"], "unknown recipe 'tinyy': did you mean tiny"),
        (["tiny", "--treatments", "nogg"], "unknown treatment 'nogg': did you mean nog"),
        (["tiny", "--treatments", "nog+nog"], "nog+nog is named twice"),
        (["tiny", "--treatments", "nog+ol", "ol+nog"], "ol+nog is named twice"),
        (["tiny", "--seeds"], "--seeds needs at least one seed"),
        (["tiny", "--seeds", "-1"], "seed must lie between"),
        (["tiny", "--seeds", "1", "1"], "the run nog-s1 is in the sweep twice"),
        (["tiny", "--seed", "3"], "--seed is not for a sweep, which has --seeds"),
        (["tiny", "--treatments", "ol", "--treatment.names", "nog"], "which has --treatments"),
        (["tiny", "--jobs", "0"], "--jobs must be at least 1"),
        (["tiny", "--no-such-thing", "3"], "no-such-thing"),
        (["tiny", "--steps", "0"], "steps must be at least 1"),
        (["tiny", "--model.rank", "5000"], "rank must lie between"),
        (["tiny", "--data.name", "digit"], "unknown data set 'digit'"),
        (["tiny", "--vary", "model.rank"], "--vary takes SETTING=VALUE"),
        (["tiny", "--vary", "model.rank=1,"], "--vary takes SETTING=VALUE"),
        (["tiny", "--vary", "model.rnk=1"], "unknown setting 'model.rnk': did you mean model.rank"),
        (["tiny", "--vary", "model.rank=many"], "model.rank cannot be 'many'; it is 2 in the recipe"),
        (["tiny", "--vary", "seed=1,2"], "--vary seed: use --seeds"),
        (["tiny", "--vary", "model.rank=1", "model.rank=2"], "names model.rank twice"),
        (["tiny", "--out", ".fake.py"], "--out must be a folder"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_run(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in refused(capsys, "sweep", *words)
    assert list(Path().glob("*/*/config.json")) == []
    assert list(Path().rglob(".calls")) == []


def test_settings_that_vary_are_combined() -> None:
    vary = parse_vary(["model.rank=1,2", "optimizer.learning-rate=0.1"])
    runs = Plan("tiny", TINY["vae"], ((), ("ol",)), (0,), vary).runs()
    assert {name: (r.model.rank, r.optimizer.learning_rate, r.treatment.names) for name, r in runs.items()} == {
        "none-rank=1-learning_rate=0.1-s0": (1, 0.1, ()),
        "none-rank=2-learning_rate=0.1-s0": (2, 0.1, ()),
        "ol-rank=1-learning_rate=0.1-s0": (1, 0.1, ("ol",)),
        "ol-rank=2-learning_rate=0.1-s0": (2, 0.1, ("ol",)),
    }


def test_names_of_folders_stay_in_the_folder() -> None:
    runs = Plan("tiny", TINY["vae"], ((),), (0,), {"data.root": ("../a/b", "c d")}).runs()
    assert list(runs) == ["none-root=.._a_b-s0", "none-root=c_d-s0"]


def test_the_help_of_a_recipe_has_its_settings_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "tiny", "--jobs", "2", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--treatments", "--vary", "--no-evaluate", "--steps", "--model.rank", "--optimizer.learning-rate"):
        assert option in shown


def test_treatments_are_read() -> None:
    assert parse_treatments(["none", "nog", "olr+nog"]) == ((), ("nog",), ("olr", "nog"))
    assert parse_treatments([]) == ()


def test_a_setting_is_changed_and_nothing_else() -> None:
    changed = with_setting(TINY["vae"], "data.flip", "true")
    assert changed == replace(TINY["vae"], data=replace(TINY["vae"].data, flip=True))
    with pytest.raises(UserError, match="unknown setting"):
        with_setting(TINY["vae"], "data", "x")


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s"), (600, "10 min"), (12_000, "3 h 20 min")])
def test_lengths_of_time(seconds: float, words: str) -> None:
    assert spell(seconds) == words


def test_how_far_a_run_is() -> None:
    plan_folders()
    path = Path("out/none-s0")
    assert (progress_of(path), next_stage(path, True)) == (0.0, "train")
    (path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 3}\n{"ste')
    assert progress_of(path) == 0.5
    (path / "metrics.jsonl").write_text('{"step": 6}\n')  # killed before its checkpoint
    assert progress_of(path) < 1
    (path / "checkpoints/00000006").mkdir(parents=True)
    assert next_stage(path, True) == "train"
    (path / "checkpoints/00000006/trainer.json").write_text("{}")
    assert (progress_of(path), next_stage(path, True), next_stage(path, False)) == (1.0, "evaluate", "")
    (path / "report.json").write_text("{cut")  # damaged: made again
    assert next_stage(path, True) == "evaluate"


def test_a_run_that_is_removed_meanwhile_does_not_end_the_sweep() -> None:
    plan_folders()
    paths = sorted(Path("out").glob("*-s*"))
    shutil.rmtree(paths[0])
    failures = Pool(1, False, lambda stage, path: [sys.executable, "-c", ""], {}).work(paths)
    assert "no run folder" in failures[paths[0]]
    assert set(failures) == set(paths), "the others left nothing behind"


PARENT = """
import json, subprocess, sys, time
child = subprocess.Popen(json.loads(sys.argv[1]), stdin=subprocess.PIPE)
time.sleep(600)
"""


@pytest.fixture
def long_run(tmp_path: Path) -> Run:
    """A run that would take minutes, of which nothing is done."""
    recipe = replace(TINY["vae"], steps=100_000, checkpoint_every=5, sample_every=100_000)
    run = Run.draft(tmp_path / "long", "tiny", recipe)
    run.write_config()
    return run


@pytest.fixture
def parent(long_run: Run, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has a training as its child, as a sweep has."""
    command = [sys.executable, "-c", PARENT, json.dumps(words_of("cpu")("train", long_run.path))]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"})
    yield process
    process.kill()
    process.wait()


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


def free(folder: Path) -> bool:
    """Whether nothing trains there."""
    try:
        with locked(folder):
            return True
    except UserError:
        return False


def test_a_killed_process_takes_its_training_along_and_another_goes_on_with_it(
    parent: subprocess.Popen[bytes], long_run: Run, root: Path
) -> None:
    wait_for(lambda: bool(long_run.checkpoints()), 120)
    assert not free(long_run.path)
    parent.kill()  # nothing in it can react
    parent.wait()
    wait_for(lambda: free(long_run.path), 30)
    reached = long_run.step
    assert reached % 5 == 0
    assert next_stage(long_run.path, False) == "train"

    recipe = replace(long_run.recipe, steps=reached + 5)
    Run.draft(long_run.path, "tiny", recipe).write_config()
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    assert Pool(1, False, words_of("cpu"), environment).work([long_run.path]) == {}
    assert Run.open(long_run.path).step == reached + 5
    assert f"from step {reached}" in (long_run.path / sweep_jobs.LOG).read_text()
