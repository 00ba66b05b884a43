"""Training an encoder for a generator that has none, on pictures that the generator makes.

Khrulkov, Mirvakhabova, Oseledets, Babenko, "Disentangled Representations from Non-Disentangled Models", 2021, arXiv
2102.06204. A step is a function of the weights, the optimiser's state and the step's number, so that a training that is
killed and gone on with passes through the same states as one that is not.
"""

import json
import logging
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from disentangle.errors import UserError
from disentangle.generator import Encoder, Generator
from disentangle.models import LatentEncoder
from disentangle.pictures import from_uint8
from disentangle.training import checkpoint
from disentangle.training.encoder import RECORD, EncoderRecord, EncoderSettings
from disentangle.training.files import check_writable, locked, remove_folder
from disentangle.training.generated import Endless, Pool, code_latents, make_pictures, stored_pictures
from disentangle.training.progress import ProgressLine
from disentangle.training.run import Run

logger = logging.getLogger(__name__)

BATCH = 250
"""Pictures that are encoded at a time, where it is not for training."""

SAY_EVERY = 20
"""Steps from one loss that is shown to the next."""

SAVE_EVERY = 500
"""Steps from one checkpoint to the next."""


class EncoderTraining:
    """Trains an encoder for a generator, from where it was stopped to the last step.

    Args:
        folder: where it goes: :attr:`disentangle.training.run.Run.encoder` of a run.
        generator: what it is for.
        weights: hash of the generator's weights …
        checkpoint: … which are those after this step of its training.
        settings: how it is trained.
        device: where; the generator is there already.
        save_every: steps from one checkpoint to the next.

    Raises:
        UserError: where a setting makes no sense, or the generator has no codes.
    """

    def __init__(
        self,
        folder: Run,
        generator: Generator,
        weights: str,
        checkpoint: int,
        settings: EncoderSettings,
        device: torch.device,
        save_every: int = SAVE_EVERY,
    ) -> None:
        settings.check()
        self.folder, self.generator = folder, generator
        self.weights, self.checkpoint = weights, checkpoint
        self.settings, self.device, self.save_every = settings, device, save_every
        self.latents, self.names = code_latents(generator)
        self.narrow = torch.bfloat16 if settings.precision == "bfloat16" else None

    def train(self, restart: bool = False) -> EncoderRecord:
        """Train to the last step.

        Args:
            restart: remove the encoder that is there first.

        Returns:
            What the newest checkpoint says of itself.

        Raises:
            UserError: where the loss is no longer finite, a file cannot be written, or another process trains here.
        """
        check_writable(self.folder.path)
        with locked(self.folder.path):
            for step in self.folder.checkpoints() if restart else ():
                remove_folder(self.folder.checkpoint_path(step))
            return self._train()

    def _train(self) -> EncoderRecord:
        settings = self.settings
        if settings.pool:
            self.test = self._stored("test", settings.test_pictures)
        else:
            self.test = make_pictures(self.generator, settings.test_pictures, (settings.seed, "test"), self.latents)
        size, channels = self.test[0].shape[2], self.test[0].shape[1]
        network = LatentEncoder(size, channels, len(self.latents), settings.width, seed=settings.seed)
        network.to(device=self.device, memory_format=torch.channels_last).train()
        optimizer = settings.optimizer.build([{"params": list(network.parameters())}], network)
        start = checkpoint.restore(self.folder, {"encoder": network}, {"encoder": optimizer})
        source = self._source()
        progress = ProgressLine(settings.steps, start, shown=True)
        try:
            for step in range(start + 1, settings.steps + 1):
                loss = self._step(step, network, optimizer, *source.batch(step))
                progress.update(step, {"loss": float(loss)} if step % SAY_EVERY == 0 else None)
                if step % self.save_every == 0 or step == settings.steps:
                    self._save(step, network, optimizer, float(loss))
        except KeyboardInterrupt:
            logger.info("stopped; `disentangle encode %s` goes on", self.folder.path.parent)
            raise
        finally:
            progress.close()
        return EncoderRecord.read(self.folder.checkpoint_path(settings.steps) / RECORD)

    def _step(
        self, step: int, network: LatentEncoder, optimizer: torch.optim.Optimizer, images: Tensor, codes: Tensor
    ) -> Tensor:
        """One update; its loss, the mean squared error of a code: 1 for an encoder that says nothing."""
        for group in optimizer.param_groups:
            group["lr"] = self.settings.optimizer.rate_at(step, self.settings.steps)
        optimizer.zero_grad(set_to_none=True)
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.narrow, enabled=self.narrow is not None):
            guesses = network(images)
        loss = F.mse_loss(guesses.float(), codes)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def _save(self, step: int, network: LatentEncoder, optimizer: torch.optim.Optimizer, loss: float) -> None:
        if not math.isfinite(loss) or not all(bool(p.isfinite().all()) for p in network.parameters()):
            raise UserError(
                f"the training of the encoder has diverged by step {step}: try a lower --learning-rate with --restart"
            )
        r2, mse = regression_error(network, *self.test, self.device)
        record = EncoderRecord(
            weights=self.weights,
            checkpoint=self.checkpoint,
            step=step,
            settings=self.settings,
            latents=self.latents,
            names=self.names,
            r2=tuple(r2.tolist()),
            mse=tuple(mse.tolist()),
        )
        files = {RECORD: json.dumps(record.to_dict(), indent=2) + "\n"}
        checkpoint.save(self.folder, step, {"encoder": network}, {"encoder": optimizer}, files)

    def _source(self) -> Endless | Pool:
        """Where a step's pictures come from."""
        settings = self.settings
        if not settings.pool:
            return Endless(self.generator, self.latents, settings.batch_size, settings.seed, self.narrow)
        made = self._stored("pool", settings.pool)
        return Pool(*made, settings.batch_size, settings.seed, self.device)

    def _stored(self, name: str, n: int) -> tuple[Tensor, Tensor]:
        """Pictures that are slow to make, kept in files."""
        key, progress = (self.settings.seed, name), ProgressLine(n, 0, shown=True, unit="picture")
        try:
            folder = self.folder.path / name
            return stored_pictures(self.generator, n, key, self.latents, folder, self.weights, progress.update)
        finally:
            progress.close()


@torch.no_grad()
def regression_error(
    encoder: Encoder, images: Tensor, codes: Tensor, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """How well an encoder knows each code.

    Args:
        encoder: pictures in [-1, 1] to codes ``(n, d)``.
        images: uint8 ``(n, c, s, s)``, not those that it was trained on.
        codes: what they were made from, ``(n, d)``.
        device: where the encoder is.

    Returns:
        Two tensors ``(d,)``, float64: the coefficient of determination R², 1 minus the squared error over that of the
        codes' mean (0 for a constant code), and the mean squared error.
    """
    guesses = torch.cat([encoder.encode(from_uint8(part.to(device))).cpu() for part in images.split(BATCH)])
    error = (guesses.double() - codes.double()).square().mean(0)
    variance = codes.double().var(dim=0, correction=0)
    return torch.where(variance > 0, 1 - error / variance, 0.0), error
