"""``disentangle encode RUN``: train an encoder for a generator that has none."""

import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

if TYPE_CHECKING:  # imported where it is used: `disentangle encode --help` must not wait for torch
    from rich.table import Table

    from disentangle.training.encoder import EncoderRecord, EncoderSettings
    from disentangle.training.run import Run

logger = logging.getLogger(__name__)

DESCRIPTION = """Train an encoder for a generator that has none, from pictures that the generator makes back to their
latents, so that `disentangle evaluate` can score its codes as it does a VAE's.

Writes it into RUN/encoder, and prints for each code how well the encoder knows it. After Ctrl-C or a kill the same
command goes on where it was stopped.

example:
  disentangle encode runs/fashion --steps 6000
"""

POOLS = {"diffusion": 4_000}
"""Pictures that are made once for runs of these kinds, each of which takes tens of passes through the network."""

SHOWN = 60
"""Codes in the printed table, at most."""


@dataclass(frozen=True)
class Args:
    """Command line of ``disentangle encode``.

    Attributes:
        run: the run's folder.
        steps: training steps, by default 3000; more than before goes on with an encoder that is done.
        batch_size: pictures of a step, by default 64.
        learning_rate: of Adam, by default 0.001; it falls to 0 over the second half of the steps.
        width: channels of the encoder's first features, by default 32.
        pool: make so many pictures once, and train on these, or, with 0, on new ones in every step; by default 0, and
            4000 for diffusion models, whose pictures take long.
        test_pictures: pictures on which the regression error is measured, by default 1000; never trained on.
        seed: decides the initial weights and all pictures, by default 0.
        device: where to train: auto takes an accelerator where there is one.
        checkpoint: the step of the generator's checkpoint; by default the newest.
        restart: begin anew, and forget the encoder that is there.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    width: int | None = None
    pool: int | None = None
    test_pictures: int | None = None
    seed: int | None = None
    device: Literal["auto", "cpu"] = "auto"
    checkpoint: int | None = None
    restart: bool = False


CHOICES = ("steps", "batch_size", "learning_rate", "width", "pool", "test_pictures", "seed")
"""The settings that the command line gives; the others are the machine's."""


def main(argv: list[str]) -> None:
    """Run the command."""
    args = parse(Args, args=argv, prog="disentangle encode", description=DESCRIPTION)
    from rich.console import Console

    from disentangle.generator import Encoder
    from disentangle.training.run import Run

    run = Run.open(args.run)
    if run.kind == "classifier":
        raise UserError(f"{run.path} is a classifier, which has no latents to encode: name a run of a generator")
    if isinstance(run.load_generator(step=args.checkpoint), Encoder):
        sys.stdout.write(
            f"{run.path} has an encoder of its own: nothing to do; `disentangle evaluate {run.path}` scores its codes\n"
        )
        return
    given = {name: getattr(args, name) for name in CHOICES if getattr(args, name) is not None}
    record = encode(run, given, device=args.device, checkpoint=args.checkpoint, restart=args.restart)
    console = Console(file=sys.stdout, highlight=False)
    console.print(table(record))
    console.print(
        f"step {record.step:,} of {record.settings.steps:,}, for the generator after step {record.checkpoint:,}; "
        f"in {run.encoder.path}: `disentangle evaluate {run.path}` scores its codes",
        markup=False,
        soft_wrap=True,
    )


def encode(
    run: "Run",
    given: dict[str, Any] | None = None,
    *,
    device: str = "auto",
    checkpoint: int | None = None,
    restart: bool = False,
) -> "EncoderRecord":
    """Train an encoder for a run's generator, or go on with one.

    Args:
        run: the run.
        given: fields of :class:`~disentangle.training.encoder.EncoderSettings` that are not to be as they were begun
            with, or as they are by default.
        device: ``"auto"`` or ``"cpu"``.
        checkpoint: the step of the generator's checkpoint; by default the newest.
        restart: begin anew.

    Returns:
        What the encoder's newest checkpoint says of itself.

    Raises:
        UserError: where the run has no checkpoint or an encoder of its own, a setting makes no sense or is another
            than the one it was begun with, or the encoder that is there belongs to other weights.
    """
    from disentangle.generator import Encoder
    from disentangle.training.encode import EncoderTraining
    from disentangle.training.hardware import choose_device

    where, step = choose_device(device), run.step if checkpoint is None else checkpoint
    if run.encoder.checkpoints() and not restart:
        record = run.encoder_record(step)
        settings = going_on(record, given or {})
        if settings.steps == record.step:
            logger.info("trained already; more --steps go on with it, --restart begins anew")
            return record
        logger.info("going on from step %d of %d", record.step, settings.steps)
    else:
        settings = beginning(run.kind, where.type, given or {})
    generator = run.load_generator(step=step, device=where)
    if isinstance(generator, Encoder):
        raise UserError(f"{run.path} has an encoder of its own, which `disentangle evaluate {run.path}` scores")
    weights = run.weights_hash(step)
    return EncoderTraining(run.encoder, generator, weights, step, settings, where).train(restart)


def beginning(kind: str, device: str, given: dict[str, Any]) -> "EncoderSettings":
    """The settings of a new encoder for a run of ``kind``."""
    import torch

    from disentangle.training.encoder import EncoderSettings
    from disentangle.training.hardware import autocast_dtype

    precision = "float32" if autocast_dtype("auto", torch.device(device)) is None else "bfloat16"
    return replace(EncoderSettings(pool=POOLS.get(kind, 0), precision=precision), **given)


def going_on(record: "EncoderRecord", given: dict[str, Any]) -> "EncoderSettings":
    """The settings that an encoder was begun with, for more steps if asked.

    Raises:
        UserError: where others are asked for, or fewer steps than are done.
    """
    for name, value in given.items():
        before = getattr(record.settings, name)
        if name != "steps" and value != before:
            option = f"--{name.replace('_', '-')}"
            raise UserError(
                f"the encoder was begun with {option} {before}, and cannot go on with {value}: leave it out, or begin "
                "anew with --restart"
            )
    settings = replace(record.settings, **given)
    if settings.steps < record.step:
        raise UserError(
            f"the encoder is at step {record.step} already, --steps {settings.steps} is behind it: give more, or none"
        )
    return settings


def table(record: "EncoderRecord") -> "Table":
    """How well the encoder knows each code."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False)
    drawn.add_column("code")
    for heading in ("R²", "squared error"):
        drawn.add_column(heading, justify="right")
    rows = list(zip(record.names, record.r2, record.mse, strict=True))
    for name, share, error in rows[:SHOWN]:
        drawn.add_row(name, f"{share:.3f}", f"{error:.3f}")
    if len(rows) > SHOWN:
        drawn.add_row(f"… and {len(rows) - SHOWN} more in encoder.json", "", "")
    drawn.add_row("mean", f"{record.mean_r2:.3f}", f"{record.mean_mse:.3f}", style="bold")
    return drawn
