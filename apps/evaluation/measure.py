"""From a run to the contents of its report: draws pictures and codes, and has them scored."""

import datetime
import logging
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, cast

import torch
from torch import Tensor

from disentangle import __version__
from disentangle.apps.evaluate import Settings
from disentangle.apps.evaluation.codes import (
    checked,
    encode,
    find_coder,
    in_batches,
    not_applicable,
    notes_on_encoder,
    reconstruct,
    relate,
)
from disentangle.apps.evaluation.scoring import (
    Labelled,
    Score,
    score_dci,
    score_mig,
    score_pictures,
    score_reconstructions,
    score_regression,
)
from disentangle.apps.report import Pictures
from disentangle.data import ImageSet, LabelledSet
from disentangle.directions import discover, measure_activity
from disentangle.directions.draw import traverse
from disentangle.errors import UserError
from disentangle.generator import Generator
from disentangle.metrics import load_features
from disentangle.training.draws import seeded
from disentangle.training.hardware import choose_device
from disentangle.training.networks import hash_network, load_network
from disentangle.training.run import Run

logger = logging.getLogger(__name__)

Json = dict[str, Any]

VERSION = 1
"""Version of ``report.json``."""

SHOWN, SHOWN_PAIRS = 48, 24
"""Pictures in each of the report's grids, and reconstructions shown."""

STRIPS, REACH, COLUMNS = 8, 3.0, 9
"""Directions in the report at most, and how far, in standard deviations, and in how many pictures each is followed."""

FAINT = 0.005
"""Share of the strongest direction's activity below which a direction is not worth a strip."""

ALONE = 0.999
"""Entry of a direction's vector, of unit length, from which on it moves one latent alone."""

PICTURES = 2_000
"""Pictures on each side of the Fréchet distance, if nothing else is asked for."""

RECONSTRUCTED = 1_000
"""Pictures whose reconstruction is measured."""


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


@torch.no_grad()
def measure(run: Run, settings: Settings) -> tuple[Json, Pictures]:
    """All numbers and pictures of a run's report. Writes nothing.

    Args:
        run: the run.
        settings: what is measured.

    Returns:
        The contents of ``report.json`` but for the command, and the pictures of ``report.html``.

    Raises:
        UserError: where the run has no such checkpoint, its data are missing or too few, or its pictures not finite.
    """
    clock = Clock()
    with clock("reading the model and the data"):
        step = run.step if settings.checkpoint is None else settings.checkpoint
        device = choose_device(settings.device)
        model, weights = load_model(run, step, device)
        data = run.data()
        if len(data) < 4:
            raise UserError(f"the data set {data.name!r} has {len(data)} pictures: scores need at least 4")
    with clock("Fréchet distance"):
        frechet, generated, real = compare_pictures(model, data, settings)
    scores, samples, pairs = [frechet], {"pictures": len(generated)}, None
    coder = find_coder(run, model, step, device)
    if coder is not None and coder.record is not None:
        scores.append(score_regression(coder.record))
    if coder is not None and coder.inverts(model):
        with clock("reconstructions"):
            originals = real[:RECONSTRUCTED]
            reconstructions = reconstruct(model, coder, originals, device)
            scores.append(score_reconstructions(originals, reconstructions))
            samples["reconstructions"] = len(originals)
            pairs = originals[:SHOWN_PAIRS], reconstructions[:SHOWN_PAIRS]
    labelled, codes = None, None
    if coder is not None and isinstance(data, LabelledSet):
        with clock("codes"):
            labelled, codes = encode(coder.encoder, data, settings, device)
            samples |= {"train_codes": labelled.train, "test_codes": len(labelled.codes) - labelled.train}
        scores = [*score_codes(labelled, settings, clock), *scores]
    with clock("directions"):
        directions, strips = follow(model, settings.seed)
    if codes is not None and labelled is not None and coder is not None:
        relate(codes, directions, scores[0], labelled.names, coder.latents)
    report = head(run, model, step, settings, weights, data) | {
        "samples": samples,
        "scores": [score.to_dict() for score in scores],
        "not_applicable": not_applicable(run, model, step, data, coder),
        "notes": [*notes_on_encoder(run, coder), *clipped(data, settings, samples)],
        "codes": codes,
        "encoder": coder.record.to_dict() if coder is not None and coder.record is not None else None,
        "directions": directions,
    }
    return report | foot(clock), Pictures(generated[:SHOWN], real[:SHOWN], pairs, strips)


