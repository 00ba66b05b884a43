"""What the app shows: runs, their directions, and pictures of moved latents. Knows nothing of web pages."""

import contextlib
import functools
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from disentangle.apps.discover import find
from disentangle.apps.edit import Edit
from disentangle.directions import Directions, combine, move, natural_method
from disentangle.errors import UserError
from disentangle.generator import Generator
from disentangle.pictures import to_uint8
from disentangle.training.files import write_atomic
from disentangle.training.run import Run

POSITIONS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
KEPT = 4
SAMPLES = 8


@dataclass(frozen=True)
class Key:
    """What a page shows: a run, a method, and exactly which weights and directions they were when it was opened."""

    run: str
    method: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class View:
    """A run opened for traversal. Shared between pages and never changed.

    Attributes:
        key: its name.
        run: the run.
        step: of the checkpoint.
        generator: its generator.
        directions: what can be moved along.
        order: the direction of each slider: the most active first.
        note: one line about where the directions come from; ``""`` if they are the stored ones.
    """

    key: Key
    run: Run
    step: int
    generator: Generator
    directions: Directions
    order: tuple[int, ...]
    note: str

    @property
    def labels(self) -> list[str]:
        """Captions of the sliders, in their order."""
        return [self.directions.labels[k] for k in self.order]

    @property
    def active(self) -> int:
        """How many sliders visibly change the picture; they are the first ones."""
        return len(self.order) - int(self.directions.still.sum())


@dataclass(frozen=True, eq=False)
class Pictures:
    """uint8 pictures ``(c, h, w)``: where the latent starts and where it was moved to; ``(7, c, h, w)`` in between."""

    original: Tensor
    moved: Tensor
    strip: Tensor


