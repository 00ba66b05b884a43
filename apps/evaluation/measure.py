"""From a run to the contents of its report: scores are planned, computed where they are not yet, and gathered."""

import datetime
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from disentangle.apps.evaluation.against import compare, left_out
from disentangle.apps.evaluation.codes import not_applicable, notes_on_encoder, relate, why_no_coder
from disentangle.apps.evaluation.errors import score_reconstructions, score_regression, score_siblings
from disentangle.apps.evaluation.ledger import Entry, Ledger
from disentangle.apps.evaluation.pictures import PICTURES
from disentangle.apps.evaluation.score import Labelled, Score, quiet
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation.subject import DEFAULT_PICTURES, Subject, versions
from disentangle.apps.evaluation.suite import CODES, select
from disentangle.apps.evaluation.team import Team
from disentangle.apps.report import Pictures
from disentangle.directions import Directions, discover, measure_activeness
from disentangle.directions.draw import traverse
from disentangle.errors import UserError
from disentangle.generator import Generator
from disentangle.metrics import mig, udr
from disentangle.training.draws import seeded
from disentangle.training.run import Run

logger = logging.getLogger(__name__)

Json = dict[str, Any]

VERSION = 3
"""Version of ``report.json``."""

SHOWN, SHOWN_PAIRS = 48, 24
"""Pictures in each of the report's grids, and reconstructions shown."""

STRIPS, REACH, COLUMNS = 8, 3.0, 9
"""Directions in the report at most, and how far, in standard deviations, and in how many pictures each is followed."""

ALONE = 0.999
"""Entry of a direction's vector, of unit length, from which on it moves one latent alone."""

ENOUGH_FOR_UDR = 1_000
"""Pictures whose codes are compared between models, as published."""


