"""The wheel and the sdist hold what the tree holds, where `disentangle` expects it, and nothing else."""

import configparser
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import disentangle

LINKS = ("models", "metrics", "apps")
FOLDERS = ("disentangle", *LINKS)
FILES = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*")


def run(command: list[str], cwd: Path, pythonpath: Path | None = None) -> str:
    """Run ``command`` and return its output; fails with all that it said."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if pythonpath:
        environment["PYTHONPATH"] = str(pythonpath)
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def build(kind: str, source: Path, target: Path) -> Path:
    """Build the ``kind`` ("sdist", "wheel") of the tree ``source`` into ``target``, with no network."""
    run(
        [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(target), str(source)], cwd=target
    )
    (built,) = target.iterdir()
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    """All files of a wheel, its metadata left out."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def tree(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, links as links, without what earlier builds left behind."""
    copy = tmp_path_factory.mktemp("source") / "tree"
    for folder in FOLDERS:
        shutil.copytree(root / folder, copy / folder, symlinks=True, ignore=NOT_SHIPPED)
    for name in FILES:
        shutil.copy(root / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def expected(tree: Path) -> dict[str, bytes]:
    """What a wheel has to hold beside its metadata: path in the wheel -> content."""
    files = {}
    for folder in FOLDERS:
        for here, _, names in os.walk(tree / folder):  # does not follow links
            for path in (Path(here) / name for name in names):
                inside = path.relative_to(tree).as_posix()
                files[inside if folder == "disentangle" else f"disentangle/{inside}"] = path.read_bytes()
    return files


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


def test_the_links_lead_to_the_top_level_folders(root: Path) -> None:
    for name in LINKS:
        link = root / "disentangle" / name
        assert link.is_symlink(), f"{link} must be a link, made by a git that knows links"
        assert link.readlink() == Path("..") / name


def test_every_folder_with_code_is_a_listed_package(root: Path, project: dict[str, Any]) -> None:
    found = set()
    for folder in FOLDERS:
        for here, _, names in os.walk(root / folder):
            if any(name.endswith(".py") for name in names):
                assert "__init__.py" in names, f"{here} has code, but no __init__.py"
                parts = Path(here).relative_to(root).parts
                found.add(".".join(parts if folder == "disentangle" else ("disentangle", *parts)))
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(found)


def test_the_wheel_holds_the_tree(wheel: Path, expected: dict[str, bytes]) -> None:
    shipped = contents(wheel)
    assert sorted(shipped) == sorted(expected)  # so no top-level `models`, and nothing twice through the links
    assert shipped == expected
    assert {"disentangle/py.typed", "disentangle/models/__init__.py", "disentangle/apps/cli.py"} <= set(shipped)


def test_the_wheel_describes_itself(wheel: Path, root: Path, project: dict[str, Any]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" in name]
        metadata = {name.partition("/")[2]: archive.read(name).decode() for name in names}
    assert metadata["licenses/LICENSE"] == (root / "LICENSE").read_text()
    assert metadata["top_level.txt"].split() == ["disentangle"]
    commands = configparser.ConfigParser()
    commands.read_string(metadata["entry_points.txt"])
    assert dict(commands["console_scripts"]) == {"disentangle": "disentangle.apps.cli:main"}
    lines = metadata["METADATA"].splitlines()
    assert "Name: disentangle-svd" in lines
    assert f"Version: {project['project']['version']}" in lines
    assert "Requires-Python: >=3.11" in lines


def test_the_version_is_one(project: dict[str, Any]) -> None:
    assert disentangle.__version__ == project["project"]["version"]


def test_the_sdist_builds_the_same_wheel(sdist: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
        assert all(member.isfile() or member.isdir() for member in members), "an sdist holds sources, not links"
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    made = {"PKG-INFO", "setup.cfg", "disentangle_svd.egg-info"}
    assert {path.name for path in source.iterdir()} == {*FOLDERS, *FILES, *made}
    target = tmp_path / "wheel"
    target.mkdir()
    assert contents(build("wheel", source, target)) == expected


def test_the_wheel_works_unpacked_and_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "import disentangle.models, sys; sys.stdout.write(disentangle.models.__file__)"
    assert Path(run([sys.executable, "-c", code], elsewhere, site)) == site / "disentangle" / "models" / "__init__.py"
    assert run([sys.executable, "-m", "disentangle", "--help"], elsewhere, site).startswith("usage: disentangle")
