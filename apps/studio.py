"""What the app shows: runs, their directions, and pictures of moved latents. Knows nothing of web pages."""

import contextlib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import torch
from torch import Tensor, nn

from disentangle.apps.directions.places import check_name
from disentangle.apps.discover import find
from disentangle.apps.edit import Edit
from disentangle.apps.kept import load_picture
from disentangle.directions import METHODS, Directions, combine, natural_method
from disentangle.directions.file import FILE
from disentangle.errors import UserError
from disentangle.generator import Generator
from disentangle.pictures import to_uint8
from disentangle.training.files import disk_errors, locked
from disentangle.training.run import Run, name_of

POSITIONS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Of the pictures of a strip, in sigma."""

KEPT = 32
"""Views that stay open; one is as large as its directions."""

ROOM = 2**31
"""Bytes of weights that stay in memory."""

SAMPLES = 8
QUICK = ("auto", "subspace", "weights", "coordinate", "random")
"""Methods whose directions are found while a page is opened, where none are kept; the others take too long for that."""

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, eq=False)
class View:
    """A run opened for traversal. Shared between pages and never changed.

    Attributes:
        run: the run.
        step: of the checkpoint.
        weights: hash of the generator's weights.
        generator: its generator.
        name: of the directions: a folder in the run's ``directions``, or the method that found them just now.
        directions: what can be moved along.
        order: their places, those worth a look first.
        note: one line about where the directions come from; ``""`` if they are the kept ones.
        basis: first digits of the fingerprint of kept directions, for links; ``""`` where they were found just now,
            and the method and the weights say what they are.
        fingerprint: of weights and directions; names and notes change nothing about it.
    """

    run: Run
    step: int
    weights: str
    generator: Generator
    name: str
    directions: Directions
    order: tuple[int, ...]
    note: str
    basis: str
    fingerprint: str


class Studio:
    """The runs of a folder, or one run. What was opened last stays in memory, whoever asks for it.

    Args:
        path: a folder of runs, or a run; it may be empty, or still to be made.

    Raises:
        UserError: where it is a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._views: OrderedDict[tuple[str, str], tuple[Stamp, View]] = OrderedDict()
        self._generators: OrderedDict[tuple[Path, str], Generator] = OrderedDict()
        self._opening = threading.Lock()  # for as long as that takes
        self._shelf = threading.Lock()  # while what is in memory is looked at
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is no folder: give a run, or a folder of runs")

    def names(self) -> list[str]:
        """Names of the runs that can be steered, as of now."""
        if self._is_run():
            run = Run.open(self.path)
            if run.kind == "classifier":
                raise UserError(f"{self.path} is a classifier, which has no latents to steer: name a generator's run")
            return [run.name] if run.checkpoints() else []
        return [run.name for run in Run.find(self.path) if run.kind != "classifier"]

    def run(self, name: str) -> Run:
        """The run of that name.

        Raises:
            UserError: where there is none.
        """
        path = self._path(name)
        if path is None:
            raise UserError(f"there is no run {name[:80]!r} in {self.path}: reload the page to see which there are")
        return Run.open(path)

    def open(self, name: str, directions: str = "auto") -> View:
        """Open a run as it is on disk now; at no cost where nothing has changed since the last time.

        Raises:
            UserError: where there is no such run, it is incomplete, or it has no such directions.
        """
        Edit(name, directions)  # their names are names
        view = self.opened(name, directions)
        if view is not None:
            return view
        with self._opening:
            view = self.opened(name, directions)  # somebody else may have waited for the same
            if view is None:
                stamp, view = self._open(self.run(name), directions)
                with self._shelf:
                    self._views[name, directions] = (stamp, view)
                    while len(self._views) > KEPT:
                        self._views.popitem(last=False)
        return view

    def opened(self, name: str, directions: str = "auto") -> View | None:
        """What :meth:`open` has in memory already, if it is still what is on disk; never waits."""
        path = self._path(name)
        with self._shelf:
            stamp, view = self._views.get((name, directions), ((), None))
        if path is None or view is None or stamp != (*_stamp(_weights(path)), *_stamp([_file(path, view.name)])):
            return None
        place = (view.run.path, view.weights)
        with self._shelf:  # those used longest ago make room first
            if (name, directions) in self._views:
                self._views.move_to_end((name, directions))
            if place in self._generators:
                self._generators.move_to_end(place)
        return view

    def rename(self, view: View, k: int, name: str, note: str) -> View:
        """Name a direction, and keep that with the run.

        Raises:
            UserError: where the file has changed since the view was opened, or the name cannot be given
                (:func:`~disentangle.apps.directions.places.check_name`).
        """
        check_name(view.directions, k, name, note)
        folder = self.run(view.run.name).path / "directions" / view.name
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # So that a discovery that ends just now loses no name. The folder first: others may hold it for a while.
        with locked(folder, wait=True), self._opening:
            _, now = self._open(self.run(view.run.name), view.name)
            if now.fingerprint != view.fingerprint:
                raise UserError(f"the directions of {view.run.name} have changed since the page was loaded: reload it")
            check_name(now.directions, k, name, note)
            now.directions.rename(k, name, note).save(now.run.path / "directions" / now.name)
        return self.open(view.run.name, view.name)

    def _open(self, run: Run, name: str) -> tuple[Stamp, View]:
        """A view, and the stamp of the files that it was read from, taken before they were."""
        stamp, step = _stamp(_weights(run.path)), run.step
        weights = run.weights_hash(step)
        generator = self._generator(run, step, weights)
        name = natural_method(generator) if name == "auto" else name
        stamp += _stamp([_file(run.path, name)])
        directions, note = _kept(run, name, weights)
        if directions is None:
            directions = find(run, generator, name, samples=SAMPLES, weights=weights)
        if directions.vectors.shape[1] != generator.latent_size:
            raise UserError(
                f"the directions {name} of {run.path} are of another size than its latents: find them again"
            )
        basis = directions.fingerprint
        fingerprint = hashlib.sha256((basis + weights).encode()).hexdigest()[:16]
        order, said = tuple(directions.ranking()), "" if note else basis[:12]
        return stamp, View(run, step, weights, generator, name, directions, order, note, said, fingerprint)

    def _generator(self, run: Run, step: int, weights: str) -> Generator:
        """The run's generator, out of memory if it is there; those used longest ago make room."""
        key = (run.path, weights)
        with self._shelf:
            generator = self._generators.get(key)
        if generator is None:
            generator = run.load_generator(step=step)
        with self._shelf:
            self._generators[key] = generator
            self._generators.move_to_end(key)
            while len(self._generators) > 1 and sum(map(_size, self._generators.values())) > ROOM:
                _, gone = self._generators.popitem(last=False)
                for place in [place for place, (_, view) in self._views.items() if view.generator is gone]:
                    self._views.pop(place, None)
        return generator

    def _is_run(self) -> bool:
        return (self.path / "config.json").exists()

    def _path(self, name: str) -> Path | None:
        """Where the run of that name is; ``None`` where there is none."""
        if self._is_run():
            return self.path if name == name_of(self.path) else None
        inside = 0 < len(name) < 256 and name == Path(name).name and not name.startswith(".") and "\0" not in name
        return self.path / name if inside and (self.path / name / "config.json").is_file() else None


