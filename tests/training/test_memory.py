"""The memory of a training does not grow: checked to a few bytes a step, over few steps (over many in benchmarks/)."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from memory import SMALL, countable, watched
from tiny import RECIPES, make_trainer

WINDOW, WINDOWS = 6, 3


def growth(path: Path, kind: str, leak: list[torch.Tensor] | None = None) -> float:
    """Bytes a step by which memory grows in the whole loop: in its calmest stretch, since a leak grows in each."""
    moments = [2 + WINDOW * (i + 1) for i in range(WINDOWS + 1)]
    never = {"log_every": 1, "sample_every": 10**6, "checkpoint_every": 10**6, "conditioning_every": 0, "test_every": 0}
    trainer = make_trainer(path, replace(RECIPES[kind], steps=moments[-1], **never))
    real = trainer.step

    def step(number: int) -> dict[str, torch.Tensor]:
        if leak is not None:
            leak.append(torch.zeros(1))
        return real(number)

    found: dict[int, tuple[int, int]] = {}
    trainer.step = watched(step, moments, found)  # type: ignore[method-assign]
    trainer.train()
    return min(found[b][0] - found[a][0] for a, b in pairwise(moments)) / WINDOW


@pytest.mark.parametrize("kind", ["gan", "vae"])
def test_memory_stays_flat(tmp_path: Path, require: Callable[[object, str], None], kind: str) -> None:
    require(countable(), "needs the GNU C library 2.33 or newer, which counts what is allocated")
    assert growth(tmp_path, kind) < SMALL


def test_a_leak_of_a_small_tensor_a_step_would_be_seen(tmp_path: Path, require: Callable[[object, str], None]) -> None:
    require(countable(), "needs the GNU C library 2.33 or newer, which counts what is allocated")
    assert growth(tmp_path, "vae", leak=[]) > SMALL
