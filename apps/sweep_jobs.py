"""The processes of a sweep: several at once, each on its share of the cores, none left behind."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from disentangle.apps.summary import read_report
from disentangle.errors import UserError
from disentangle.training.run import Run

logger = logging.getLogger(__name__)

LOG = "sweep.log"
"""In a run's folder: what its processes said."""

SECONDS = 60.0
"""Between two lines on how far the sweep is."""

PATIENCE = 10.0
"""Seconds that a process has to end when it is told to, before it is made to."""

DONE = {"train": "trained", "evaluate": "evaluated"}
"""The stages of a run, and what is said when one is over."""

Command = Callable[[str, Path], Sequence[str]]
"""``("train" or "evaluate", the run's folder)`` to the words of a process."""


@dataclass
class Job:
    """A run that is being worked on.

    Attributes:
        path: its folder.
        stage: ``"train"`` or ``"evaluate"``.
        process: that does it.
        began: when, by the monotonic clock.
    """

    path: Path
    stage: str
    process: subprocess.Popen[bytes]
    began: float


def words_of(device: str) -> Command:
    """The commands of a sweep on this device, as processes that end with this one."""

    def words(stage: str, path: Path) -> list[str]:
        target = ["--resume", str(path)] if stage == "train" else [str(path)]
        return [sys.executable, "-m", "disentangle.apps.tether", stage, *target, "--device", device]

    return words


def next_stage(path: Path, evaluate: bool) -> str:
    """What is to be done next with a run: ``"train"``, ``"evaluate"``, or nothing, ``""``."""
    run = Run.open(path)
    if progress_of(path) < 1:
        return "train"
    try:
        scored = read_report(run) is not None
    except UserError:  # a damaged report is made again
        scored = False
    return "evaluate" if evaluate and not scored else ""


def progress_of(path: Path) -> float:
    """How far a run's training is, from 0 to 1, which is only reached by the checkpoint of the last step; 0 where the
    run is damaged, or was removed meanwhile."""
    try:
        run = Run.open(path)
        steps = run.config["recipe"]["steps"]
        if steps in run.checkpoints():
            return 1.0
        rows = run.metrics()
    except UserError:
        return 0.0
    return min(0.999, rows[-1]["step"] / steps) if rows else 0.0


class Pool:
    """Works on runs, ``limit`` at once, until each is done or has failed.

    Args:
        limit: processes at once.
        evaluate: whether to score what is trained.
        command: makes the words of a process.
        environment: of the processes, but for the number of threads.
    """

    def __init__(self, limit: int, evaluate: bool, command: Command, environment: Mapping[str, str]) -> None:
        self.limit, self.evaluate, self.command = limit, evaluate, command
        threads = str(max(1, cores() // limit))
        self.environment = {"OMP_NUM_THREADS": threads, **environment}
        self.running: list[Job] = []
        self.failures: dict[Path, str] = {}

    def work(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Train, and evaluate, the runs at ``paths``; what is done is passed over.

        Returns:
            Why each run that failed did; empty if none has.
        """
        waiting = deque(paths)
        clock = _Clock(paths)
        try:
            while waiting or self.running:
                while waiting and len(self.running) < self.limit:
                    self._start(waiting.popleft())
                self._look()
                clock.say(self.running, self.failures)
                time.sleep(0.1)
        finally:
            self._stop()
        return self.failures

    def _start(self, path: Path) -> None:
        try:
            stage = next_stage(path, self.evaluate)
        except UserError as error:
            self.failures[path] = str(error)
            return
        if not stage:
            return
        with (path / LOG).open("ab") as log:
            process = subprocess.Popen(
                self.command(stage, path),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )
        self.running.append(Job(path, stage, process, time.monotonic()))

    def _look(self) -> None:
        """Take note of the processes that have ended, and start what follows."""
        for job in list(self.running):
            code = job.process.poll()
            if code is None:
                continue
            self.running.remove(job)
            _close(job)
            took = spell(time.monotonic() - job.began)
            why = reason(job, code) if code != 0 else self._undone(job)
            if why:
                self.failures[job.path] = why
                logger.info("%s failed after %s: %s", job.path.name, took, why)
            else:
                logger.info("%s %s in %s", job.path.name, DONE[job.stage], took)
                self._start(job.path)

    def _undone(self, job: Job) -> str:
        """Why a process that ended well has not done its stage after all; empty if it has."""
        try:
            return "it left nothing behind" if next_stage(job.path, self.evaluate) == job.stage else ""
        except UserError as error:
            return str(error)

    def _stop(self) -> None:
        """End what still runs: asked first, then made to."""
        for job in self.running:
            job.process.terminate()
        for job in self.running:
            try:
                job.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                job.process.kill()
                job.process.wait()
            _close(job)
        self.running.clear()


def _close(job: Job) -> None:
    if job.process.stdin is not None:
        job.process.stdin.close()


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reason(job: Job, code: int) -> str:
    """Why a process failed: the signal that ended it, or the last thing that it said."""
    if code < 0:
        return f"ended by the signal {signal.Signals(-code).name}"
    lines = (job.path / LOG).read_text(errors="replace").strip().splitlines()
    last = lines[-1].removeprefix("disentangle: error: ") if lines else "it said nothing"
    return f"exit code {code}: {last}"


def spell(seconds: float) -> str:
    """A length of time in words: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class _Clock:
    """Says now and then how far the sweep is, and how long it will take yet."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self.began = self.spoke = time.monotonic()
        self.start = self.share()

    def share(self) -> float:
        """The part of all training that is done, from 0 to 1."""
        return sum(map(progress_of, self.paths)) / max(1, len(self.paths))

    def say(self, running: Sequence[Job], failures: Mapping[Path, str]) -> None:
        """A line, if a minute has passed."""
        now = time.monotonic()
        if now - self.spoke < SECONDS:
            return
        self.spoke = now
        shares = {path: progress_of(path) for path in self.paths}
        share = self.share()
        busy = {job.path: f"{job.path.name} {shares[job.path]:.0%}" for job in running}
        done = sum(value == 1 and path not in busy for path, value in shares.items())
        left = ""
        if share > self.start:
            left = f", about {spell((now - self.began) * (1 - share) / (share - self.start))} left"
        logger.info(
            "%d of %d runs done, %s%s%s",
            done,
            len(shares),
            ", ".join(busy.values()) or "none running",
            f", {len(failures)} failed" if failures else "",
            left,
        )
