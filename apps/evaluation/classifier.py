"""From a classifier's run to the contents of its report: has it name the test pictures, and has the answers scored."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from disentangle.apps.evaluation.classifier_scores import Integers, confusions, mistakes, score_classifier
from disentangle.apps.evaluation.measure import Clock, Json, foot, head
from disentangle.apps.evaluation.settings import Settings
from disentangle.apps.evaluation.subject import load_model
from disentangle.apps.evaluation.team import BATCH
from disentangle.apps.history import KAPPA, curves_of
from disentangle.data import ClassLabels, ImageSet
from disentangle.data.identity import describe
from disentangle.errors import UserError
from disentangle.pictures import from_uint8
from disentangle.training.draws import seeded
from disentangle.training.hardware import choose_device
from disentangle.training.run import Run

MISTAKES = 24
"""Wrong answers that are shown."""


@dataclass(frozen=True)
class Test:
    """The pictures that a classifier is tested on.

    Attributes:
        data: the set.
        chosen: ``(n,)``, which of its pictures.
        labels: ``(n,)``, their classes.
        names: of the classes.
    """

    data: ImageSet
    chosen: Tensor
    labels: Integers
    names: tuple[str, ...]


@torch.no_grad()
def measure_classifier(run: Run, settings: Settings) -> tuple[Json, Tensor]:
    """All numbers and pictures of a classifier's report. Writes nothing.

    Args:
        run: the run.
        settings: what is measured; of its numbers of samples, only ``samples`` matters here.

    Returns:
        The contents of ``report.json`` but for the command, and the pictures that it is most wrong about, uint8.

    Raises:
        UserError: where the run has no such checkpoint, its data are missing, or its answers not finite.
    """
    clock = Clock()
    with clock("reading the model and the data"):
        step = run.step if settings.checkpoint is None else settings.checkpoint
        device = choose_device(settings.device)
        model, weights = load_model(run, step, device)
        test = test_of(run, settings)
    with clock("answers"):
        logits = answers(cast(nn.Module, model), test, device)
    if logits.shape[1] != len(test.names):
        raise UserError(
            f"the classifier tells {logits.shape[1]} classes apart and the test pictures of {test.data.name!r} have "
            f"{len(test.names)}: they are not those that it was trained for"
        )
    values = logits.double().numpy()
    with clock("scores"):
        scores = score_classifier(values, test.labels, seed=settings.seed)
        wrong = mistakes(values, test.labels, test.names, MISTAKES)
    for mistake in wrong:  # of the data set, not of what was chosen of it
        mistake["index"] = int(test.chosen[mistake["index"]])
    notes = []
    if settings.samples is not None and settings.samples > len(test.chosen):
        notes.append(f"There are only {len(test.chosen):,} test pictures, not {settings.samples:,}.")
    report = head(run, model, step, settings, weights, describe(test.data)) | {
        "samples": {"pictures": len(test.chosen)},
        "scores": [score.to_dict() for score in scores],
        "not_applicable": [],
        "notes": notes,
        "classes": list(test.names),
        "confusion": confusions(values, test.labels, test.names),
        "mistakes": wrong,
        "conditioning": conditioning(run, step),
    }
    pictures = test.data.images(torch.tensor([mistake["index"] for mistake in wrong], dtype=torch.int64))
    return report | foot(clock), pictures


def test_of(run: Run, settings: Settings) -> Test:
    """The pictures to be named: all of the run's test pictures, or so many of them, drawn at random.

    Raises:
        UserError: where they are missing or have no classes.
    """
    data = run.test_data()
    labels = ClassLabels(data, run.config["recipe"]["loss"].get("factor"))
    chosen = torch.arange(len(data))
    if settings.samples is not None and settings.samples < len(data):
        drawn = torch.randperm(len(data), generator=seeded(settings.seed, "pictures"))
        chosen = drawn[: settings.samples].sort().values
    return Test(data, chosen, labels(chosen).numpy(), tuple(labels.names))


def answers(model: nn.Module, test: Test, device: torch.device) -> Tensor:
    """The logits ``(n, k)`` of the test pictures.

    Raises:
        UserError: where they are not finite.
    """
    parts = [model(from_uint8(test.data.images(part)).to(device)).float().cpu() for part in test.chosen.split(BATCH)]
    logits = torch.cat(parts)
    if not bool(logits.isfinite().all()):
        raise UserError(
            "the answers are not finite: the training has diverged; score an earlier step with --checkpoint"
        )
    return logits


def conditioning(run: Run, step: int) -> Json:
    """What the run recorded of each SVD meta-layer's covariance up to ``step``: the final and the highest log10 κ, and
    the rank."""
    rows = [row for row in run.metrics() if row["step"] <= step]
    kinds = {
        "log10_kappa": curves_of(rows, KAPPA),
        "log10_kappa_rank": curves_of(rows, f"{KAPPA}_rank"),
        "log10_kappa_ridge": curves_of(rows, f"{KAPPA}_ridge"),
        "rank": curves_of(rows, "rank"),
    }
    found: Json = {}
    for kind, curves in kinds.items():
        for layer, curve in curves.items():
            entry = {"final": curve.final, "highest": curve.highest, "rows": len(curve.points)}
            found.setdefault(layer, {})[kind] = entry
    return found
