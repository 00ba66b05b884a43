"""Pictures that are fetched ahead are the same, come in order, and fail where they are needed."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from disentangle.data import folder, load
from disentangle.errors import UserError
from disentangle.training import pictures
from disentangle.training.draws import Order
from disentangle.training.feed import AHEAD, Feed
from disentangle.training.pictures import TrainingPictures
from disentangle.training.recipe import DataConfig

CPU = torch.device("cpu")


def batch(*indices: int) -> torch.Tensor:
    return torch.tensor(indices)


class Gate:
    """A source that waits to be let go on, and remembers what it was asked for and by whom."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked: list[tuple[list[int], str]] = []

    def __call__(self, indices: torch.Tensor) -> torch.Tensor:
        self.asked.append((indices.tolist(), threading.current_thread().name))
        assert self.open.wait(20)
        if -1 in indices:
            raise UserError("damaged")
        return indices * 10


def wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name == "feed":
            thread.join(20)
            assert not thread.is_alive()


def test_a_batch_that_was_asked_for_is_fetched_once_and_in_the_background() -> None:
    gate = Gate()
    feed = Feed(gate)
    feed.ask(batch(1, 2))  # returns though the gate is closed
    feed.ask(batch(1, 2))
    gate.open.set()
    assert feed.take(batch(1, 2)).tolist() == [10, 20]
    assert gate.asked == [([1, 2], "feed")]
    assert feed.take(batch(1, 2)).tolist() == [10, 20]  # taken, so fetched again, here
    assert gate.asked[1:] == [([1, 2], threading.current_thread().name)]
    wait_for_threads()


def test_batches_are_fetched_one_after_another_and_taken_in_any_order() -> None:
    gate = Gate()
    feed = Feed(gate)
    feed.ask(batch(1))
    feed.ask(batch(2))
    while not gate.asked:
        pass
    assert [indices for indices, _ in gate.asked] == [[1]]
    gate.open.set()
    assert feed.take(batch(2)).tolist() == [20]
    assert feed.take(batch(3)).tolist() == [30]
    assert feed.take(batch(1)).tolist() == [10]
    assert [indices for indices, _ in gate.asked] == [[1], [2], [3]]
    wait_for_threads()


def test_what_nobody_takes_is_given_up() -> None:
    gate = Gate()
    feed = Feed(gate)
    feed.ask(batch(0))
    while not gate.asked:
        pass
    for index in range(1, AHEAD + 2):
        feed.ask(batch(index))
    gate.open.set()
    wait_for_threads()
    begun = [indices for indices, _ in gate.asked]
    assert begun == [
        [0],
        *([index] for index in range(2, AHEAD + 2)),
    ]  # the first was under way, the second never began
    assert feed.take(batch(AHEAD + 1)).tolist() == [10 * (AHEAD + 1)]


def test_an_error_belongs_to_the_batch_that_has_it() -> None:
    gate = Gate()
    gate.open.set()
    feed = Feed(gate)
    feed.ask(batch(5, -1))
    feed.ask(batch(6))
    wait_for_threads()
    assert feed.take(batch(6)).tolist() == [60]
    with pytest.raises(UserError, match="damaged"):
        feed.take(batch(5, -1))
    wait_for_threads()


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder too large to be kept in memory."""
    monkeypatch.setattr(folder, "IN_MEMORY", 0)
    monkeypatch.setattr(pictures, "MEMORY", 0)
    for i in range(23):
        path = tmp_path / f"class {i % 2}" / f"{i:02}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((30 + i, 40), 90).convert("RGB").save(path)
    return tmp_path


def test_pictures_fetched_ahead_are_the_same_to_the_bit(photographs: Path) -> None:
    data, order = load("class-folder", root=photographs, size=16), Order(20, 0)
    plain, ahead = (TrainingPictures(data, DataConfig(pictures=20), seed=3) for _ in range(2))
    for step in range(1, 12):
        found = ahead.batch(order.batch(step, 6), CPU, torch.float32)
        for later in range(1, AHEAD + 1):
            ahead.prefetch(order.batch(step + later, 6))
        assert torch.equal(found, plain.batch(order.batch(step, 6), CPU, torch.float32))
    wait_for_threads()


def test_a_damaged_picture_stops_the_step_that_needs_it(photographs: Path) -> None:
    ahead = TrainingPictures(load("class-folder", root=photographs, size=16), DataConfig(), seed=0)
    (photographs / "class 0" / "04.jpg").write_bytes(b"damaged")  # the third of the first class
    ahead.prefetch(batch(0, 2))
    ahead.prefetch(batch(1, 3))
    assert ahead.batch(batch(1, 3), CPU, torch.float32).shape == (2, 3, 16, 16)
    with pytest.raises(UserError, match=r"cannot decode the picture .*04\.jpg"):
        ahead.batch(batch(0, 2), CPU, torch.float32)
    wait_for_threads()


def test_pictures_in_memory_are_not_fetched() -> None:
    shown = TrainingPictures(load("digits", size=8), DataConfig(), seed=0)
    shown.prefetch(batch(0, 1))
    assert "feed" not in [thread.name for thread in threading.enumerate()]


SCRIPT = """
import sys, torch
from disentangle.data import folder, load
from disentangle.training import pictures
from disentangle.training.recipe import DataConfig
folder.IN_MEMORY = pictures.MEMORY = 0
shown = pictures.TrainingPictures(load("class-folder", root=sys.argv[1], size=256), DataConfig(), 0)
for first in (0, 1):
    shown.prefetch(torch.arange(first, 20).repeat(20))
sys.exit(3)
"""


def test_a_process_ends_although_batches_are_under_way(photographs: Path, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(photographs)],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (3, "")
