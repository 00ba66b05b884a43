"""Two ways to make one training iteration, measured in turns."""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Protocol

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from disentangle.training.draws import Draws
from disentangle.training.ema import EMA
from disentangle.training.hardware import autocast_dtype
from disentangle.training.objectives import Batch, Update


class Steps(Protocol):
    """Something that trains."""

    def step(self) -> list[float]:
        """One iteration; the losses of its updates."""


class Fast:
    """The iteration of :mod:`disentangle.training.loop`, precision and memory format left to it.

    Args:
        product: the network of which the average is kept.
        networks: all that are trained.
        updates: makes the updates of the networks, once these are as the loop has them.
        images: ``(n, c, h, w)``.
        options: of the optimisers.
    """

    def __init__(
        self,
        product: nn.Module,
        networks: list[nn.Module],
        updates: Callable[[], list[Update]],
        images: torch.Tensor,
        **options: object,
    ) -> None:
        for network in networks:
            network.to(memory_format=torch.channels_last)
        self.product = product
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.objectives = [update.objective for update in updates()]
        self.optimizers = [
            torch.optim.AdamW(objective.parameters(), weight_decay=0.0, fused=True, **options)
            for objective in self.objectives
        ]
        self.ema = EMA(product, 1000.0)
        self.dtype = autocast_dtype("auto", torch.device("cpu"))
        self.steps = 0

    def step(self) -> list[float]:
        """One iteration; the losses of its updates."""
        self.steps += 1
        batch = Batch(self.images, Draws(0, self.steps, len(self.images)))
        losses = []
        for objective, optimizer in zip(self.objectives, self.optimizers, strict=True):
            with torch.autocast("cpu", self.dtype, enabled=self.dtype is not None):
                loss = objective(batch)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        self.ema.update(self.product, self.steps)
        return losses


def update_plainly(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """Take an optimiser's step."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def average_plainly(average: nn.Module, model: nn.Module, steps: int) -> None:
    """Move each parameter of the average towards the model's, as :class:`EMA` does, one after the other."""
    for mine, its in zip(average.parameters(), model.parameters(), strict=True):
        mine.lerp_(its, 1 - min(0.5 ** (1 / 1000), steps / (steps + 10)))


def pictures(n: int, channels: int, size: int) -> torch.Tensor:
    """Noise in [-1, 1]."""
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def compare(
    benchmark: BenchmarkFixture,
    capsys: pytest.CaptureFixture[str],
    what: str,
    plain: Steps,
    fast: Fast,
    rounds: int = 6,
) -> None:
    """Check that the first losses of the two agree, then time them in turns and print the ratio."""
    for step in range(2):  # also the warm-up
        ours, reference = fast.step(), plain.step()
        if fast.dtype is None and step == 0:  # before Adam divides rounding by rounding
            assert ours[0] == pytest.approx(reference[0], rel=1e-4)
        assert ours == pytest.approx(reference, rel=3e-2, abs=3e-2)
    seconds: dict[str, list[tuple[float, float]]] = {"plain": [], "fast": []}

    def timed(name: str, step: Callable[[], object]) -> None:
        start = time.perf_counter(), time.process_time()
        step()
        seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))

    benchmark.pedantic(lambda: timed("fast", fast.step), setup=lambda: timed("plain", plain.step), rounds=rounds)
    lines = [f"\n{what}, {torch.get_num_threads()} thread(s), {fast.dtype}"]
    for i, clock in enumerate(["wall", "processor"]):
        plain_median, fast_median = (statistics.median(s[i] for s in seconds[name]) for name in ("plain", "fast"))
        ratio = benchmark.extra_info[f"{clock} ratio"] = fast_median / plain_median
        lines.append(f"  {clock} time: plain {plain_median:.3f} s, fast {fast_median:.3f} s, ratio {ratio:.2f}")
    with capsys.disabled():
        sys.stdout.write("\n".join(lines) + "\n")
