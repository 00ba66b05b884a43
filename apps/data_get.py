"""``disentangle data get``: downloads a data set."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError, unknown_name

if TYPE_CHECKING:  # torch and rich are imported when they are needed: `--help` must not wait for them
    from rich.table import Table

    from disentangle.data.base import Description
    from disentangle.data.download import Report

logger = logging.getLogger(__name__)

EXAMPLES = """
examples:
  disentangle data get --list
  disentangle data get dsprites
  disentangle data get mpi3d-real --root /mnt/large/mpi3d
"""


@dataclass(frozen=True)
class GetArgs:
    """Download a data set, check it, and put it where it is found; or say how to get it by hand.

    What was cut short goes on where it stopped when the command is called again.
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """The data set."""
    root: Path | None = None
    """Put the files in this folder, not in the cache (or $DISENTANGLE_DATA)."""
    list: bool = False
    """Show what is here and what can be fetched."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    description = inspect.cleandoc(GetArgs.__doc__ or "") + "\n" + EXAMPLES
    options = (tyro.conf.FlagCreatePairsOff,)
    args = parse(GetArgs, args=list(argv), prog="disentangle data get", description=description, config=options)
    if args.name is not None and args.list:
        raise UserError("give the name of a data set to fetch, or --list, not both")
    if args.name is None:
        if args.root is not None:
            raise UserError("name the data set to put there: disentangle data get NAME --root FOLDER")
        from disentangle.apps.data import show

        show(_list())
        return

    from disentangle.data import SETS

    if args.name not in SETS:
        raise unknown_name("data set", args.name, SETS)
    get(SETS[args.name], None if args.root is None else args.root.expanduser())


def get(description: Description, root: Path | None) -> None:
    """Download what a data set needs to ``root``, or to the cache if it is in no usual place.

    Raises:
        UserError: where it has to be fetched by hand, or the download fails.
    """
    from disentangle.data import files
    from disentangle.data.download import download_all, verify

    name = description.name
    found = description.find(root)
    folder = files.cache(name) if root is None else root
    for remote in description.files:
        for path in {where / remote.name for where in (found, folder) if where is not None}:
            if path.is_file():
                logger.info("checking %s", path)
                verify(remote, path)
    if found is not None and not (root is not None and description.files and _lacks(description, root)):
        logger.info("%s is here: %s", name, found)
    elif description.by_hand:
        raise UserError(f"{name} cannot be downloaded: {description.by_hand}; put it in {folder}, or name it as root")
    elif not description.files:
        raise UserError(f"{name} has no files to download: {description.source}")
    else:
        with _progress(name) as report:
            download_all(description.files, folder, name, report)
        logger.info("%s is in %s", name, folder)


def _lacks(description: Description, root: Path) -> bool:
    return not all((root / remote.name).exists() for remote in description.files)


@contextmanager
def _progress(name: str) -> Iterator[Report]:
    """A bar on the terminal, if standard error is one."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda here, total: bar.update(task, completed=here, total=total)


def _list() -> Table:
    from rich.table import Table

    from disentangle.data import SETS
    from disentangle.data.download import total_size

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "download", "where"):
        table.add_column(heading, overflow="fold")
    for name, one in SETS.items():
        if one.files or one.by_hand:
            size = total_size(one.files)
            found = one.find(None)
            how = "by hand" if one.by_hand else "" if size is None else f"{size / 1e6:,.0f} MB"
            table.add_row(name, how, str(found) if found is not None else one.by_hand or "not here")
    return table