class Clock:
    """Seconds that each named step took; says each step's name as it begins.

    Attributes:
        seconds: name -> seconds.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        logger.info("%s …", name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)


@dataclass(frozen=True)
class Task:
    """A score, or several that come of one computation.

    Attributes:
        name: what ``--scores`` calls it, and its file.
        title: what it is called while one waits.
        inputs: everything that decides it.
        compute: the scores.
        prepare: makes what it needs, by all processes together.
        load: fetches what may be missing on this machine, before anything is computed.
    """

    name: str
    title: str
    inputs: Json
    compute: Callable[[], list[Score]]
    prepare: Callable[[], object] | None = None
    load: Callable[[], object] | None = None


def plan(subject: Subject) -> list[Task]:
    """What can be scored of a generator, in the order of the report."""
    settings, tasks = subject.settings, []
    if subject.labelled_data is not None:
        inputs = subject.code_inputs
        tasks = [code_task(name, lambda: subject.labelled[0], settings, inputs) for name in CODES]
    for name, score in PICTURES.items():
        inputs = subject.identity | score.inputs(subject)
        prepare = (lambda: subject.features) if score.compares else None
        load = partial(getattr, subject, score.needs) if score.needs else None
        tasks.append(Task(name, score.title, inputs, partial(score.scores, subject), prepare, load))
    coder = subject.coder
    if coder is not None and coder.record is not None:
        record = coder.record
        tasks.append(Task("regression", "Regression error", record.to_dict(), lambda: [score_regression(record)]))
    if coder is not None and coder.inverts(subject.model):
        inputs = subject.code_inputs | {"samples": subject.reconstructions}
        compute = lambda: [score_reconstructions(*subject.reconstructed)]  # noqa: E731
        tasks.append(Task("reconstruction", "Reconstruction error", inputs, compute, lambda: subject.reconstructed))
    return tasks


def siblings_task(subject: Subject, siblings: Sequence[Subject]) -> Task:
    """UDR of the subject among runs that differ in their seed alone.

    Raises:
        UserError: where one of them has no codes, or saw other data.
    """
    everyone = [subject, *siblings]
    for other in everyone:
        if other.labelled_data is None:
            reason = why_no_coder(other.run, other.model, other.step) or "its data set has no labels"
            raise UserError(f"UDR compares codes, and {other.run.path} has none: {reason}")
        if other.described != subject.described:
            raise UserError(f"UDR compares runs on the same data, and {other.run.path} is on other data")
    if len({other.weights for other in everyone}) < len(everyone):
        raise UserError("UDR compares models of different seeds, and two of these runs have the same weights")

    def score() -> list[Score]:
        found = [other.labelled for other in everyone]
        codes = [labelled.codes[:ENOUGH_FOR_UDR] for labelled, _ in found]
        divergences = [info["kl"] for _, info in found]
        with quiet():
            result = udr(codes, None if None in divergences else divergences)
        return [score_siblings(result, [other.run.name for other in siblings], subject.settings.seed)]

    return Task(
        "udr", "UDR", {"all": [other.code_inputs for other in everyone]}, score, lambda: [o.labelled for o in everyone]
    )


def code_task(name: str, labelled: Callable[[], Labelled], settings: Settings, inputs: Json) -> Task:
    """A score of codes; ``inputs`` are what decides these."""
    score = CODES[name]
    return Task(
        name,
        score.title,
        inputs | {field: getattr(settings, field) for field in score.inputs},
        lambda: score.scores(labelled(), settings),
        prepare=labelled,
    )


def compute(
    tasks: Sequence[Task],
    wanted: Collection[str],
    done: dict[str, Entry],
    team: Team,
    ledger: Ledger | None,
    clock: Clock,
) -> list[Score]:
    """The scores of the tasks that are wanted and not done, and of all that are done.

    What several tasks need is made by all processes together; then the tasks are dealt to them, and each keeps its own
    in the ledger as soon as it is done.
    """
    left = [task for task in tasks if task.name in wanted and task.name not in done]
    if done:
        logger.info("done already: %s", ", ".join(task.title for task in tasks if task.name in done))
    for task in left:
        if task.load is not None:
            task.load()
    for task in left:
        if task.prepare is not None:
            task.prepare()
    mine: dict[str, Entry] = {}
    for task in team.deal(left):
        start = time.perf_counter()
        with clock(task.title):
            mine[task.name] = Entry(task.compute(), time.perf_counter() - start)
        if ledger is not None:
            ledger.write(task.name, task.inputs, mine[task.name].scores, mine[task.name].seconds)
    everything = done | team.join(mine)
    return [score for task in tasks if task.name in everything for score in everything[task.name].scores]


def done_already(tasks: Sequence[Task], ledger: Ledger | None) -> dict[str, Entry]:
    """What the ledger has of the tasks."""
    found = {} if ledger is None else {task.name: ledger.read(task.name, task.inputs) for task in tasks}
    return {name: entry for name, entry in found.items() if entry is not None}


@torch.no_grad()
def measure(
    run: Run,
    settings: Settings,
    ledger: Ledger | None = None,
    team: Team | None = None,
    siblings: Sequence[Run] = (),
    against: tuple[Run, Ledger] | None = None,
) -> tuple[Json, Pictures]:
    """All numbers and pictures of a run's report.

    Args:
        run: the run.
        settings: what is measured.
        ledger: where scores are kept as they are done; those of the same inputs are not computed again.
        team: the processes that share the work.
        siblings: runs that differ in their seed alone, for UDR.
        against: another run, to whose scores those of this one are compared, and where its scores are kept.

    Returns:
        The contents of ``report.json`` but for the command, and the pictures of ``report.html``.

    Raises:
        UserError: where the run has no such checkpoint, its data are missing or too few, or its pictures not finite.
    """
    clock, team = Clock(), team or Team()
    with clock("reading the model and the data"):
        subject = Subject(run, settings, team, ledger)
        tasks = plan(subject)
        if siblings:
            alike = replace(settings, checkpoint=None)
            tasks.append(siblings_task(subject, [Subject(other, alike, team) for other in siblings]))
    # All must agree on what is left, or they would wait for each other: the first one looks.
    done = team.first(lambda: done_already(tasks, ledger))
    wanted = select(settings.scores) | ({"udr"} if siblings else set())
    labelled, codes, coder = None, None, subject.coder
    if subject.labelled_data is not None and (siblings or {*wanted, *done} & set(CODES)):
        with clock("codes"):
            labelled, codes = subject.labelled
    scores = compute(tasks, wanted, done, team, ledger, clock)
    with clock("directions"):
        directions, strips = follow(subject.model, settings.seed, run, subject.weights)
    if codes is not None and labelled is not None and coder is not None:
        with quiet():
            gap = mig(*labelled.to_learn)
        relate(codes, directions, gap, labelled.names, coder.latents)
    with clock("pictures"):
        pictures = show(subject, strips)
    report = head(run, subject.model, subject.step, settings, subject.weights, subject.described) | {
        "samples": samples_of(subject, codes is not None),
        "scores": [score.to_dict() for score in scores],
        "not_applicable": not_applicable(subject, wanted),
        "notes": [*notes_on_encoder(run, coder), *clipped(subject, codes is not None)],
        "codes": codes,
        "encoder": coder.record.to_dict() if coder is not None and coder.record is not None else None,
        "directions": directions,
    }
    if against is not None:
        other = rival(*against, settings, wanted & {task.name for task in tasks}, team, clock)
        report["against"] = compare(report, other)
        report["notes"] = [*report["notes"], *filter(None, [left_out(report, other)])]
    return report | foot(clock), pictures


def rival(run: Run, ledger: Ledger, settings: Settings, wanted: Collection[str], team: Team, clock: Clock) -> Json:
    """What :func:`compare` asks of another run: the scores that are wanted, and all that are done already."""
    with clock("reading the other run"):
        subject = Subject(run, replace(settings, checkpoint=None), team, ledger)
        tasks = plan(subject)
    done = team.first(lambda: done_already(tasks, ledger))
    scores = compute(tasks, wanted, done, team, ledger, clock)
    about = head(run, subject.model, subject.step, settings, subject.weights, subject.described)
    return about | {"scores": [score.to_dict() for score in scores]}


def head(run: Run, model: object, step: int, settings: Settings, weights: str, data: Json) -> Json:
    """What every report of a run begins with: what was measured."""
    return {
        "version": VERSION,
        "run": run.name,
        "kind": run.kind,
        "model": type(model).__name__,
        "step": step,
        "seed": settings.seed,
        "weights": weights,
        "data": data,
    }


def foot(clock: Clock) -> Json:
    """What every report ends with: by what, how long it took, and when."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"versions": versions(), "seconds": clock.seconds, "created": created}


