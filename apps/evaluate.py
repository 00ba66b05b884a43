"""``disentangle evaluate RUN``: score a run and write its report."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError, check_seed

if TYPE_CHECKING:  # imported where it is used: `disentangle evaluate --help` must not wait for torch
    from disentangle.training.run import Run

DESCRIPTION = """Score a run. A generator: the Fréchet distance, and MIG and DCI where it has an encoder and its data
have labels. A classifier: accuracy, likelihood and calibration on the test pictures, and what it takes for what.

Writes report.json and report.html, with pictures, into the run's folder.

example:
  disentangle evaluate runs/sprites-vae --samples 5000
"""


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        train_samples: codes from which MIG is counted and DCI's predictors learn.
        test_samples: other codes, on which DCI's predictors are tested.
        samples: pictures on each side of the Fréchet distance, at most half of the data set, by default 2000; or test
            pictures of a classifier, by default all.
        dci_learner: DCI's predictor. gradient_boosting is the published one, and takes minutes to hours.
        seed: of everything that is drawn at random.
        device: where the networks run: auto takes an accelerator where there is one.
        checkpoint: the step of the checkpoint to score; by default the newest.
    """

    train_samples: int = 10_000
    test_samples: int = 5_000
    samples: int | None = None
    dci_learner: Literal["random_forest", "gradient_boosting"] = "random_forest"
    seed: int = 0
    device: Literal["auto", "cpu"] = "auto"
    checkpoint: int | None = None

    def check(self) -> None:
        """Raise :class:`UserError` where a number makes no sense."""
        check_seed(self.seed)
        for name, least in (("train_samples", 20), ("test_samples", 1), ("samples", 2)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UserError(f"--{option} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Args(Settings):
    """Command line of ``disentangle evaluate``.

    Attributes:
        run: the run's folder.
        out: folder for report.json and report.html; by default the run's.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: Path | None = None


def main(argv: list[str]) -> None:
    """Entry point: parse, score, write, show."""
    args = parse(Args, args=argv, prog="disentangle evaluate", description=DESCRIPTION)
    from disentangle.apps.report import show
    from disentangle.training.run import Run

    out = args.out
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"--out must be a folder, and {out} is a file: name a folder")
    run = Run.open(args.run)
    command = shlex.join(["disentangle", "evaluate", *argv])
    report = evaluate(run, args, out=out, command=command)
    show(report, (out or run.path) / "report.html", sys.stdout)


def evaluate(
    run: "Run", settings: Settings | None = None, *, out: Path | None = None, command: str | None = None
) -> dict[str, Any]:
    """Score a run and write ``report.json`` and ``report.html``.

    Args:
        run: the run.
        settings: what is measured; by default :class:`Settings` as they are.
        out: where to write; by default the run's folder.
        command: what the report names as the command that makes it again.

    Returns:
        The contents of ``report.json``.

    Raises:
        UserError: where the run has no checkpoint, its data are missing, its pictures are not finite, or the report
            cannot be written; an earlier report is then left as it was.
    """
    from disentangle.apps.report import write
    from disentangle.training.files import check_writable

    settings = settings or Settings()
    settings.check()
    check_writable(out or run.path)
    called = {"command": command or shlex.join(["disentangle", "evaluate", str(run.path)])}
    if run.kind == "classifier":
        from disentangle.apps.classifier_page import render_classifier
        from disentangle.apps.evaluation.classifier import measure_classifier

        report, mistaken = measure_classifier(run, settings)
        report |= called
        page = render_classifier(report, mistaken, run.metrics(), run.config)
    else:
        from disentangle.apps.evaluation.measure import measure
        from disentangle.apps.report import render

        report, pictures = measure(run, settings)
        report |= called
        page = render(report, pictures, run.metrics(), run.config)
    write(out or run.path, report, page)
    return report
