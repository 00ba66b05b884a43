"""``disentangle train``: train a recipe, or go on with a run that was stopped."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError, unknown_name
from disentangle.training.recipe import Recipe

if TYPE_CHECKING:  # imported where it is used
    import torch

logger = logging.getLogger(__name__)

HELP = """usage: disentangle train RECIPE [OPTIONS]
       disentangle train --resume RUN [--steps STEPS]

Train a recipe, or go on with a run that was stopped, from its newest checkpoint.

  disentangle list                    shows the recipes
  disentangle train RECIPE --help     shows every setting of one, and its value
  disentangle train --resume RUN      goes on after Ctrl-C, a kill or a power cut

examples:
  disentangle train sprites-vae --steps 2000 --seed 1 --out runs/first
  disentangle train --resume runs/first
"""


@dataclass(frozen=True)
class TrainArgs:
    """Train a recipe. Every setting of the recipe can be changed.

    Example: disentangle train sprites-vae --steps 2000 --seed 1 --out runs/first
    """

    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)
    out: Path | None = None
    """The new run folder; by default runs/RECIPE, with a number where that exists."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to train: auto takes an accelerator where there is one."""


@dataclass(frozen=True)
class ResumeArgs:
    """Go on with a run that was stopped.

    Example: disentangle train --resume runs/first
    """

    resume: Path
    """The run folder."""
    steps: int | None = None
    """A new last step; by default the recipe's."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to train: auto takes an accelerator where there is one."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    import sys

    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return
    if any(word.split("=")[0] == "--resume" for word in argv):
        arguments = parse(ResumeArgs, args=list(argv), prog="disentangle train")
        resume(arguments.resume, arguments.steps, arguments.device)
        return
    if argv[0].startswith("-"):
        raise UserError(f"the recipe's name comes first, got {argv[0]!r}: `disentangle list` shows the recipes")
    from disentangle.training.recipes import RECIPES

    name = argv[0]
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    chosen = parse(
        TrainArgs,
        args=list(argv[1:]),
        default=TrainArgs(recipe=RECIPES[name]),
        prog=f"disentangle train {name}",
        config=(tyro.conf.AvoidSubcommands,),
    )
    train(name, chosen.recipe, chosen.out, chosen.device)


def train(name: str, recipe: Recipe, out: Path | None = None, device: str = "auto") -> Path:
    """Train ``recipe`` into a new run folder.

    Args:
        name: the recipe's name.
        recipe: what to train.
        out: the folder; by default ``runs/NAME``, with a number where that exists.
        device: ``"auto"`` or ``"cpu"``.

    Returns:
        The run folder.

    Raises:
        UserError: on bad input; nothing is overwritten.
    """
    from accelerate.utils import broadcast_object_list

    from disentangle.training.hardware import finish, make_accelerator
    from disentangle.training.loop import Trainer
    from disentangle.training.run import Run

    recipe.check()
    accelerator = make_accelerator(device)
    # Everything that can be wrong is tried before a folder is made: the data, the networks, the treatment.
    recipe = settled(recipe, accelerator.device)
    path = [str(out or free_folder(Path("runs") / name))]
    broadcast_object_list(path)
    draft = Run.draft(Path(path[0]), name, recipe)
    trainer = Trainer(draft, draft.data(), accelerator)
    if accelerator.is_main_process:
        draft.create()
        logger.info("%s: %s pictures, %d steps, into %s", name, f"{len(trainer.pictures):,}", recipe.steps, path[0])
    accelerator.wait_for_everyone()
    trainer.train()
    finish(accelerator)
    return Path(path[0])


def settled(recipe: Recipe, device: "torch.device") -> Recipe:
    """The recipe with what is decided once, so that a run resumed elsewhere finds its data and computes as it began."""
    from disentangle.training.architectures import AutoencoderKLConfig, DiffusionConfig
    from disentangle.training.hardware import autocast_dtype

    if recipe.data.root is not None:
        recipe = replace(recipe, data=replace(recipe.data, root=recipe.data.root.resolve()))
    model = recipe.model
    if isinstance(model, AutoencoderKLConfig | DiffusionConfig) and model.weights is not None:
        recipe = replace(recipe, model=replace(model, weights=model.weights.resolve()))
    if recipe.precision == "auto":
        narrow = autocast_dtype("auto", device)
        recipe = replace(recipe, precision="float32" if narrow is None else "bfloat16")
    return recipe


def resume(path: Path, steps: int | None = None, device: str = "auto") -> None:
    """Go on with the run at ``path`` from its newest checkpoint, to ``steps`` if given.

    Raises:
        UserError: where it is no run, or is damaged.
    """
    from disentangle.training.hardware import finish, make_accelerator
    from disentangle.training.loop import Trainer
    from disentangle.training.run import Run

    run = Run.open(path)
    newest = (run.checkpoints() or [0])[-1]
    changed = steps is not None and steps != run.recipe.steps
    if steps is not None and changed:
        if steps < newest:
            raise UserError(f"{path} is at step {newest} already, --steps {steps} is behind it: give more, or none")
        run = Run.draft(run.path, run.config["name"], replace(run.recipe, steps=steps))
    accelerator = make_accelerator(device)
    trainer = Trainer(run, run.data(), accelerator)
    if accelerator.is_main_process:
        if changed:
            run.write_config()
        logger.info("going on with %s from step %d of %d", path, newest, run.recipe.steps)
    accelerator.wait_for_everyone()
    trainer.train()
    finish(accelerator)


def free_folder(path: Path) -> Path:
    """``path``, or the first of ``path-2``, ``path-3``, … that does not exist."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
