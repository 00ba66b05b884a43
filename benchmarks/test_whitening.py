"""What the SVD meta-layer and the record of its condition number add to a training step, as ratios in one run.

    OMP_NUM_THREADS=1 python -m pytest benchmarks/test_whitening.py

The small ResNet on 128 grey pictures of 28×28, channels-last, SGD; the networks take turns, so that all see the same
load. A step's least processor time counts, the one that other work on the machine disturbs least. The table's times
are ours; the ratio stands in ``extra_info`` (``--benchmark-json=FILE``).
"""

import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture

from disentangle.conditioning import condition_metrics
from disentangle.models import ResNet, resnet_small
from disentangle.training.recipes import RECIPES

BATCH, SIZE = 128, 28
EVERY = RECIPES["fashion-resnet"].conditioning_every


class Step:
    """One step of training a small ResNet."""

    def __init__(self, norm: str, pool: str = "average") -> None:
        generator = torch.Generator().manual_seed(0)
        self.model: ResNet = resnet_small(10, norm, pool, in_channels=1, pool_channels=32)
        self.model.to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
        self.images = torch.rand(BATCH, 1, SIZE, SIZE, generator=generator).to(memory_format=torch.channels_last)
        self.labels = torch.randint(10, (BATCH,), generator=generator)

    def __call__(self) -> None:
        loss = F.cross_entropy(self.model(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def least_seconds(rounds: int, *functions: Callable[[], object]) -> list[float]:
    """The least processor time of each function, the functions taking turns."""
    least = [float("inf")] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            start = time.process_time()
            function()
            least[i] = min(least[i], time.process_time() - start)
    return least


def test_a_decorrelated_batch_norm_adds_little_to_a_step(benchmark: BenchmarkFixture) -> None:
    ours, plain = Step("decorrelated"), Step("batch")
    least_seconds(3, ours, plain)
    seconds = least_seconds(40, ours, plain)
    ratio = seconds[0] / seconds[1]
    benchmark.extra_info["step over that with nn.BatchNorm2d"] = round(ratio, 3)
    benchmark.pedantic(ours, rounds=5)
    assert ratio <= 1.15, f"{ratio:.3f} times a step with nn.BatchNorm2d"


@pytest.mark.parametrize(("norm", "pool"), [("decorrelated", "average"), ("batch", "covariance")])
def test_the_condition_number_costs_little(benchmark: BenchmarkFixture, norm: str, pool: str) -> None:
    step = Step(norm, pool)
    step()
    seconds = least_seconds(20, step, lambda: condition_metrics(step.model))
    share = seconds[1] / (EVERY * seconds[0])
    benchmark.extra_info[f"share of the time, every {EVERY} steps"] = round(share, 6)
    benchmark.pedantic(condition_metrics, (step.model,), rounds=20)
    assert share < 0.01, f"{share:.2%} of the time"
