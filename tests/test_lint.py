"""The checks of `make lint` see all of the code, once, and fail where they should."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(sys.executable).parent
FOLDERS = ("disentangle", "models", "metrics", "apps")


def tool(cwd: Path, name: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(TOOLS / name), *arguments]
    return subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, timeout=200)


def test_ruff_sees_every_file_once(root: Path) -> None:
    seen = [Path(line) for line in tool(root, "ruff", "check", "--show-files", ".").stdout.splitlines()]
    seen = [path for path in seen if path.suffix == ".py" and path.relative_to(root).parts[0] in FOLDERS]
    there = [Path(here) / name for folder in FOLDERS for here, _, names in os.walk(root / folder) for name in names]
    assert sorted(seen) == sorted(path for path in there if path.suffix == ".py")


@pytest.mark.parametrize("name", ["models", "metrics", "apps"])
@pytest.mark.parametrize("line", ["import {}", "from {} import x", "from {}.y import x"])
def test_a_bare_name_is_an_import_error(root: Path, name: str, line: str) -> None:
    options = (
        "check",
        "--select=TID251",
        "--output-format=concise",
        f"--stdin-filename={root / 'models' / 'new.py'}",
        "-",
    )
    wrong = tool(root, "ruff", *options, text=line.format(name) + "\n")
    assert wrong.returncode == 1
    assert f"TID251 `{name}` is banned" in wrong.stdout
    right = tool(root, "ruff", *options, text=line.format(f"disentangle.{name}") + "\n")
    assert right.returncode == 0, right.stdout


@pytest.mark.parametrize(
    ("where", "line", "complaint"),
    [
        (
            "models/new.py",
            "import disentangle.training",
            "disentangle.models is not allowed to import disentangle.training",
        ),
        (
            "metrics/new.py",
            "import disentangle.models",
            "disentangle.metrics is not allowed to import disentangle.models",
        ),
        (
            "disentangle/errors.py",
            "import disentangle.apps",
            "disentangle.errors is not allowed to import disentangle.apps",
        ),
        ("disentangle/new.py", "", "- disentangle.new"),
    ],
)
def test_an_import_against_the_order_is_an_error(
    root: Path, tmp_path: Path, where: str, line: str, complaint: str
) -> None:
    for folder in FOLDERS:
        shutil.copytree(root / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    check = ("lint-imports", "--no-logo", "--no-cache")
    kept = tool(tmp_path, *check)
    assert kept.returncode == 0, kept.stdout
    with (tmp_path / where).open("a") as file:
        file.write(f"\n{line}\n")
    broken = tool(tmp_path, *check)
    assert broken.returncode == 1
    assert complaint in broken.stdout
