"""What the nearest orthogonal gradient costs beside the training step that it is part of: at most 1%.

    OMP_NUM_THREADS=1 python -m pytest benchmarks/test_treatments.py

The steps are those of the recipes, with their networks and batches. The gradients are those of a network some steps
into training, whose spread of singular values decides what a polar factor costs. Least times are compared: those that
other work on the machine disturbs least.
"""

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from disentangle.training.hardware import make_accelerator
from disentangle.training.loop import Trainer
from disentangle.training.recipe import DataConfig
from disentangle.training.recipes import RECIPES
from disentangle.training.run import Run
from disentangle.treatments import TreatmentConfig

SHARE = 0.01
STEPS = 3

# Where a recipe's own pictures are not on every machine, others of their size: the digits.
PICTURES = {
    "sprites-vae": DataConfig("sprites", size=32, pictures=1_000),
    "sprites-eigengan-nog": DataConfig("sprites", size=64, pictures=1_000),
    "fashion-resnet": DataConfig("digits", size=28),
    "fashion-resnet-covariance": DataConfig("digits", size=28),
    "cifar10-resnet18": DataConfig("digits", size=32, channels=3),
}


@pytest.mark.parametrize("name", PICTURES)
def test_nog_costs_at_most_a_hundredth_of_a_step(
    benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    recipe = replace(RECIPES[name], data=PICTURES[name], treatment=TreatmentConfig(("nog",)), test_every=0)
    run = Run.draft(tmp_path, name, recipe)
    trainer = Trainer(run, run.data(), make_accelerator("cpu"))
    treatment = next(phase.treatment for phase in trainer.phases if phase.treatment.parameters)
    weights = list(treatment.parameters.values())
    gradients: list[torch.Tensor] = []
    treated = treatment.step

    def keep_gradients(optimizer: torch.optim.Optimizer) -> None:
        gradients[:] = [weight.grad.clone() for weight in weights]
        treated(optimizer)

    treatment.step = keep_gradients
    steps = [seconds(functools.partial(trainer.step, step)) for step in range(1, STEPS + 1)]
    idle = torch.optim.SGD(weights, lr=0.0)

    def restore() -> None:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad.copy_(gradient)

    costs: list[float] = []
    benchmark.pedantic(lambda: costs.append(seconds(lambda: treated(idle))), setup=restore, rounds=20)
    # An optimiser's step is taken without the treatment, too.
    cost = min(costs) - min(seconds(idle.step) for _ in range(20))
    share = benchmark.extra_info["share of a step"] = cost / min(steps)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{name}: NOG {1e3 * cost:.2f} ms, a step {1e3 * min(steps):.0f} ms, {share:.2%}, "
            f"{torch.get_num_threads()} thread(s)\n"
        )
    assert share < SHARE


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
