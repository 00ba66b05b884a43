"""How far a long task is: a bar on a terminal, nothing elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""Told that so many more are done."""


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """A bar on standard error while the body runs, where a person sees it.

    Args:
        label: what is being done.
        total: of how many things.
    """
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bars:
        task = bars.add_task(label, total=total)
        yield lambda count: bars.advance(task, count)
