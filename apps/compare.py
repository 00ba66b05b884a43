"""``disentangle compare RUN…``: runs side by side."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

DESCRIPTION = """Put runs side by side: condition numbers, accuracy and scores, with mean and spread over seeds.

Runs that differ only in their seed form a group, which is named by the settings in which the groups differ. A folder of
runs stands for all of them. With --out it writes compare.json, compare.md, compare.svg, compare.png and compare.html.

example:
  disentangle compare runs/none runs/nog runs/olr --out comparison
"""


@dataclass(frozen=True)
class Args:
    """Command line of ``disentangle compare``.

    Attributes:
        runs: the runs' folders, or folders of runs.
        out: folder for the table and the picture; by default they are only shown.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ()
    out: Path | None = None


def main(argv: list[str]) -> None:
    """Entry point: parse, read, compare, write, show."""
    args = parse(Args, args=argv, prog="disentangle compare", description=DESCRIPTION)
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out must be a folder, and {args.out} is a file: name a folder")
    compare_runs(run_folders(args.runs), args.out, shlex.join(["disentangle", "compare", *argv]))


def compare_runs(paths: Sequence[Path], out: Path | None, command: str) -> None:
    """Compare the runs at ``paths``, write the files to ``out`` if it is given, and show the table.

    Raises:
        UserError: where there is no run, one is none, is unfinished or is named twice, or the files cannot be written.
    """
    from disentangle.apps.comparison import compare
    from disentangle.apps.comparison_files import show, write_files
    from disentangle.apps.summary import summarise
    from disentangle.training.files import check_writable
    from disentangle.training.run import Run

    if out is not None:
        check_writable(out)
    comparison = compare([summarise(Run.open(path)) for path in paths])
    written = write_files(out, comparison, command) if out is not None else []
    show(comparison, written, sys.stdout)


def run_folders(paths: Sequence[Path]) -> list[Path]:
    """Each path, or, where it is a folder of runs and no run itself, the runs in it, by name."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(config.parent for config in path.glob("*/config.json"))
        found += inside if inside and not (path / "config.json").exists() else [path]
    return found
