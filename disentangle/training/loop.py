"""The training loop, one for every family.

A step is a function of the weights, the optimisers' state and the step's number: pictures and noise follow from the
seed (:mod:`disentangle.training.draws`). So a run that is killed and resumed goes through the same states as one that
is not.
"""

import logging
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from disentangle.conditioning import condition_metrics
from disentangle.data import ClassLabels, ImageSet
from disentangle.errors import UserError
from disentangle.generator import Fitted, Generator, PreSVDLayer
from disentangle.orthogonal import SkewOrthogonalConv2d
from disentangle.pictures import grid, png_bytes, to_uint8
from disentangle.training import checkpoint
from disentangle.training.augment import random_crop, random_flip, random_resized_crop
from disentangle.training.draws import Draws, Order, seeded
from disentangle.training.ema import EMA
from disentangle.training.feed import AHEAD
from disentangle.training.files import locked, write_atomic
from disentangle.training.hardware import autocast_dtype
from disentangle.training.interrupt import interrupt_waits
from disentangle.training.metrics import MetricsLog
from disentangle.training.networks import build_networks
from disentangle.training.objectives import Batch, ClassifierLoss, Update
from disentangle.training.optimizers import AdamConfig, SGDConfig, clip_gradients
from disentangle.training.pictures import TrainingPictures
from disentangle.training.progress import ProgressLine
from disentangle.training.run import Run
from disentangle.training.testing import ClassifierTest
from disentangle.treatments import Treatment, TreatmentConfig, bind

logger = logging.getLogger(__name__)

SAMPLES = 64
"""Pictures in a sample grid, eight in a row."""

ROUNDING = 2e-2
"""Relative size of the rounding in a gradient that passed bfloat16: smaller singular values have no direction."""


@dataclass
class Phase:
    """One of the updates of a step: an objective, the optimiser of its parameters, and the treatment of some of them.

    Attributes:
        name: prefix of its metrics.
        objective: as the accelerator wrapped it.
        optimizer: over the objective's own parameters.
        config: the optimiser's settings.
        treatment: of the product's Pre-SVD layers; of nothing for a discriminator.
    """

    name: str
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    config: AdamConfig | SGDConfig
    treatment: Treatment


