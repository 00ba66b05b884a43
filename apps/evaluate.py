"""``disentangle evaluate RUN``: score a run and write its report."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from disentangle.apps.arguments import parse
from disentangle.apps.evaluation.settings import Settings
from disentangle.errors import UserError

if TYPE_CHECKING:  # imported where it is used: `disentangle evaluate --help` must not wait for torch
    from disentangle.apps.evaluation.team import Team
    from disentangle.training.run import Run

SCORES = "scores"
"""Folder, beside a report, of the scores that are done."""

DESCRIPTION = """Score a run, or arrays of codes and factors. A generator: how far its pictures are from the data, and,
where it has an encoder and its data have labels, how disentangled its codes are. A classifier: accuracy, likelihood and
calibration on the test pictures, and what it takes for what.

Writes report.json and report.html, with pictures, into the run's folder, and every score into its folder scores as soon
as it is done: after Ctrl-C or a kill the same command goes on, and the report has all that was scored alike before.

examples:
  disentangle evaluate runs/sprites-vae --scores full
  disentangle evaluate runs/sprites-vae --against runs/other-vae
  disentangle evaluate --codes codes.npy --factors factors.npy --out report
"""


@dataclass(frozen=True, kw_only=True)
class Args(Settings):
    """Command line of ``disentangle evaluate``.

    Attributes:
        run: the run's folder.
        out: folder for report.json and report.html; by default the run's.
        against: another run's folder, scored alike, to whose scores those of this one are compared.
        siblings: runs that differ from this one in their seed alone: how alike their codes are (UDR), without labels.
        codes: in place of a run, codes (n, d) in a .npy, .npz or .csv file …
        factors: … and the factors (n, k) that they are of, integers.
        factor_names: names of the factors in that file.
        fresh: compute everything anew, also what is done already.
        schema: print the JSON Schema of report.json, and end.
    """

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    out: Path | None = None
    against: Path | None = None
    siblings: tuple[Path, ...] = ()
    codes: Path | None = None
    factors: Path | None = None
    factor_names: tuple[str, ...] = ()
    fresh: bool = False
    schema: bool = False

    def check_what(self) -> None:
        """Raise :class:`UserError` unless a run is given, or codes and factors, and a folder for their report."""
        if self.out is not None and self.out.exists() and not self.out.is_dir():
            raise UserError(f"--out must be a folder, and {self.out} is a file: name a folder")
        if (self.codes is None) != (self.factors is None):
            raise UserError("--codes and --factors go together: give both")
        if (self.run is None) == (self.codes is None):
            raise UserError("expected what to score, one of the two: a run's folder, or --codes FILE --factors FILE")
        if self.codes is not None and (self.out is None or self.against is not None or self.siblings):
            raise UserError("--codes needs --out FOLDER for the report, and has no run to be put beside another")
        if self.run is not None and self.factor_names:
            raise UserError("--factor-names are for --factors: the data set of a run has its own")


def main(argv: list[str]) -> None:
    """Entry point: parse, score, write, show."""
    args = parse(Args, args=argv, prog="disentangle evaluate", description=DESCRIPTION)
    if args.schema:
        from disentangle.apps.evaluation.schema import schema

        sys.stdout.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
        return
    args.check_what()
    args.check()
    command = shlex.join(["disentangle", "evaluate", *argv])
    if args.codes is not None and args.factors is not None and args.out is not None:
        names = args.factor_names
        report = evaluate_arrays(
            args.codes, args.factors, args, out=args.out, names=names, fresh=args.fresh, command=command
        )
        folder = args.out
    else:
        from disentangle.training.run import Run

        run = Run.open(args.run or Path())
        other = None if args.against is None else Run.open(args.against)
        siblings = [Run.open(path) for path in args.siblings]
        report = evaluate(run, args, out=args.out, against=other, siblings=siblings, fresh=args.fresh, command=command)
        folder = args.out or run.path
    if report:
        from disentangle.apps.report import show

        show(report, folder / "report.html", sys.stdout)
    from disentangle.apps.evaluation.team import part

    part()


def evaluate(
    run: "Run",
    settings: Settings | None = None,
    *,
    out: Path | None = None,
    against: "Run | None" = None,
    siblings: "Sequence[Run]" = (),
    fresh: bool = False,
    command: str | None = None,
) -> dict[str, Any]:
    """Score a run and write ``report.json`` and ``report.html``, and each score as soon as it is done.

    Where torchrun started several processes they share the work, and the first one writes.

    Args:
        run: the run.
        settings: what is measured; by default :class:`Settings` as they are.
        out: where to write; by default the run's folder.
        against: another run, scored alike, to which this one is compared.
        siblings: runs that differ in their seed alone, for UDR.
        fresh: compute everything anew.
        command: what the report names as the command that makes it again.

    Returns:
        The contents of ``report.json``; in processes but the first, nothing.

    Raises:
        UserError: where the run has no checkpoint, its data or a network's weights are missing, its pictures are not
            finite, the other runs have no codes or are on other data, or the report cannot be written; an earlier
            report is then left as it was.
    """
    from disentangle.apps.evaluation.suite import select
    from disentangle.apps.evaluation.team import Team
    from disentangle.training.files import check_writable

    settings = settings or Settings()
    settings.check()
    select(settings.scores)  # a name that is none is said now, and not when the model has been read
    folder = out or run.path
    for other in (run, against, *siblings):
        if other is not None and other.kind == "classifier" and (against is not None or siblings):
            raise UserError(f"{other.path} is a classifier: `disentangle compare` puts classifiers side by side")
    check_writable(folder)
    if against is not None:
        check_writable(against.path)
    called = {"command": command or shlex.join(["disentangle", "evaluate", str(run.path)])}
    team = Team()
    if run.kind == "classifier":
        report, page = _classifier(run, settings, called)
    else:
        report, page = _generator(run, settings, folder, against, siblings, fresh, called, team)
    if team.rank == 0:
        _write(folder, report, page)
    team.wait()
    return report if team.rank == 0 else {}


def _write(folder: Path, report: dict[str, Any], page: str) -> None:
    """Write the report and its page, and wait for whoever is writing them: both are of one evaluation."""
    from disentangle.apps.report import write
    from disentangle.training.files import disk_errors, locked

    held = folder / SCORES  # a training may hold the folder itself for hours
    with disk_errors(held):
        held.mkdir(exist_ok=True)
    with locked(held, wait=True):
        write(folder, report, page)


def _classifier(run: "Run", settings: Settings, called: dict[str, Any]) -> tuple[dict[str, Any], str]:
    from disentangle.apps.classifier_page import render_classifier
    from disentangle.apps.evaluation.classifier import measure_classifier

    report, mistaken = measure_classifier(run, settings)
    report |= called
    return report, render_classifier(report, mistaken, run.metrics(), run.config)


def _generator(
    run: "Run",
    settings: Settings,
    folder: Path,
    against: "Run | None",
    siblings: "Sequence[Run]",
    fresh: bool,
    called: dict[str, Any],
    team: "Team",
) -> tuple[dict[str, Any], str]:
    from disentangle.apps.evaluation.ledger import Ledger
    from disentangle.apps.evaluation.measure import measure
    from disentangle.apps.report import render

    rival = None if against is None else (against, Ledger(against.path / SCORES, fresh))
    report, pictures = measure(run, settings, Ledger(folder / SCORES, fresh), team, siblings, rival)
    report |= called
    return report, render(report, pictures, run.metrics(), run.config)


def evaluate_arrays(
    codes: Path,
    factors: Path,
    settings: Settings | None = None,
    *,
    out: Path,
    names: tuple[str, ...] = (),
    fresh: bool = False,
    command: str | None = None,
) -> dict[str, Any]:
    """Score codes and factors in files, and write ``report.json`` and ``report.html``; see :func:`evaluate`.

    Args:
        codes: ``(n, d)`` in ``.npy``, ``.npz`` of one array, or ``.csv``.
        factors: ``(n, k)`` integers, likewise.
        settings: what is measured.
        out: where to write.
        names: of the factors.
        fresh: compute everything anew.
        command: what the report names as the command that makes it again.

    Raises:
        UserError: where a file cannot be read or the arrays do not fit, or the report cannot be written.
    """
    from disentangle.apps.evaluation.arrays import measure_arrays
    from disentangle.apps.evaluation.ledger import Ledger
    from disentangle.apps.evaluation.team import Team
    from disentangle.apps.report import render_codes
    from disentangle.training.files import check_writable

    settings = settings or Settings()
    settings.check()
    check_writable(out)
    team = Team()
    report = measure_arrays(codes, factors, settings, Ledger(out / SCORES, fresh), names, team)
    report["command"] = command or shlex.join(
        ["disentangle", "evaluate", "--codes", str(codes), "--factors", str(factors), "--out", str(out)]
    )
    if team.rank == 0:
        _write(out, report, render_codes(report))
    team.wait()
    return report if team.rank == 0 else {}
