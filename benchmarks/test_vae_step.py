"""One training iteration of a β-VAE, as the training loop makes it, beside a plain version of it, in the same run.

Both: 64 pictures of 64×64, AdamW, averaged weights. The plain one computes in float32 and contiguous memory, convolves
the subspace's features of every picture, and updates one tensor after the other.

    make bench ARGS="-k vae"

prints the ratio of the two; see ``test_eigengan_step.py`` on how to read it.
"""

from types import MethodType

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from benchmarks.steps import Fast, average_plainly, compare, pictures, update_plainly
from benchmarks.test_eigengan_step import direct_block
from disentangle.models import BetaVAE
from disentangle.training.draws import Draws
from disentangle.training.objectives import Batch, BetaVAELoss

SIZE, BATCH = 64, 64
LOSS = BetaVAELoss()
OPTIONS = {"lr": 1e-3, "betas": (0.9, 0.999)}


def fast(channels: int) -> Fast:
    model = BetaVAE(SIZE, channels)
    images = pictures(BATCH, channels, SIZE)
    return Fast(model, [model], lambda: LOSS.updates({"generator": model}, BATCH), images, **OPTIONS)


class Plain:
    """The same, written without regard to speed."""

    def __init__(self, channels: int) -> None:
        self.model, self.average = BetaVAE(SIZE, channels), BetaVAE(SIZE, channels)
        for block in self.model.synthesis.blocks:
            block.forward = MethodType(direct_block, block)
        self.model.synthesis.to_image.forward = MethodType(nn.Conv2d.forward, self.model.synthesis.to_image)
        (update,) = LOSS.updates({"generator": self.model}, BATCH)
        self.objective = update.objective
        self.images = pictures(BATCH, channels, SIZE)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), weight_decay=0.0, foreach=False, **OPTIONS)
        self.steps = 0

    def step(self) -> list[float]:
        """One iteration; its loss."""
        self.steps += 1
        loss = self.objective(Batch(self.images, Draws(0, self.steps, BATCH)))["loss"]
        update_plainly(self.optimizer, loss)
        average_plainly(self.average, self.model, self.steps)
        return [loss.item()]


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "rgb"])
def test_vae_step(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str], channels: int) -> None:
    what = f"β-VAE 64×64, batch {BATCH}, {channels} channel(s)"
    compare(benchmark, capsys, what, Plain(channels), fast(channels))