def start(view: View, edit: Edit) -> Tensor:
    """The latents ``(1, d)`` that an edit starts from."""
    if not edit.picture:
        return edit.truncation * view.generator.sample_latents(1, torch.Generator().manual_seed(edit.seed))
    return edit.truncation * load_picture(view.run, edit.picture, view.weights).latents


def strangeness(view: View, weights: str, basis: str) -> str:
    """Why a link means something else than its coordinates would show now, in a sentence; ``""`` where it does not.

    Args:
        view: what its run and directions are now.
        weights: what the link says the weights are, ``""`` for any.
        basis: likewise the directions.
    """
    if not view.weights.startswith(weights):
        return (
            f"this picture of {view.run.name} was made with other weights ({weights[:12]}) than the run has now "
            f"({view.weights[:12]}, step {view.step:,}): bring back that checkpoint, or leave `weights` out of the "
            "link to see what the same coordinates do now"
        )
    if basis and not view.directions.fingerprint.startswith(basis):
        return (
            f"this picture of {view.run.name} was made with other directions ({basis[:12]}) than its {view.name} "
            f"are now ({view.directions.fingerprint[:12]}): bring back their file, or leave `basis` out "
            "of the link to see what the same coordinates do now"
        )
    return ""


def moved(view: View, edit: Edit) -> Tensor:
    """The latents ``(1, d)`` that an edit ends at.

    Raises:
        UserError: where it moves along a direction that there is not, or was made with other weights or directions.
    """
    problem = strangeness(view, edit.weights, edit.basis)
    if problem:
        raise UserError(problem)
    amounts = torch.zeros(len(view.directions))
    for k, amount in edit.coordinates:
        if k >= len(amounts):
            raise UserError(f"there is no direction {k}: {edit.directions} of {edit.run} has {len(amounts)}, from 0 on")
        amounts[k] = amount
    return combine(start(view, edit), view.directions, amounts)