class Studio:
    """The runs of a folder, or one run. What was opened last stays in memory.

    Args:
        path: a folder of runs, or a run.

    Raises:
        UserError: where there is no run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._views: OrderedDict[Key, View] = OrderedDict()
        self._opening = threading.Lock()
        self._generator = functools.lru_cache(maxsize=KEPT)(_load)
        self._found = functools.lru_cache(maxsize=4 * KEPT)(self._find)
        if not self.names():
            raise UserError(f"no trained run in {path}: `disentangle train RECIPE` makes one")

    def names(self) -> list[str]:
        """Names of the runs, as of now."""
        if self._is_run():
            run = Run.open(self.path)
            if run.kind == "classifier":
                raise UserError(f"{self.path} is a classifier, which has no latents to steer: name a generator's run")
            return [run.name] if run.step >= 0 else []
        if not self.path.is_dir():
            raise UserError(f"no folder {self.path}: give a run, or a folder of runs")
        return [run.name for run in Run.find(self.path) if run.kind != "classifier"]

    def open(self, name: str, method: str) -> View:
        """Open a run as it is on disk now.

        Raises:
            UserError: where there is no such run, it is incomplete, or the method finds nothing in it.
        """
        if name not in self.names():
            raise UserError(f"there is no run {name!r} in {self.path} any more: reload the page")
        run = Run.open(self.path if self._is_run() else self.path / name)
        with self._opening:
            weights = run.weights_hash()
            generator = self._generator(run.path, weights)
            method = natural_method(generator) if method == "auto" else method
            directions, note = _stored(run, method, weights)
            if directions is None:
                directions = self._found(run.path, weights, method)
            order = directions.ranking()
            fingerprint = hashlib.sha256(directions.vectors.numpy().tobytes() + weights.encode()).hexdigest()
            view = View(Key(name, method, fingerprint), run, run.step, generator, directions, tuple(order), note)
            self._views[view.key] = view
            while len(self._views) > KEPT:
                self._views.popitem(last=False)
        return view

    def get(self, key: Key) -> View:
        """The run that a page has opened before.

        Raises:
            UserError: where it has changed on disk since, and what was then is no longer in memory.
        """
        view = self._views.get(key)
        if view is not None:
            return view
        view = self.open(key.run, key.method)
        if view.key != key:
            raise UserError(f"the run {key.run} has changed since the page was loaded: reload it")
        return view

    def _find(self, path: Path, weights: str, method: str) -> Directions:
        return find(Run.open(path), self._generator(path, weights), method, samples=SAMPLES)

    def _is_run(self) -> bool:
        return (self.path / "config.json").exists()


def start(view: View, edit: Edit) -> Tensor:
    """The latents ``(1, d)`` that an edit starts from."""
    if not edit.picture:
        return edit.truncation * view.generator.sample_latents(1, torch.Generator().manual_seed(edit.seed))
    return edit.truncation * load_picture(view.run, edit.picture).latents.to(torch.float32)


def moved(view: View, edit: Edit) -> Tensor:
    """The latents ``(1, d)`` that an edit ends at.

    Raises:
        UserError: where it moves along a direction that there is not, or was made with other weights.
    """
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
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def render(view: View, seed: int, truncation: float, amounts: Sequence[float], last: int | None) -> Pictures:
    """Make everything that a page shows after a change.

    The two large pictures go through the generator one at a time: a picture made among others may differ from the same
    one made alone in the last bit of a float, and so, here and there, by one of 255 shades. This way they depend on
    their own latents only, and with all sliders at zero they are the same.

    Args:
        view: the run.
        seed: which latent to start from.
        truncation: what the latent is multiplied with, 0 (the mean) to 1 or more.
        amounts: positions of the sliders in sigma, in their order; those left out are at zero.
        last: the slider whose strip is wanted.
    """
    start = truncation * view.generator.sample_latents(1, torch.Generator().manual_seed(seed))
    steps = torch.zeros(len(view.order))
    steps[: len(amounts)] = torch.as_tensor(list(amounts)[: len(view.order)])
    along = torch.zeros(len(view.order))
    along[list(view.order)] = steps
    original, moved = (
        to_uint8(view.generator.synthesize(latents))[0] for latents in (start, combine(start, view.directions, along))
    )
    if last is None:
        return Pictures(original, moved, moved.new_empty(0, *moved.shape))
    k = view.order[last]
    along[k] = 0.0
    latents = move(combine(start, view.directions, along), view.directions, k, POSITIONS)[0]
    return Pictures(original, moved, to_uint8(view.generator.synthesize(latents)))


@dataclass(frozen=True, eq=False)
class KeptPicture:
    """A real picture that was inverted: kept in the run, so that links to its edits go on working.

    Attributes:
        latents: ``(1, d)`` float32, what the generator makes it from.
        original: uint8 ``(c, h, w)``, the picture as it was given, at the generator's size.
        weights: hash of the weights it was inverted with.
        error: root of the mean squared difference of the two, for pictures in [-1, 1].
    """

    latents: Tensor
    original: Tensor
    weights: str
    error: float


def keep_picture(run: Run, kept: KeptPicture) -> str:
    """Write an inverted picture into the run's ``pictures``.

    Returns:
        Its name: the first digits of a hash of what is written.
    """
    tensors = {"latents": kept.latents.cpu().float().contiguous(), "original": kept.original.cpu().contiguous()}
    described = json.dumps({"weights": kept.weights, "error": kept.error})
    data = safetensors.torch.save(tensors, {"picture": described})
    name = hashlib.sha256(data).hexdigest()[:16]
    write_atomic(run.path / "pictures" / f"{name}.safetensors", data)
    return name


def load_picture(run: Run, name: str) -> KeptPicture:
    """Read what :func:`keep_picture` wrote.

    Raises:
        UserError: where there is none of that name, it is damaged, or it belongs to other weights.
    """
    path = run.path / "pictures" / f"{name}.safetensors"
    again = f"invert it again with `disentangle invert {run.path} PICTURE`"
    try:
        with safetensors.safe_open(path, "pt") as file:
            described = json.loads(file.metadata()["picture"])
            latents, original = file.get_tensor("latents"), file.get_tensor("original")
        kept = KeptPicture(latents, original, str(described["weights"]), float(described["error"]))
    except FileNotFoundError:
        raise UserError(f"{run.path} has no inverted picture {name!r}: {again}") from None
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}): {again}") from None
    if kept.weights != run.weights_hash():
        raise UserError(f"{path} was inverted with other weights than {run.path} has now: {again}")
    return kept


def scores(run: Run) -> list[dict[str, Any]]:
    """The scores of the run's report; empty if there is no report that can be read."""
    try:
        report = json.loads((run.path / "report.json").read_text())
        found = [score for score in report["scores"] if isinstance(score["value"], int | float)]
        return [score for score in found if isinstance(score["name"], str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _load(path: Path, weights: str) -> Generator:
    """The generator of the run at ``path``; ``weights`` makes the cache notice that they have changed."""
    return Run.open(path).load_generator()


def _stored(run: Run, method: str, weights: str) -> tuple[Directions | None, str]:
    """The run's direction file where it fits the weights, and a line about what is the matter where it does not."""
    folder = run.path / "directions" / method
    mend = f"`disentangle discover {run.path} --method {method}` keeps them"
    if not (folder / "directions.safetensors").exists():
        return None, f"These directions were found just now; {mend}."
    try:
        directions = Directions.load(folder)
    except UserError:
        return None, f"The stored directions could not be read, so they were found again; {mend}."
    if directions.weights != weights:
        return None, f"The stored directions belong to other weights, so they were found again; {mend}."
    return directions, ""
