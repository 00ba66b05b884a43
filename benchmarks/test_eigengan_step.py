"""One training iteration of EigenGAN, as the training loop makes it, beside a plain version of it, in the same run.

Both: discriminator and generator step on 32 pictures of 64×64, hinge loss, DiffAugment, AdamW, averaged weights, the
published networks. The plain one is what the paper's formulas say, in float32 and contiguous memory: the subspace's
features of every picture convolved, one discriminator pass for real and one for generated pictures, gradients of all
that has parameters, one tensor updated after the other. The first losses of the two are compared.

    make bench ARGS="-k eigengan"

prints the ratio of the two. Steps of the two alternate, and the processor's time is compared beside the clock's: on a
busy machine only the former means something, and that with ``OMP_NUM_THREADS=1``.
"""

from types import MethodType

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from benchmarks.steps import Fast, average_plainly, compare, pictures, update_plainly
from disentangle.models import Discriminator, EigenGAN
from disentangle.models.blocks import SLOPE, EigenBlock
from disentangle.training.augment import diff_augment
from disentangle.training.draws import Draws
from disentangle.training.objectives import GANLoss

SIZE, BATCH = 64, 32
LOSS = GANLoss(r1_weight=0.0)
"""R1 is lazy, one step in 16, and left out."""


OPTIONS = {"lr": 1e-4, "betas": (0.5, 0.99)}


def fast(channels: int) -> Fast:
    networks = {"generator": EigenGAN(SIZE, channels), "discriminator": Discriminator(SIZE, channels)}
    images = pictures(BATCH, channels, SIZE)
    return Fast(
        networks["generator"], list(networks.values()), lambda: LOSS.updates(networks, BATCH), images, **OPTIONS
    )


class Plain:
    """The same, written without regard to speed."""

    def __init__(self, channels: int) -> None:
        self.generator = EigenGAN(SIZE, channels)
        self.discriminator = Discriminator(SIZE, channels)
        for block in self.generator.blocks:
            block.forward = MethodType(direct_block, block)
        self.generator.to_image.forward = MethodType(nn.Conv2d.forward, self.generator.to_image)
        self.average = EigenGAN(SIZE, channels)
        self.images = pictures(BATCH, channels, SIZE)
        self.optimizers = [
            torch.optim.AdamW(network.parameters(), weight_decay=0.0, foreach=False, **OPTIONS)
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
        update_plainly(self.optimizers[0], losses[0])
        fake = self.generator(draws.normal("generator/latents", self.generator.latent_size))
        losses.append(-self.discriminator(diff_augment(fake, draws, "augment/generator")).mean())
        update_plainly(self.optimizers[1], losses[1])
        average_plainly(self.average, self.generator, self.steps)
        return [loss.item() for loss in losses]


def direct_block(block: EigenBlock, latents: Tensor, features: Tensor) -> Tensor:
    phi = block.subspace(latents).unflatten(1, block.shape)
    h = block.feature_up(F.leaky_relu(features + block.subspace_same(phi), SLOPE))
    return block.feature_same(F.leaky_relu(h + block.subspace_up(phi), SLOPE))


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "rgb"])
def test_eigengan_step(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str], channels: int) -> None:
    what = f"EigenGAN 64×64, batch {BATCH}, {channels} channel(s)"
    compare(benchmark, capsys, what, Plain(channels), fast(channels))