def head(run: Run, model: object, step: int, settings: Settings, weights: str, data: ImageSet) -> Json:
    """What every report begins with: what was measured."""
    return {
        "version": VERSION,
        "run": run.name,
        "kind": run.kind,
        "model": type(model).__name__,
        "step": step,
        "seed": settings.seed,
        "weights": weights,
        "data": describe(data),
    }


def foot(clock: Clock) -> Json:
    """What every report ends with: by what, how long it took, and when."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"versions": versions(), "seconds": clock.seconds, "created": created}


def score_codes(labelled: Labelled, settings: Settings, clock: Clock) -> list[Score]:
    """MIG, then the three parts of DCI."""
    with clock("MIG"):
        gap = score_mig(labelled, seed=settings.seed)
    with clock(f"DCI by {settings.dci_learner}".replace("_", " ")):
        # One rotation where each costs minutes.
        rotations = 3 if settings.dci_learner == "random_forest" else 1
        return [gap, *score_dci(labelled, learner=settings.dci_learner, seed=settings.seed, rotations=rotations)]


def load_model(run: Run, step: int, device: torch.device) -> tuple[Generator, str]:
    """The averaged generator of the checkpoint after ``step``, in evaluation mode, and the hash of its weights.

    Raises:
        UserError: where there is no such checkpoint, or it is damaged.
    """
    if step not in run.checkpoints():
        possible = ", ".join(map(str, run.checkpoints()))
        raise UserError(f"{run.path} has no checkpoint of step {step}: possible: {possible}")
    folder = run.checkpoint_path(step) / "ema"
    weights = hash_network(folder)
    return cast(Generator, load_network(folder).to(device=device).eval().requires_grad_(False)), weights


def compare_pictures(model: Generator, data: ImageSet, settings: Settings) -> tuple[Score, Tensor, Tensor]:
    """The Fréchet distance, and what it compared: generated pictures and pictures of the data, uint8."""
    n = min(settings.samples or PICTURES, len(data) // 2)
    latents = model.sample_latents(n, seeded(settings.seed, "samples"))
    # As files would hold them: the data have 8 bits, so a finer generated picture would differ from all of them.
    generated = in_batches(lambda z: checked(model.synthesize(z)), latents)
    chosen = torch.randperm(len(data), generator=seeded(settings.seed, "pictures"))[: 2 * n]
    real, other = data.images(chosen[:n]), data.images(chosen[n:])
    network = load_features(device=latents.device)
    return score_pictures(network, generated, real, other, seed=settings.seed), generated, real


def follow(model: Generator, seed: int) -> tuple[Json, list[Tensor]]:
    """The most active of the directions that the training meant to separate, and one strip of pictures along each."""
    found = measure_activity(model, discover(model, seed=seed), seed=seed)
    positions = torch.linspace(-REACH, REACH, COLUMNS).tolist()
    start = model.sample_latents(1, seeded(seed, "strips"))
    best = found.most_active(STRIPS)
    best = [k for k in best if found.activity[k] >= FAINT * found.activity[best[0]]]
    entries = []
    for k, label in enumerate(found.labels):
        axis = int(found.vectors[k].argmax())
        moved = axis if float(found.vectors[k, axis]) > ALONE else None
        entries.append({"name": label, "activity": float(found.activity[k]), "latent": moved})
    info = {
        "discoverer": found.discoverer,
        "count": len(found),
        "positions": positions,
        "all": entries,
        "shown": best,
    }
    return info, [traverse(model, found, k, start, positions) for k in best]


def clipped(data: ImageSet, settings: Settings, samples: dict[str, int]) -> list[str]:
    """Notes on numbers that the data set was too small for."""
    wanted = {
        "pictures": settings.samples or PICTURES,
        "train_codes": settings.train_samples,
        "test_codes": settings.test_samples,
    }
    fewer = [
        f"{got:,} {name.replace('_', ' ')} instead of {wanted[name]:,}"
        for name, got in samples.items()
        if name in wanted and got < wanted[name]
    ]
    return [f"The data set has only {len(data):,} pictures: {', '.join(fewer)}."] if fewer else []


def describe(data: ImageSet) -> Json:
    """The data set as the report names it."""
    factors = list(data.factor_names) if isinstance(data, LabelledSet) else None
    return {
        "name": data.name,
        "size": data.size,
        "channels": data.channels,
        "pictures": len(data),
        "factors": factors,
    }


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    names = ("torch", "numpy", "scikit-learn")
    return {"disentangle": __version__, "python": platform.python_version()} | {name: version(name) for name in names}