class Trainer:
    """Trains a run to its recipe's last step.

    Args:
        run: the folder; where it has a checkpoint, training goes on from there.
        data: the recipe's data set.
        accelerator: processes and devices.

    Raises:
        UserError: where the recipe does not fit itself, the data or the number of processes.
    """

    def __init__(self, run: Run, data: ImageSet, accelerator: Accelerator) -> None:
        self.run, self.recipe, self.accelerator = run, run.recipe, accelerator
        recipe, device = self.recipe, accelerator.device
        recipe.check()
        if recipe.batch_size % accelerator.num_processes:
            raise UserError(
                f"a batch of {recipe.batch_size} cannot be shared evenly by {accelerator.num_processes} processes"
            )
        self.dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self.autocast = autocast_dtype(recipe.precision, device)
        channels_last = recipe.channels_last != "no"
        labels = ClassLabels(data, recipe.loss.factor) if isinstance(recipe.loss, ClassifierLoss) else None
        self.pictures = TrainingPictures(data, recipe.data, recipe.seed, channels_last)
        if recipe.batch_size > len(self.pictures):
            raise UserError(
                f"batch_size is {recipe.batch_size}, but {data.name} has {len(self.pictures)} pictures: give less"
            )
        self.networks = build_networks(recipe, data.channels, labels.count if labels is not None else 0)
        self.product = next(iter(self.networks.values()))
        if not run.checkpoints():
            recipe.model.start(self.product, self._some_pictures)
        for network in self.networks.values():
            network.to(device=device).train()
            if self.dtype == torch.float64:
                network.double()
            if channels_last:
                network.to(memory_format=torch.channels_last)
        treatment = self._bind()  # first, since it may wrap weights that the average and the optimisers must know
        self.ema = EMA(self.product, recipe.ema_pictures / recipe.batch_size)
        updates = recipe.loss.updates(self.networks, len(self.pictures))
        self.phases = [self._phase(update, treatment) for update in updates]
        self.labels = labels(self.pictures.indices) if labels is not None else None
        self.test = (
            ClassifierTest(run.test_data(), recipe, labels) if labels is not None and recipe.test_every else None
        )
        self.order = Order(len(self.pictures), recipe.seed)
        # First step of this process with a loss that is not finite: kept on the device, which nobody waits for.
        self.first_bad = torch.tensor(recipe.steps + 1, device=device)

    def _some_pictures(self, count: int) -> Tensor:
        """Pictures of the training set, drawn at random: what some networks begin with."""
        chosen = torch.randperm(len(self.pictures), generator=seeded(self.recipe.seed, "start"))[:count]
        return self.pictures.batch(chosen, torch.device("cpu"), torch.float32)

    def _bind(self) -> Treatment:
        config = self.recipe.treatment
        if self.autocast is not None and config.rtol is None:
            config = replace(config, rtol=ROUNDING)
        layers: tuple[PreSVDLayer, ...] = self.product.projections()  # type: ignore[operator]
        skew = {name for name, module in self.product.named_modules() if isinstance(module, SkewOrthogonalConv2d)}
        treatment = bind(config, self.product, [layer.parameter for layer in layers])
        for name, module in self.product.named_modules():
            if isinstance(module, SkewOrthogonalConv2d) and name not in skew:
                raise UserError(
                    f"ow makes a skew-orthogonal convolution of {name!r}, which a saved {self.recipe.model.kind} "
                    "cannot be: leave it out of --treatment.parameters"
                )
        return treatment

    def _phase(self, update: Update, treatment: Treatment) -> Phase:
        # The treatment goes with the product's weights; what trains other networks treats nothing.
        trained = {id(parameter) for parameter in update.objective.parameters()}
        if not any(id(parameter) in trained for parameter in self.product.parameters()):
            treatment = Treatment(TreatmentConfig(names=()), {})
        config = update.optimizer or self.recipe.optimizer
        optimizer = config.build(treatment.param_groups(update.objective.parameters()), update.objective)
        return Phase(update.name, self.accelerator.prepare_model(update.objective), optimizer, config, treatment)

    def train(self) -> None:
        """Train from the newest checkpoint to the last step, or to the one in which Ctrl-C is pressed.

        A second Ctrl-C does not wait for the checkpoint of that step.

        Raises:
            UserError: where a loss is no longer finite, a file cannot be written, or another process trains this run;
                the newest checkpoint stays.
        """
        # Of several processes each would note a Ctrl-C after another step, and wait for the others in the next one.
        waits = interrupt_waits() if self.accelerator.num_processes == 1 else nullcontext(lambda: False)
        with locked(self.run.path) if self.accelerator.is_main_process else nullcontext(), waits as interrupted:
            self._train(interrupted)

    def _train(self, interrupted: Callable[[], bool]) -> None:
        optimizers = {phase.name: phase.optimizer for phase in self.phases}
        networks = self.networks | {"ema": self.ema.model}
        start = checkpoint.restore(self.run, networks, optimizers)
        recipe, main = self.recipe, self.accelerator.is_main_process
        log = MetricsLog(self.run, start, recipe.tensorboard) if main else None
        progress = ProgressLine(recipe.steps, start, shown=main)
        try:
            if main and start == 0:
                self._draw_samples(0)
            for step in range(start + 1, recipe.steps + 1):
                losses = self.step(step)
                stopped = interrupted()
                keep = stopped or self._due(step, recipe.checkpoint_every)
                try:
                    row = self._row(step, losses)
                    if main and (keep or self._due(step, recipe.sample_every)):
                        self._fit()
                except UserError:
                    raise
                except ValueError as error:  # an orthogonal weight, or a covariance, that is not finite
                    raise self._refused(step, error) from error
                if row and log is not None:
                    log.write(step, row)
                progress.update(step, {k: v for k, v in row.items() if k.endswith("loss")} or None)
                if main and self._due(step, recipe.sample_every):
                    self._draw_samples(step)
                if keep:
                    self._check_weights(step)
                    if main:
                        checkpoint.save(self.run, step, networks, optimizers)
                if stopped:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if main:
                kept = (self.run.checkpoints() or [0])[-1]
                logger.info("stopped; `disentangle train --resume %s` goes on from step %d", self.run.path, kept)
            raise
        finally:
            progress.close()
            if log is not None:
                log.close()

    def step(self, step: int) -> dict[str, Tensor]:
        """One step, counted from 1: every phase's update, then the average of the weights.

        Returns:
            The losses of all phases on this process's share, ``"phase/name"`` to 0-dimensional tensors.
        """
        recipe, accelerator = self.recipe, self.accelerator
        draws = Draws(
            recipe.seed,
            step,
            recipe.batch_size,
            accelerator.process_index,
            accelerator.num_processes,
            accelerator.device,
            self.dtype,
        )
        batch = self._batch(draws, draws.share(self.order.batch(step, recipe.batch_size)))
        for ahead in range(step + 1, min(step + AHEAD, recipe.steps) + 1):
            self.pictures.prefetch(draws.share(self.order.batch(ahead, recipe.batch_size)))
        losses: dict[str, Tensor] = {}
        for phase in self.phases:
            for group in phase.optimizer.param_groups:
                group["lr"] = phase.config.rate_at(step, recipe.steps)
            phase.optimizer.zero_grad(set_to_none=True)
            try:
                with torch.autocast(accelerator.device.type, self.autocast, enabled=self.autocast is not None):
                    terms = phase.objective(batch)
                (terms["loss"] + phase.treatment.penalty()).backward()
                clip_gradients(phase.config, phase.objective.parameters())
                phase.treatment.step(phase.optimizer)
            except ValueError as error:  # what is not finite has no root and no nearest orthogonal gradient
                raise self._refused(step, error) from error
            losses |= {f"{phase.name}/{name}": value.detach() for name, value in terms.items()}
        finite = torch.stack([loss.isfinite() for loss in losses.values()]).all()
        self.first_bad = torch.where(finite, self.first_bad, self.first_bad.clamp(max=step))
        self.ema.update(self.product, step)
        return losses

    def _batch(self, draws: Draws, positions: Tensor) -> Batch:
        """The pictures at ``positions`` as this step sees them."""
        config, device = self.recipe.data, self.accelerator.device
        images = self.pictures.batch(positions, device, self.dtype)
        if config.crop == "shift":
            images = random_crop(images, draws, "crop")
        elif config.crop == "resized":
            images = random_resized_crop(images, draws, "crop", config.size)
        if config.flip:
            images = random_flip(images, draws, "flip")
        labels = None if self.labels is None else self.labels[positions].to(device)
        return Batch(images, draws, labels)

    def _due(self, step: int, every: int) -> bool:
        """Whether something is to happen after ``step``: every so many steps, 0 for never, and after the last."""
        return every > 0 and (step % every == 0 or step == self.recipe.steps)

    def _row(self, step: int, losses: dict[str, Tensor]) -> dict[str, float]:
        """What is to be recorded after ``step``: the losses, averaged over the processes, what the treatments did, the
        condition numbers and the test; each as often as the recipe says, all with a checkpoint."""
        recipe, accelerator, row = self.recipe, self.accelerator, dict[str, float]()
        save = self._due(step, recipe.checkpoint_every)
        if save or self._due(step, recipe.log_every):
            names = sorted(losses)
            values = accelerator.reduce(torch.stack([losses[name].double() for name in names]), "mean").tolist()
            row |= dict(zip(names, values, strict=True))
            for phase in self.phases:
                row |= {f"{phase.name}/{name}": value for name, value in phase.treatment.metrics().items()}
            bad = [name for name, value in row.items() if not math.isfinite(value)]
            first_bad = min(step, int(accelerator.gather(self.first_bad).min()))
            if bad or first_bad < step:
                raise self._diverged(first_bad, f"{', '.join(bad) or 'a loss'} not finite")
        if self._due(step, recipe.conditioning_every):
            # Of a singular covariance the rank tells; its condition number has no place in JSON.
            found = condition_metrics(self.product).items()
            row |= {f"{self.phases[-1].name}/{name}": value for name, value in found if math.isfinite(value)}
        if self._due(step, recipe.test_every) and self.test is not None:
            self._check_weights(step)  # on all processes, since one that stopped in its test would leave others waiting
            share = accelerator.process_index, accelerator.num_processes
            right = self.test.right(self.ema.model, accelerator.device, self.dtype, self.autocast, *share)
            right = int(accelerator.reduce(torch.tensor(right, device=accelerator.device), "sum"))
            row["test/accuracy"] = right / len(self.test)
        return row

    def _check_weights(self, step: int) -> None:
        """Raise where a weight or a running statistic is not finite, before it replaces one that is; the same on all
        processes."""
        for name, network in (self.networks | {"ema": self.ema.model}).items():
            tensors = [t.detach() for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
            total = torch.stack([t.abs().max().double() for t in tensors]).max()
            if not math.isfinite(total):
                raise self._diverged(step, f"weights of the {name} not finite")

    def _diverged(self, step: int, what: str) -> UserError:
        return self._stopped(step, what, "diverged", "; try a lower --optimizer.learning-rate or --precision float32")

    def _stopped(self, step: int, what: str, how: str = "stopped", hint: str = "") -> UserError:
        done = self.run.checkpoints()
        kept = f"the checkpoint of step {done[-1]} is kept" if done else "there is no checkpoint yet"
        return UserError(f"training {how}: {what} at step {step}; {kept}{hint}")

    def _refused(self, step: int, error: ValueError) -> UserError:
        """What a layer or a treatment refused to compute: because the training has diverged, or for its own reasons."""
        tensors = [t for network in self.networks.values() for p in network.parameters() for t in (p, p.grad)]
        finite = all(bool(t.isfinite().all()) for t in tensors if t is not None)
        diverged = not finite or "NaN" in str(error)
        step = min(step, int(self.first_bad))  # where it began, which may be noticed later
        return self._diverged(step, str(error)) if diverged else self._stopped(step, str(error))

    def _fit(self) -> None:
        """Let the averaged model compute what follows from its weights. It is forgotten at the next step, so that a
        resumed run is where the first one was."""
        if isinstance(self.ema.model, Fitted):
            self.ema.model.fit(seeded(self.recipe.seed, "fit"))

    @torch.no_grad()
    def _draw_samples(self, step: int) -> None:
        """Write the pictures that the averaged generator makes of the same latents as always; a classifier has none."""
        model = self.ema.model
        if not isinstance(model, Generator):
            return
        latents = model.sample_latents(SAMPLES, seeded(self.recipe.seed, "samples"))
        pictures = grid(to_uint8(model.synthesize(latents)), columns=8)
        write_atomic(self.run.path / "samples" / f"{step:08d}.png", png_bytes(pictures))
