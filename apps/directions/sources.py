"""Direction files, as people name them: by their path, or by the run that has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from disentangle.directions.file import FILE
from disentangle.errors import UserError, unknown_name

if TYPE_CHECKING:
    from disentangle.directions import Directions


@dataclass(frozen=True, eq=False)
class Source:
    """A direction file.

    Attributes:
        path: of the file.
        run: folder of the run that it lies in; ``None`` where it lies in none.
        directions: what is in it.
    """

    path: Path
    run: Path | None
    directions: "Directions"

    @property
    def title(self) -> str:
        """What to call it: run and name, or the file or its folder."""
        if self.run is None:
            return self.path.resolve().parent.name if self.path.name == FILE else self.path.name
        return f"{self.run.resolve().name}/{self.path.resolve().parent.name}"


def files_of(path: Path, name: str | None = None) -> list[Path]:
    """The direction files that a path names.

    Args:
        path: a file, the folder of one, or a run.
        name: which of a run's.

    Raises:
        UserError: where there is none.
    """
    if (path / "config.json").exists():
        here = {file.parent.name: file for file in sorted(path.glob(f"directions/*/{FILE}"))}
        if not here:
            raise UserError(f"{path} has no directions yet: `disentangle discover {path}` finds some")
        if name is not None and name not in here:
            raise unknown_name("directions", name, here)
        return [file for key, file in here.items() if name in (None, key)]
    if name is not None:
        raise UserError(f"--directions names those of a run, and {path} is no run: leave it out")
    if path.is_dir() and not (path / FILE).exists():
        raise UserError(f"{path} is no run and has no {FILE}: name a run, or a direction file")
    return [path / FILE if path.is_dir() else path]


def load_one(path: Path, name: str | None = None) -> Source:
    """Read the one direction file that a path names.

    Args:
        path: a file, the folder of one, or a run.
        name: which of a run's.

    Raises:
        UserError: where there is none, there are several, or it is damaged.
    """
    files = files_of(path, name)
    if len(files) > 1:
        names = ", ".join(file.parent.name for file in files)
        raise UserError(f"{path} has several: choose one with --directions NAME: {names}")
    return load(files[0])


def load(file: Path) -> Source:
    """Read a direction file.

    Raises:
        UserError: where it is missing, damaged, or of another kind.
    """
    from disentangle.directions import Directions

    if file.suffix != ".safetensors" and file.exists():
        raise UserError(f"{file} is no direction file: `disentangle directions import {file} --run RUN` makes one")
    return Source(file, run_of(file), Directions.load(file))


def run_of(file: Path) -> Path | None:
    """Folder of the run that a direction file lies in, whether it exists or not; ``None`` where it lies in none."""
    folder, as_given = file.resolve().parent.parent.parent, file.parent.parent.parent
    if file.resolve().parent.parent.name != "directions" or not (folder / "config.json").exists():
        return None
    return as_given if as_given.resolve() == folder else folder


def keep(found: "Directions", path: Path, force: bool) -> None:
    """Write directions. Whoever names or keeps some there meanwhile waits.

    Raises:
        UserError: where a file is there already, another process does not end its writing, or it cannot be written.
    """
    from disentangle.training.files import disk_errors, locked

    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent, wait=True):
        found.save(free(path, force))


def free(path: Path, force: bool) -> Path:
    """The path, if a file may be written there.

    Raises:
        UserError: where one is there already.
    """
    if path.exists() and not force:
        raise UserError(f"{path} exists: choose another with --out, or replace it with --force")
    return path
