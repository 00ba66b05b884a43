"""Direction files, as people name them: by their path, or by the run that has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from disentangle.errors import UserError, unknown_name

if TYPE_CHECKING:
    from disentangle.directions import Directions

FILE = "directions.safetensors"


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


def load_all(path: Path, name: str | None = None) -> list[Source]:
    """The direction files that a path names.

    Args:
        path: a file, the folder of one, or a run.
        name: which of a run's.

    Raises:
        UserError: where there is none, or it is damaged.
    """
    if (path / "config.json").exists():
        here = {file.parent.name: file for file in sorted(path.glob(f"directions/*/{FILE}"))}
        if not here:
            raise UserError(f"{path} has no directions yet: `disentangle discover {path}` finds some")
        if name is not None and name not in here:
            raise unknown_name("directions", name, here)
        return [_load(file) for key, file in here.items() if name in (None, key)]
    if name is not None:
        raise UserError(f"--directions names those of a run, and {path} is no run: leave it out")
    if path.is_dir() and not (path / FILE).exists():
        raise UserError(f"{path} is no run and has no {FILE}: name a run, or a direction file")
    return [_load(path / FILE if path.is_dir() else path)]


def load_one(path: Path, name: str | None = None) -> Source:
    """The one direction file that a path names; otherwise as :func:`load_all`.

    Raises:
        UserError: also where there are several.
    """
    found = load_all(path, name)
    if len(found) > 1:
        names = ", ".join(source.path.parent.name for source in found)
        raise UserError(f"{path} has several: choose one with --directions NAME: {names}")
    return found[0]


def free(path: Path, force: bool) -> Path:
    """The path, if a file may be written there.

    Raises:
        UserError: where one is there already.
    """
    if path.exists() and not force:
        raise UserError(f"{path} exists: choose another with --out, or replace it with --force")
    return path


def _load(file: Path) -> Source:
    from disentangle.directions import Directions

    if file.suffix != ".safetensors" and file.exists():
        raise UserError(f"{file} is no direction file: `disentangle directions import {file} --run RUN` makes one")
    folder = file.resolve().parent.parent.parent
    inside = file.resolve().parent.parent.name == "directions" and (folder / "config.json").exists()
    return Source(file, file.parent.parent.parent if inside else None, Directions.load(file))
