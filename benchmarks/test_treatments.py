"""What the nearest orthogonal gradient costs beside the training step that it is part of: at most 1%.

    make bench ARGS="-k treatments"

The step is forward and backward pass alone, of fewer pictures than the recipes take, so the shares are upper bounds.
The gradients are real ones of a network some steps into training, whose spread of singular values decides what a polar
factor costs. Least times are compared: those that other work on the machine disturbs least.
"""

import sys
import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, resnet18

from disentangle.models import Discriminator, EigenGAN
from disentangle.treatments import TreatmentConfig, bind

SHARE = 0.01


def eigengan() -> tuple[nn.Module, list[str], Callable[[], Tensor]]:
    """The generator's part of an iteration on 16 pictures of 64×64; the discriminator's is left out."""
    generator, discriminator = EigenGAN(64), Discriminator(64)
    latents = generator.sample_latents(16, torch.Generator().manual_seed(0))
    names = [projection.parameter for projection in generator.projections()]
    return generator, names, lambda: -discriminator(generator(latents)).mean()


def resnet_18() -> tuple[nn.Module, list[str], Callable[[], Tensor]]:
    """ResNet-18 with the stem for small pictures and a 1×1 convolution (256, 512) before its pooling, batch 64."""
    network = resnet18(num_classes=10)
    network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    network.avgpool = nn.Sequential(nn.Conv2d(512, 256, 1), nn.BatchNorm2d(256), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    network.fc = nn.Linear(256, 10)
    return network, ["conv1.weight", "avgpool.0.weight"], classified(network, 64, 3, 32)


def resnet_small() -> tuple[nn.Module, list[str], Callable[[], Tensor]]:
    """Three residual blocks after a 5×5 stem of 16 channels, batch 64 of grey 28×28."""

    def block(inputs: int, outputs: int) -> nn.Module:
        down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))
        return BasicBlock(inputs, outputs, stride=2, downsample=down)

    stem = nn.Conv2d(1, 16, 5, padding=2, bias=False)
    blocks = BasicBlock(16, 16), block(16, 32), block(32, 64)
    network = nn.Sequential(
        stem, nn.BatchNorm2d(16), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )
    return network, ["0.weight"], classified(network, 64, 1, 28)


def classified(network: nn.Module, batch: int, channels: int, size: int) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, channels, size, size, generator=generator)
    labels = torch.randint(10, (batch,), generator=generator)
    return lambda: F.cross_entropy(network(images), labels)


@pytest.mark.parametrize("make", [eigengan, resnet_18, resnet_small], ids=lambda make: make.__name__)
def test_nog_costs_at_most_a_hundredth_of_a_step(
    benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str], make: Callable[[], tuple]
) -> None:
    torch.manual_seed(0)
    network, names, loss = make()
    treatment = bind(TreatmentConfig(("nog",)), network, names)
    trained, bound = torch.optim.SGD(network.parameters(), lr=0.01), list(treatment.parameters.values())
    alone = torch.optim.SGD(bound, lr=0.0)  # all that is left of the step is the treatment

    def step() -> None:
        network.zero_grad()
        loss().backward()

    steps = []
    for _ in range(4):
        steps.append(seconds(step))
        gradients = [parameter.grad.clone() for parameter in bound]
        treatment.step(trained)

    def restore() -> None:
        for parameter, gradient in zip(bound, gradients, strict=True):
            parameter.grad.copy_(gradient)

    costs: list[float] = []
    benchmark.pedantic(lambda: costs.append(seconds(lambda: treatment.step(alone))), setup=restore, rounds=20)
    share = benchmark.extra_info["share of a step"] = min(costs) / min(steps)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{make.__name__}: NOG {1e3 * min(costs):.2f} ms, forward and backward {1e3 * min(steps):.0f} ms, "
            f"{share:.2%}, {torch.get_num_threads()} thread(s)\n"
        )
    assert share < SHARE


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
