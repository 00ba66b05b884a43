"""Long work for visitors: begun in turn, stopped when it is not wanted, and in nobody's way."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Response
from gradio import Request

from disentangle.apps.studio import Studio
from disentangle.apps.traverse import finder
from disentangle.apps.traverse.routes import WAITING, Room
from disentangle.apps.traverse.server import Serving
from disentangle.apps.traverse.work import MOST_CANCELLED, Job, Stopped, Work
from disentangle.directions import Directions, Progress
from disentangle.errors import UserError
from disentangle.training.run import Run
from tests.runs import gan_run


def test_a_job_can_be_stopped_and_reports(caplog: pytest.LogCaptureFixture) -> None:
    reached: list[float] = []

    def task(progress: Progress) -> str:
        for i in range(10_000):
            progress(i / 10_000, "at it")
            reached.append(i)
            time.sleep(0.005)
        return "done"

    job = Job(task)
    assert not job.wait(0.05)
    job.stop()
    assert job.wait(10)
    assert 0 < len(reached) < 5000
    assert (job.result, job.error) == (None, "Cancelled: nothing was kept.")
    for error, said in ((UserError("no such thing"), "no such thing"), (RuntimeError("x"), "this went wrong")):

        def fails(_: Progress, error: Exception = error) -> str:
            raise error

        failed = Job(fails)
        assert failed.wait(10)
        assert said in failed.error
    assert "a job failed" in caplog.text
    finished = Job(lambda progress: "done")
    assert finished.wait(10)
    assert finished.result == "done"
    finished.stop()
    with pytest.raises(Stopped):
        finished._report(0.5, "")


def test_work_that_is_cancelled_before_its_turn_does_not_begin() -> None:
    work, visitor, begun = Work(), Request(session_hash="v"), []

    def task(progress: Progress) -> str:
        begun.append(1)
        while not begun[2:]:
            progress(0.5, "at it")
            time.sleep(0.005)
        return "done"

    assert "Waiting" in work.enter(visitor)
    work.forget(visitor)
    (job,) = work.follow("v", task)
    assert (job.result, job.error, begun) == (None, "Cancelled: nothing was kept.", [])
    for end in (lambda jobs: work.forget(visitor), lambda jobs: jobs.close()):
        work.enter(visitor)
        jobs = work.follow("v", task)
        job = next(jobs)
        assert job.result is None
        end(jobs)
        assert job.wait(10)
        assert job.error == "Cancelled: nothing was kept."
        assert all(job.wait(0) for job in jobs)
    for other in range(MOST_CANCELLED + 1):  # whoever they are, they do not take the place of the visitor
        work.enter(Request(session_hash=f"other {other}"))
        work.forget(Request(session_hash=f"other {other}"))
    work.enter(visitor)
    assert next(work.follow("v", task)).error == ""
    begun[:] = []
    for _ in range(2):  # one in each of two tabs
        work.enter(visitor)
    first = next(work.follow("v", task))
    second = work.follow("v", task)
    assert next(second) is not first
    assert first.wait(10), "another job of the same visitor's ends the one before"
    begun += [1, 1]
    assert list(second)[-1].result == "done"


def test_the_end_of_the_server_is_that_of_its_work() -> None:
    work, begun = Work(), threading.Event()

    def task(progress: Progress) -> None:
        while True:
            begun.set()
            progress(0.5, "at it")
            time.sleep(0.005)

    jobs = work.follow("v", task)
    job = next(jobs)
    assert begun.wait(10)
    work.close(10)
    assert job.wait(0)
    assert job.error == "Cancelled: nothing was kept."


class Slow:
    """A server that takes a while to end."""

    should_exit = False

    def run(self, sockets: list[object]) -> None:
        while not self.should_exit:
            time.sleep(0.005)
        time.sleep(0.3)


def test_an_interrupt_waits_for_the_end_of_the_server(ctrl_c: None) -> None:
    """What joins a thread is told, once interrupted, that it has ended."""
    serving = Serving.begin("", Slow(), None)  # type: ignore[arg-type]
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    serving.wait()
    assert serving.ended.is_set()


class Asked:
    """A request, as far as :class:`Room` looks at it."""

    def __init__(self, gone: bool = False) -> None:
        self.gone = gone

    async def is_disconnected(self) -> bool:
        return self.gone


def test_requests_wait_for_a_processor_and_those_given_up_are_not_worked_on() -> None:
    room, at_once, most = Room(), [0], [0]

    def make() -> Response:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.05)
        at_once[0] -= 1
        return Response("made")

    async def ask() -> list[int]:
        codes = [(await room.work(Asked(gone=True), make, room.quick)).status_code]  # type: ignore[arg-type]
        assert most == [0]
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(room.work, Asked(), make, room.quick)
        room.waiting = WAITING
        return [*codes, (await room.work(Asked(), make, room.quick)).status_code]  # type: ignore[arg-type]

    assert anyio.run(ask) == [499, 503]
    assert most == [os.cpu_count()]
    assert room.drawing.total_tokens < room.quick.total_tokens or os.cpu_count() == 1


def test_the_queue_is_bounded_and_a_closed_page_ends_its_work(app: httpx.Client) -> None:
    config = app.get("/config").json()
    assert config["enable_queue"]
    assert any(target[1] == "unload" for each in config["dependencies"] for target in each["targets"])
    assert set(app.get("/gradio_api/info").json()["named_endpoints"]) == {"/render", "/directions"}


def test_discovery_does_as_it_is_told_and_loses_no_name(runs: Path) -> None:
    studio = Studio(runs)
    named: list[str] = []

    def name_it(share: float, words: str) -> None:
        if share > 0.5 and not named and (runs / "grey" / "directions" / "mine").exists():
            view = studio.open("grey", "mine")
            studio.rename(view, 1, "meanwhile", "")
            named.append(view.directions.labels[1])

    asked = ("grey", "activations", ["layer 1", "layer 2"], 5, 64, 3, " mine ", False)
    task = finder._task(studio, *asked)
    kept, said = task(lambda share, words: None)
    found = Directions.load(runs / "grey" / "directions" / "mine")
    assert (kept, len(found), found.seed, found.settings["samples"]) == ("mine", 5, 3, 64)
    assert found.settings["layers"] == ["layer 1", "layer 2"]
    assert "Found 5 directions" in said
    task(name_it)
    assert named
    assert Directions.load(runs / "grey" / "directions" / "mine").names[1] == "meanwhile"
    for wrong, what in (
        ((*asked[:6], "weights", False), "weights"),
        ((*asked[:6], ".x", False), "x"),
        ((*asked[:6], "a/b", False), "/"),
        ((*asked[:3], 513, *asked[4:]), "between 1 and 512"),
        ((*asked[:4], 2001, *asked[5:]), "between 2 and 2,000"),
        ((*asked[:5], 0.5, *asked[6:]), "whole number"),
        (("", *asked[1:]), "choose a run"),
    ):
        with pytest.raises(UserError, match=what):
            finder._task(studio, *wrong)


def test_a_run_that_is_slow_to_open_holds_up_nobody_else(
    app: httpx.Client, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.get("/picture.png?run=grey").status_code == 200
    gan_run(runs / "slow")
    ready, load = threading.Event(), Run.load_generator

    def slowly(run: Run, **options: Any) -> Any:
        assert run.name != "slow" or ready.wait(60)
        return load(run, **options)

    monkeypatch.setattr(Run, "load_generator", slowly)
    codes: list[int] = []

    def ask() -> None:
        codes.append(httpx.get(f"{app.base_url}picture.png?run=slow", timeout=60).status_code)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    time.sleep(0.5)
    assert app.get("/picture.png?run=grey&seed=3").status_code == 200
    assert codes == []
    ready.set()
    for asker in askers:
        asker.join()
    assert codes == [200] * 8


def test_many_at_once_are_all_served(app: httpx.Client) -> None:
    answers: list[int] = []

    def ask(i: int) -> None:
        with httpx.Client(base_url=app.base_url, timeout=120, trust_env=False) as one:
            answers.extend(
                one.get(f"/picture.png?run=grey&move=0:{0.1 * j:.1f}&seed={i}").status_code for j in range(4)
            )

    askers = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert answers == [200] * 48