def samples_of(subject: Subject, coded: bool) -> dict[str, int]:
    """How many of each there were; codes, where they were read."""
    samples = {"pictures": subject.count}
    if subject.coder is not None and subject.coder.inverts(subject.model):
        samples["reconstructions"] = subject.reconstructions
    if coded:
        labelled, _ = subject.labelled
        samples |= {"train_codes": labelled.train, "test_codes": len(labelled.codes) - labelled.train}
    return samples


def show(subject: Subject, strips: list[Tensor]) -> Pictures:
    """The first of the pictures that were compared, of the reconstructions, and the strips."""
    pairs = None
    if subject.coder is not None and subject.coder.inverts(subject.model):
        originals = subject.data.images(subject.chosen[: min(SHOWN_PAIRS, subject.reconstructions)])
        pairs = originals, subject.reconstruct(originals)
    generated = subject.generate(subject.latents[:SHOWN])
    return Pictures(generated, subject.data.images(subject.chosen[: min(SHOWN, subject.count)]), pairs, strips)


def follow(model: Generator, seed: int, run: Run | None = None, weights: str = "") -> tuple[Json, list[Tensor]]:
    """The best of the directions that the training meant to separate, and one strip of pictures along each.

    They are found anew, which takes no time. Where the run has a file of the same ones, with what has been measured of
    them since and how people named them, the report has that, too.
    """
    found = discover(model, seed=seed, weights=weights)
    found = stored(run, found) or measure_activeness(model, found, seed=seed)
    positions = torch.linspace(-REACH, REACH, COLUMNS).tolist()
    start = model.sample_latents(1, seeded(seed, "strips"))
    best = [k for k in found.ranking() if not found.still[k]][:STRIPS]
    info = {
        "discoverer": found.method,
        "count": len(found),
        "positions": positions,
        "all": [_entry(found, k) for k in range(len(found))],
        "shown": best,
        "collapsed": list(found.collapsed),
    }
    return info, [traverse(model, found, k, start, positions) for k in best]


def stored(run: Run | None, found: Directions) -> Directions | None:
    """The run's file of the very directions in ``found``, if it has one, of which the activeness is known."""
    if run is None or not found.weights:
        return None
    try:
        kept = Directions.load(run.path / "directions" / found.method)
    except UserError:
        return None
    same = kept.weights == found.weights and kept.method == found.method and torch.equal(kept.vectors, found.vectors)
    return kept if same and kept.activeness is not None else None


def _entry(found: Directions, k: int) -> Json:
    """What the report says of a direction."""
    axis = int(found.vectors[k].argmax())
    activeness = found.activeness
    entry: Json = {
        "name": found.labels[k],
        "activeness": 0.0 if activeness is None else float(activeness[k]),
        "latent": axis if float(found.vectors[k, axis]) > ALONE else None,
        "doubts": list(found.doubts(k)),
    }
    purity = found.purity
    return entry if purity is None else entry | {"moves": found.moves[k], "purity": float(purity[k])}


def clipped(subject: Subject, coded: bool) -> list[str]:
    """Notes on numbers that the data set was too small for."""
    settings = subject.settings
    wanted = {
        "pictures": settings.samples or DEFAULT_PICTURES,
        "train_codes": settings.train_samples,
        "test_codes": settings.test_samples,
    }
    fewer = [
        f"{got:,} {name.replace('_', ' ')} instead of {wanted[name]:,}"
        for name, got in samples_of(subject, coded).items()
        if name in wanted and got < wanted[name]
    ]
    return [f"The data set has only {len(subject.data):,} pictures: {', '.join(fewer)}."] if fewer else []
