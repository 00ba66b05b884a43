"""The command line: help, near misses, exit codes. Each call is a process of its own, as for a user."""

import subprocess
import sys
from pathlib import Path

import pytest

from disentangle.apps.cli import COMMANDS, main

HEAVY = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "sklearn",
    "PIL",
    "diffusers",
    "accelerate",
    "lpips",
    "gradio",
    "tyro",
    "rich",
)


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, timeout=120)


def disentangle(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(root, "-m", "disentangle", *arguments)


def one_line_error(done: subprocess.CompletedProcess[str]) -> str:
    """The message of a command that was given bad input: exit code 2 and one line, nothing else."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("disentangle: error: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    return done.stderr


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_every_command(root: Path, arguments: list[str]) -> None:
    done = disentangle(root, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert summary in done.stdout
    assert "example:" in done.stdout


def test_help_waits_for_nothing_heavy(root: Path) -> None:
    code = f"""
import sys
from disentangle.apps.cli import main
main(["--help"])
sys.stderr.write(" ".join(sorted(set(sys.modules) & {set(HEAVY)!r})))
"""
    done = python(root, "-c", code)
    assert done.returncode == 0
    assert done.stderr == ""


def test_torch_says_nothing_of_itself_when_it_is_interrupted_on_its_way(root: Path) -> None:
    code = """
import logging
from disentangle.apps.cli import main
main(["--version"])
logging.getLogger("torch._subclasses.fake_tensor").info("FakeTensor cache stats:")
"""
    assert python(root, "-c", code).stderr == ""


def test_version(root: Path) -> None:
    done = disentangle(root, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("disentangle ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(root: Path, command: str) -> None:
    done = disentangle(root, command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert f"usage: disentangle {command}" in done.stdout
    example = done.stdout.lower().partition("example")[2]
    assert f"disentangle {command}" in example


@pytest.mark.parametrize(("typed", "meant"), [("trian", "train"), ("evalute", "evaluate"), ("ap", "app")])
def test_an_unknown_command_is_told_its_near_misses(root: Path, typed: str, meant: str) -> None:
    message = one_line_error(disentangle(root, typed))
    assert repr(typed) in message
    assert f"did you mean {meant}" in message


def test_an_unknown_command_is_told_what_is_possible(root: Path) -> None:
    message = one_line_error(disentangle(root, "zzz"))
    assert "did you mean" not in message
    assert all(name in message for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_refused_without_a_traceback(root: Path, command: str) -> None:
    # Without a run, that is what is said to be missing.
    run = ["some-run"] * (command in ("evaluate", "encode", "import", "discover", "compare", "render", "invert"))
    done = disentangle(root, command, *run, "--no-such-option")
    assert "no-such-option" in one_line_error(done)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "1.5"], "--steps: expected a whole number, got '1.5': --steps INT training steps."),
        (["--optimizer.learning-rate", "fast"], "--optimizer.learning-rate: expected a number, got 'fast': "),
    ],
)
def test_a_value_of_the_wrong_type_is_said_plainly(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["train", "sprites-vae", *words])
    error = capsys.readouterr().err
    assert error.startswith(f"disentangle: error: {said}")
    assert error.endswith("`disentangle train sprites-vae --help` shows all\n")
    assert error.count("\n") == 1
