"""One training iteration of the vanilla GAN, as the training loop makes it, beside a plain version of it, in the same
run.

Both: discriminator and generator step on 32 pictures of 64×64, the published networks and gradient penalty, AdamW,
averaged weights. The plain one is the published description in float32 and contiguous memory, with torch's instance
norm: gradients of all that has parameters, one tensor updated after the other.

    make bench ARGS="-k vanilla"

prints the ratio of the two; see ``test_eigengan_step.py`` on how to read it.
"""

from types import MethodType

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from benchmarks.steps import Fast, average_plainly, compare, pictures, update_plainly
from disentangle.models import VanillaDiscriminator, VanillaGAN
from disentangle.training.draws import Draws
from disentangle.training.objectives import GANLoss

SIZE, BATCH = 64, 32
LOSS = GANLoss(adversarial="non-saturating", r1_weight=0.0, gp_weight=20.0, augment=0.0)
OPTIONS = {"lr": 2e-4, "betas": (0.5, 0.999)}


def fast(channels: int) -> Fast:
    networks = {"generator": VanillaGAN(SIZE, channels), "discriminator": VanillaDiscriminator(SIZE, channels)}
    images = pictures(BATCH, channels, SIZE)
    return Fast(
        networks["generator"], list(networks.values()), lambda: LOSS.updates(networks, BATCH), images, **OPTIONS
    )


class Plain:
    """The same, written without regard to speed."""

    def __init__(self, channels: int) -> None:
        self.generator, self.average = VanillaGAN(SIZE, channels), VanillaGAN(SIZE, channels)
        self.discriminator = VanillaDiscriminator(SIZE, channels)
        self.generator.to_image.forward = MethodType(nn.Conv2d.forward, self.generator.to_image)
        for network in (self.generator, self.discriminator):
            plain_norms(network)
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
        loss = F.softplus(-self.discriminator(self.images)).mean() + F.softplus(self.discriminator(fake)).mean()
        share = draws.uniform("interpolation", 1, 1, 1)
        between = (self.images + share * (fake - self.images)).requires_grad_()
        (slope,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
        losses = [loss + 20 * (slope.flatten(1).norm(dim=1) - 1).square().mean()]
        update_plainly(self.optimizers[0], losses[0])
        fake = self.generator(draws.normal("generator/latents", self.generator.latent_size))
        losses.append(F.softplus(-self.discriminator(fake)).mean())
        update_plainly(self.optimizers[1], losses[1])
        average_plainly(self.average, self.generator, self.steps)
        return [loss.item() for loss in losses]


def plain_norms(network: nn.Module) -> None:
    """Put torch's instance norm in the place of ours."""
    for module in network.modules():
        for name, norm in list(module.named_children()):
            if isinstance(norm, nn.GroupNorm):
                setattr(module, name, nn.InstanceNorm2d(norm.num_channels, eps=norm.eps, affine=True))


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "rgb"])
def test_vanilla_gan_step(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str], channels: int) -> None:
    what = f"Vanilla GAN 64×64, batch {BATCH}, {channels} channel(s)"
    compare(benchmark, capsys, what, Plain(channels), fast(channels), rounds=4)