@torch.no_grad()
def picture(view: View, edit: Edit) -> Tensor:
    """The picture that an edit means, uint8 ``(c, h, w)``: the same bytes in the app, by its API and on the command
    line, since it goes through the generator alone and on one thread."""
    with one_thread():
        return to_uint8(view.generator.synthesize(moved(view, edit)))[0]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: sums are then taken in the same order on every machine of a kind, and pictures of many
    visitors do not wait for one another's threads."""
    before = torch.get_num_threads()
    # The app says so once, for all: a thread that starts while another one asks would inherit its answer.
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _weights(path: Path) -> list[Path]:
    """The files of a run that say which generator it has."""
    steps = sorted(folder.name for folder in (path / "checkpoints").glob("[0-9]*") if folder.name.isdigit())
    complete = [path / "checkpoints" / step / "trainer.json" for step in steps]
    newest = sorted((path / "checkpoints" / steps[-1] / "ema").glob("*")) if steps else []
    return [path / "config.json", *complete, *newest]


def _file(path: Path, directions: str) -> Path:
    """The file of a run's directions."""
    return path / "directions" / directions / FILE


def _stamp(files: Iterable[Path]) -> Stamp:
    """What tells that files have changed on disk."""
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            status = file.stat()
            found.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(found)


def _size(generator: Generator) -> int:
    """Bytes of its weights."""
    if not isinstance(generator, nn.Module):
        return 0
    return sum(tensor.numel() * tensor.element_size() for tensor in (*generator.parameters(), *generator.buffers()))


def _kept(run: Run, name: str, weights: str) -> tuple[Directions | None, str]:
    """The run's direction file where it fits the weights, or ``None`` and why they are found again.

    Raises:
        UserError: where they cannot be found again just now.
    """
    folder = run.path / "directions" / name
    command = f"`disentangle discover {quote(str(run.path))} --method {name}`"
    if not (folder / FILE).exists():
        if name in QUICK:
            return None, f"These directions were found just now; the Discover tab or {command} keeps them."
        if name in METHODS:
            raise UserError(f"{run.path} has no directions {name!r} yet: the Discover tab or {command} finds them")
        has = ", ".join(kept_directions(run)) or "none yet"
        raise UserError(f"{run.path} has no directions {name[:80]!r}: it has {has}; possible: {', '.join(METHODS)}")
    try:
        directions = Directions.load(folder)
        directions.check_weights(weights, str(run.path))
    except UserError as error:
        if name not in QUICK:
            raise
        what = "belong to other weights" if "other weights" in str(error) else "could not be read"
        return None, f"The kept directions {what}, so they were found again; {command} keeps them."
    return directions, ""


def kept_directions(run: Run) -> list[str]:
    """Names of the directions that are kept in a run."""
    return sorted(file.parent.name for file in (run.path / "directions").glob(f"*/{FILE}"))
