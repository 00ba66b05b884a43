"""One training iteration of EigenGAN, as the training loop makes it, beside a plain version of it, in the same run.

Both: discriminator and generator step on 32 pictures of 64×64, hinge loss, DiffAugment, AdamW, averaged weights, the
published networks. The plain one is what the paper's formulas say, in float32 and contiguous memory: the subspace's
features of every picture convolved, one discriminator pass for real and one for generated pictures, gradients of all
that has parameters, one tensor updated after the other. The first losses of the two are compared.

    make bench ARGS="-k eigengan"

prints the ratio of the two. Steps of the two alternate, and the processor's time is compared beside the clock's: on a
busy machine only the former means something, and that with ``OMP_NUM_THREADS=1``.
"""

import statistics
import sys
import time
from collections.abc import Callable
from types import MethodType

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from disentangle.models import Discriminator, EigenGAN
from disentangle.models.blocks import SLOPE, EigenBlock
from disentangle.training.augment import diff_augment
from disentangle.training.draws import Draws
from disentangle.training.ema import EMA
from disentangle.training.hardware import autocast_dtype
from disentangle.training.objectives import Batch, GANLoss
from disentangle.training.objectives.gan import DiscriminatorObjective, GeneratorObjective

SIZE, BATCH = 64, 32
LOSS = GANLoss(r1_weight=0.0)
"""R1 is lazy, one step in 16, and left out."""


class Fast:
    """The iteration of :mod:`disentangle.training.loop`, precision and memory format left to it."""

    def __init__(self, channels: int) -> None:
        self.generator = EigenGAN(SIZE, channels).to(memory_format=torch.channels_last)
        self.discriminator = Discriminator(SIZE, channels).to(memory_format=torch.channels_last)
        self.images = pictures(channels).contiguous(memory_format=torch.channels_last)
        self.objectives = [
            DiscriminatorObjective(self.discriminator, self.generator, LOSS),
            GeneratorObjective(self.generator, self.discriminator, LOSS),
        ]
        self.optimizers = [
            torch.optim.AdamW(objective.parameters(), 1e-4, betas=(0.5, 0.99), weight_decay=0.0, fused=True)
            for objective in self.objectives
        ]
        self.ema = EMA(self.generator, 1000.0)
        self.dtype = autocast_dtype("auto", torch.device("cpu"))
        self.steps = 0

    def step(self) -> list[float]:
        """One iteration; the losses of the discriminator and the generator."""
        self.steps += 1
        batch = Batch(self.images, Draws(0, self.steps, BATCH))
        losses = []
        for objective, optimizer in zip(self.objectives, self.optimizers, strict=True):
            with torch.autocast("cpu", self.dtype, enabled=self.dtype is not None):
                loss = objective(batch)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        self.ema.update(self.generator, self.steps)
        return losses


class Plain:
    """The same, written without regard to speed."""

    def __init__(self, channels: int) -> None:
        self.generator = EigenGAN(SIZE, channels)
        self.discriminator = Discriminator(SIZE, channels)
        for block in self.generator.blocks:
            block.forward = MethodType(direct_block, block)
        self.generator.to_image.forward = MethodType(nn.Conv2d.forward, self.generator.to_image)
        self.average = EigenGAN(SIZE, channels)
        self.images = pictures(channels)
        self.optimizers = [
            torch.optim.AdamW(network.parameters(), 1e-4, betas=(0.5, 0.99), weight_decay=0.0, foreach=False)
            for network in (self.discriminator, self.generator)
        ]
        self.steps = 0

    def step(self) -> list[float]:
        """One iteration; the losses of the discriminator and the generator."""
        self.steps += 1
        draws = Draws(0, self.steps, BATCH)
        with torch.no_grad():
            fake = self.generator(draws.normal("discriminator/latents", self.generator.latent_size))
        real_logits = self.discriminator(diff_augment(self.images, draws, "augment/real"))
        fake_logits = self.discriminator(diff_augment(fake, draws, "augment/fake"))
        losses = [F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()]
        self.update(0, losses[0])
        fake = self.generator(draws.normal("generator/latents", self.generator.latent_size))
        losses.append(-self.discriminator(diff_augment(fake, draws, "augment/generator")).mean())
        self.update(1, losses[1])
        with torch.no_grad():
            for mine, its in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mine.lerp_(its, 1 - min(0.5 ** (1 / 1000), self.steps / (self.steps + 10)))
        return [loss.item() for loss in losses]

    def update(self, i: int, loss: Tensor) -> None:
        self.optimizers[i].zero_grad()
        loss.backward()
        self.optimizers[i].step()


def direct_block(block: EigenBlock, latents: Tensor, features: Tensor) -> Tensor:
    phi = block.subspace(latents).unflatten(1, block.shape)
    h = block.feature_up(F.leaky_relu(features + block.subspace_same(phi), SLOPE))
    return block.feature_same(F.leaky_relu(h + block.subspace_up(phi), SLOPE))


def pictures(channels: int) -> Tensor:
    return torch.rand(BATCH, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "rgb"])
def test_eigengan_step(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str], channels: int) -> None:
    plain, fast = Plain(channels), Fast(channels)
    for step in range(2):  # also the warm-up
        ours, reference = fast.step(), plain.step()
        if fast.dtype is None and step == 0:  # before Adam divides rounding by rounding
            assert ours[0] == pytest.approx(reference[0], abs=1e-5)
        assert ours == pytest.approx(reference, abs=3e-2)
    seconds: dict[str, list[tuple[float, float]]] = {"plain": [], "fast": []}

    def timed(name: str, step: Callable[[], object]) -> None:
        start = time.perf_counter(), time.process_time()
        step()
        seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))

    benchmark.pedantic(lambda: timed("fast", fast.step), setup=lambda: timed("plain", plain.step), rounds=6)
    lines = [f"\nEigenGAN 64×64, batch 32, {channels} channel(s), {torch.get_num_threads()} thread(s), {fast.dtype}"]
    for i, clock in enumerate(["wall", "processor"]):
        plain_median, fast_median = (statistics.median(s[i] for s in seconds[name]) for name in ("plain", "fast"))
        ratio = benchmark.extra_info[f"{clock} ratio"] = fast_median / plain_median
        lines.append(f"  {clock} time: plain {plain_median:.3f} s, fast {fast_median:.3f} s, ratio {ratio:.2f}")
    with capsys.disabled():
        sys.stdout.write("\n".join(lines) + "\n")
