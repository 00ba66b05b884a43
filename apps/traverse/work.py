"""Long work for a visitor: in a thread, with progress, and stopped when it is not wanted any more."""

import html
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import gradio as gr

from disentangle.directions import Progress
from disentangle.errors import UserError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

Shown = tuple[str, Any, str]
"""What a tab says, as HTML; whether its button to go on is there; the name of what was kept, or ``""``."""
MOST_CANCELLED = 1024
"""Visitors of whom it is remembered that they want no work."""
PAUSE = 0.25
"""Seconds between two looks at how far a job is."""


class Stopped(Exception):
    """Raised in a job by its next report of progress, after it was cancelled."""


class Job(Generic[Result]):
    """A task in a thread of its own, which may be stopped wherever it reports progress.

    Args:
        task: what to do; it is given the function to report with.
        begin: whether to do it at all; a job that does not begin was cancelled.
    """

    def __init__(self, task: Callable[[Progress], Result], begin: bool = True) -> None:
        self.share, self.doing = 0.0, "beginning"
        self.result: Result | None = None
        self.error = ""
        self._task = task
        self._stop = threading.Event()
        if not begin:
            self._stop.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Have it end at its next report."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has come."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _report(self, share: float, doing: str) -> None:
        if self._stop.is_set():
            raise Stopped
        self.share, self.doing = min(1.0, max(0.0, float(share))), doing

    def _run(self) -> None:
        try:
            self._report(0.0, "beginning")
            self.result = self._task(self._report)
        except Stopped:
            self.error = "Cancelled: nothing was kept."
        except UserError as error:
            self.error = str(error)
        except Exception as error:
            logger.exception("a job failed")
            self.error = f"this went wrong ({type(error).__name__}): the terminal of the app says more"


class Work:
    """The jobs of all visitors, one each."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job[object]] = {}
        self._cancelled: dict[str, None] = {}  # visitors, the latest last
        self._lock = threading.Lock()

    def enter(self, request: gr.Request) -> str:
        """A visitor has asked for work, which may have to wait for that of others; what to say, as HTML."""
        with self._lock:
            self._cancelled.pop(str(request.session_hash), None)
        return words("Waiting for a turn.")

    def follow(self, visitor: str, task: Callable[[Progress], Result]) -> Iterator[Job[Result]]:
        """Run a task, and yield its job every now and then, at last when it has ended.

        Whoever stops listening stops the job, and so does another job of the same visitor's. It does not begin where
        the visitor has cancelled it while it was waiting.
        """
        with self._lock:
            before = self._jobs.get(visitor)
            job = Job(task, begin=visitor not in self._cancelled)
            self._jobs[visitor] = job  # type: ignore[assignment]
        if before is not None:
            before.stop()
        try:
            while not job.wait(PAUSE):
                yield job
            yield job
        finally:
            job.stop()
            with self._lock:
                if self._jobs.get(visitor) is job:
                    del self._jobs[visitor]

    def shown(
        self,
        request: gr.Request,
        begin: Callable[[], Callable[[Progress], tuple[str, str]]],
        said: Callable[[tuple[str, str]], str],
    ) -> "Iterator[Shown]":
        """What a tab shows of a job while it goes on, and of what came of it.

        Args:
            request: the visitor's.
            begin: gives the task, whose result is the name under which it is kept and more; may raise a UserError.
            said: the result in words, as HTML.
        """
        hidden = gr.update(visible=False)
        try:
            task = begin()
        except UserError as error:
            yield words(str(error)), hidden, ""
            return
        for job in self.follow(str(request.session_hash), task):
            if job.result is not None:
                yield said(job.result), gr.update(visible=True), job.result[0]
            else:
                yield words(job.error) if job.error else bar(job), hidden, ""

    def stop(self, visitor: str) -> None:
        """Stop the visitor's job, whether it is under way or still waits for its turn."""
        with self._lock:
            self._cancelled.pop(visitor, None)
            self._cancelled[visitor] = None
            if len(self._cancelled) > MOST_CANCELLED:
                del self._cancelled[next(iter(self._cancelled))]
            job = self._jobs.get(visitor)
        if job is not None:
            job.stop()

    def close(self, seconds: float) -> None:
        """Stop all jobs and wait for them, so long at most: Python ends badly while one is still at it."""
        end = time.monotonic() + seconds
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.stop()
        for job in jobs:
            job.wait(max(0.0, end - time.monotonic()))

    def forget(self, request: gr.Request) -> None:
        """A visitor has pressed Cancel, or closed the page. What follows the job says what came of it."""
        self.stop(str(request.session_hash))


def bar(job: "Job[Result]") -> str:
    """How far a job is, as HTML."""
    share = round(100 * job.share)
    words = html.escape("stopping" if job.stopped else job.doing)
    return (
        f'<div class="d-work"><div class="d-progress" role="progressbar" aria-label="{words}" aria-valuenow="{share}" '
        f'aria-valuemin="0" aria-valuemax="100"><i style="--share:{share}%"></i></div>'
        f"<span>{share} % · {words}</span></div>"
    )


def words(text: str, kind: str = "") -> str:
    """A sentence as HTML; `…` are code."""
    parts = html.escape(text).split("`")
    inner = "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
    return f'<div class="d-work {kind}" role="status"><span>{inner}</span></div>'
