"""How far a long task is: a bar on a terminal, little elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Advance:
    """Told how far a task is.

    Attributes:
        by: that so many more are done.
        to: that so many are done in all.
    """

    by: Callable[[int], None] = lambda count: None
    to: Callable[[int], None] = lambda count: None


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """A bar on standard error while the body runs, where a person sees it.

    Args:
        label: what is being done.
        total: of how many things.
    """
    if not sys.stderr.isatty():
        yield Advance()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bars:
        task = bars.add_task(label, total=total)
        yield Advance(
            lambda count: bars.advance(task, count),
            lambda count: bars.update(task, completed=count),
        )


@contextmanager
def stages() -> Iterator[Callable[[float, str], None]]:
    """A bar on standard error of a task that says itself, again and again, what it is doing; where no person sees it a
    line now and then, as trainings log.

    Gives what is told the share that is done, in [0, 1], and what is being done.
    """
    if not sys.stderr.isatty():
        from disentangle.training.progress import LOG_SECONDS

        spoke = time.monotonic()

        def log(share: float, text: str) -> None:
            nonlocal spoke
            if time.monotonic() - spoke >= LOG_SECONDS:
                spoke = time.monotonic()
                logger.info("%.0f %%: %s", 100 * share, text)

        yield log
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda share, text: bars.update(task, completed=share, description=text)
