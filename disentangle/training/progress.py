"""How far a training is: a line that moves on a terminal, a line now and then in a log."""

import logging
import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

LOG_SECONDS = 15.0
"""Seconds between two lines where the output is no terminal."""


class ProgressLine:
    """Shows step, speed, time left and the newest losses; silent where ``shown`` is false.

    Args:
        steps: steps of the whole training.
        start: steps already done.
        shown: whether this process is the one that speaks.
        unit: what a step is called.
    """

    def __init__(self, steps: int, start: int, shown: bool, unit: str = "step") -> None:
        self.steps, self.start, self.unit = steps, start, unit
        self.began = self.spoke = time.monotonic()
        self.losses = ""
        self.shown = shown
        self.bar: Progress | None = None
        self.task = TaskID(0)
        if shown and sys.stderr.isatty():
            self.bar = Progress(
                TextColumn(unit + " {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[losses]}"),
                console=Console(stderr=True),
            )
            self.task = self.bar.add_task("", total=steps, completed=start, speed="", losses="")
            self.bar.start()

    def update(self, step: int, losses: Mapping[str, float] | None = None) -> None:
        """Say that ``step`` is done; ``losses`` where they are known."""
        if not self.shown:
            return
        if losses is not None:
            self.losses = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        now = time.monotonic()
        speed = (step - self.start) / max(now - self.began, 1e-9)
        if self.bar is not None:
            self.bar.update(self.task, completed=step, speed=f"{speed:.1f} {self.unit}s/s", losses=self.losses)
        elif now - self.spoke >= LOG_SECONDS or step == self.steps:
            self.spoke = now
            left = (self.steps - step) / max(speed, 1e-9)
            clock = f"{left // 60:.0f}:{left % 60:02.0f}"
            rate = f"{speed:.1f} {self.unit}s/s"
            logger.info("%s %d/%d  %s  %s left  %s", self.unit, step, self.steps, rate, clock, self.losses)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()
