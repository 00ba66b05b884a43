"""Memory stays flat: of a training of each family, and of an encoder's, after 2,000 steps beside that after 200.

    make bench ARGS="-k memory"

What is allocated is counted to the byte, so that one small tensor kept a step, 350 bytes, would show as 600 KB; and
what the system has given to the process is compared. The networks are tiny: what a step keeps by mistake does not
depend on their size.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from memory import SMALL, allocated, watched
from pytest_benchmark.fixture import BenchmarkFixture
from runs import gan_run
from tiny import RECIPES, make_trainer

from disentangle.training.encode import EncoderTraining
from disentangle.training.encoder import EncoderSettings

EARLY, LATE = 200, 2_000
RESIDENT = 4 << 20
"""Bytes by which what the system has given may grow: allocators round, and keep what is given back."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def check(benchmark: BenchmarkFixture, train: Callable[[], object], found: dict[int, tuple[int, int]]) -> None:
    benchmark.pedantic(train, rounds=1)
    (early, given), (late, more) = found[EARLY], found[LATE]
    benchmark.extra_info["bytes allocated a step"] = (late - early) / (LATE - EARLY)
    benchmark.extra_info["bytes given by the system"] = more - given
    assert late - early < SMALL * (LATE - EARLY)
    assert more - given < RESIDENT


@pytest.mark.parametrize("kind", sorted(RECIPES))
def test_memory_of_a_training(benchmark: BenchmarkFixture, tmp_path: Path, kind: str) -> None:
    # All that happens now and then has happened before the first look.
    recipe = replace(RECIPES[kind], steps=LATE, log_every=10, sample_every=90, checkpoint_every=90)
    trainer = make_trainer(tmp_path / "run", recipe)
    found: dict[int, tuple[int, int]] = {}
    trainer.step = watched(trainer.step, (EARLY, LATE), found)
    check(benchmark, trainer.train, found)


@pytest.mark.parametrize("pool", [0, 200])
def test_memory_of_an_encoder(benchmark: BenchmarkFixture, tmp_path: Path, pool: int) -> None:
    run = gan_run(tmp_path / "run")
    settings = EncoderSettings(steps=LATE, batch_size=4, width=2, test_pictures=20, pool=pool)
    device = torch.device("cpu")
    training = EncoderTraining(
        run.encoder, run.load_generator(), run.weights_hash(), run.step, settings, device, save_every=90
    )
    found: dict[int, tuple[int, int]] = {}
    training._step = watched(training._step, (EARLY, LATE), found)
    check(benchmark, training.train, found)


def test_memory_that_is_kept_is_counted(benchmark: BenchmarkFixture) -> None:
    kept: list[torch.Tensor] = []
    before = allocated()
    benchmark.pedantic(lambda: kept.extend(torch.zeros(1) for _ in range(LATE)), rounds=1)
    assert allocated() - before > SMALL * LATE
