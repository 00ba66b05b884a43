"""The README's commands are run, and its links and pictures exist.

Every line of a ``sh``, ``bash`` or ``console`` block is a command that some rule below covers; one without a rule is a
failure. ``disentangle`` commands run in the README's order in one temporary folder, exactly as written but for the
options in ``SHORTER``, which are put behind and so override what the README says. Where ``--help`` is put behind, every
option that the README uses must be among those that the help describes. ``python`` blocks run in the same folder. The
commands of other pages, some of which took hours, are all checked with ``--help``.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from disentangle.apps.cli import COMMANDS, main

SHORTER = {
    "demo": ["--help"],  # tested by itself; takes minutes
    "app": ["--help"],  # serves until it is stopped
    "train": ["--steps", "2"],
    "sweep": ["--steps", "2", "--no-evaluate"],
    "encode": ["--steps", "2", "--test-pictures", "20"],
    "discover": ["--seeds", "0", "--no-steps", "--no-factors"],
    "invert": ["--steps", "2"],
    "evaluate": ["--samples", "30", "--train-samples", "200", "--test-samples", "100"],
}
NOT_RUN = ("git", "cd", "sudo")  # getting the code and system packages
FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(<?([^)>\s]+)>?[^)]*\)|(?:src|href|srcset)=\"([^\"]+)\"")


def blocks(text: str, *languages: str) -> list[str]:
    """The contents of the fenced blocks of these ``languages``."""
    return [content for language, content in FENCE.findall(text) if language in languages]


def commands(text: str) -> list[list[str]]:
    """The commands of a page, each split into words, without comments, and with the program's folder left out."""
    found = []
    for block in blocks(text, "sh", "bash", "console"):
        prompted = re.search(r"^ *\$ ", block, re.MULTILINE)
        for line in block.replace("\\\n", " ").splitlines():
            if prompted and not line.lstrip().startswith("$ "):
                continue  # what the command answers
            for part in line.strip().removeprefix("$ ").split(" && "):
                words = shlex.split(part, comments=True)
                while words and re.match(r"[A-Z_]+=", words[0]):  # an environment variable before the command
                    words = words[1:]
                if words:
                    found.append([Path(words[0]).name, *words[1:]])
    return found


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root), "CI": "true", "COLUMNS": "200"}


def call(words: list[str], folder: Path, root: Path) -> str:
    done = subprocess.run(words, cwd=folder, env=environment(root), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def help_of(words: list[str]) -> str:
    """What a command says of itself; in this process, since there are many."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main(words)
    assert not ended.value.code, words
    return said.getvalue()


def check_command(words: list[str], folder: Path, root: Path, shorter: dict[str, list[str]]) -> None:
    """Run one command by its rule, with the options in ``shorter`` behind it."""
    match words:
        case ["disentangle", command, *rest]:
            behind = shorter.get(command, [])
            if "--help" not in behind:
                call([sys.executable, "-m", "disentangle", command, *rest, *behind], folder, root)
            else:
                output = help_of([command, *rest, *behind])
                for option in re.findall(r"--[\w-]+", " ".join(rest)):
                    assert re.search(rf"{option}(?![\w-])", output), f"`disentangle {command}` has no {option}"
        case ["make", *rest]:
            call(["make", "-n", *rest], root, root)
        case ["pip", "install", *what]:
            check_pip(what, root)
        case ["pytest", *rest] | ["python", "-m", "pytest", *rest]:
            paths = [word for word in rest if word.endswith(".py") or "/" in word]
            assert paths, words
            assert all((root / path.partition("::")[0]).exists() for path in paths), words
        case ["python", script, *_] if script.endswith(".py"):
            assert (root / script).exists(), words
        case ["pre-commit", "install"]:
            pass
        case [program, *_] if program in NOT_RUN:
            pass
        case _:
            pytest.fail(f"no rule for the README's command `{shlex.join(words)}`: add one here")


def check_pip(what: list[str], root: Path) -> None:
    """What is installed is this project, with extras that it has."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for target in (word for word in what if not word.startswith("-")):
        name, _, extras = target.rstrip("]").partition("[")
        assert name in (".", project["name"]), f"`pip install {target}` installs something else"
        assert set(filter(None, extras.split(","))) <= set(project["optional-dependencies"])


@pytest.mark.timeout(900)
def test_the_commands_of_the_readme_work(root: Path, tmp_path: Path) -> None:
    text = (root / "README.md").read_text()
    for words in commands(text):
        check_command(words, tmp_path, root, SHORTER)
    for code in blocks(text, "python", "py"):
        call([sys.executable, "-c", code], tmp_path, root)


def test_the_readme_has_the_two_commands(root: Path) -> None:
    found = commands((root / "README.md").read_text())
    assert ["make", "demo"] in found
    assert ["make", "test"] in found


def pages(root: Path) -> list[Path]:
    """All pages that a reader may come to."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]


def test_the_commands_of_other_pages_exist(root: Path, tmp_path: Path) -> None:
    for page in pages(root)[1:]:
        for words in commands(page.read_text()):
            check_command(words, tmp_path, root, {name: ["--help"] for name in COMMANDS})


def test_links_and_pictures_exist(root: Path) -> None:
    for page in pages(root):
        text = FENCE.sub("", page.read_text())
        for target in (match[1] or match[2] for match in LINK.finditer(text)):
            if not re.match(r"[a-z]+:|#", target):
                assert (page.parent / unquote(target.partition("#")[0])).exists(), f"{page} links to {target}"


def test_the_parser_of_commands() -> None:
    text = """
```sh
make demo   # minutes
disentangle train x \\
    --steps 5
```
```console
$ .venv/bin/disentangle list && cd y
an answer
```
```python
no command
```
"""
    assert commands(text) == [
        ["make", "demo"],
        ["disentangle", "train", "x", "--steps", "5"],
        ["disentangle", "list"],
        ["cd", "y"],
    ]
