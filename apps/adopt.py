"""``disentangle import``: make a run of a published diffusion pipeline's folder, to be discovered and scored."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError, check_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Args:
    """Make a run of a published diffusion pipeline: find the axes of its mid-block's output and keep both.

    The folder is one of diffusers' DDPMPipeline or DDIMPipeline: model_index.json, unet/ and scheduler/, the weights in
    safetensors. Nothing is fetched from the network. The run is like any other: discover, app and evaluate open it, and
    train --resume RUN --steps STEPS goes on with it, on the data named here.

    example: disentangle import ~/ddpm-celebahq-256 --out runs/celeba --data folder --root ~/celeba
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """The pipeline's folder."""
    out: Path | None = None
    """The new run folder; by default runs/FOLDER, with a number where that exists."""
    codes: int = 8
    """How many axes of the mid-block's output codes move along."""
    steps: int = 20
    """Sampling steps of a picture."""
    steering: Literal["replace", "add"] = "replace"
    """Whether codes replace what the network says along the axes, or are added to it."""
    pictures: int = 256
    """How many pictures the axes are found in; the pipeline makes them, which takes most of the time."""
    data: str = "folder"
    """The data set that its pictures are compared with; `disentangle data` lists them."""
    root: Path | None = None
    """The data set's files, if it has any: needed by evaluate and train."""
    seed: int = 0
    """What those pictures are drawn from."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to compute: auto takes an accelerator where there is one."""


def main(argv: list[str]) -> None:
    """Run the command."""
    adopt(parse(Args, args=argv, prog="disentangle import"))


def adopt(args: Args) -> Path:
    """Make the run.

    Returns:
        Its folder.

    Raises:
        UserError: on bad input, or where another process fills the folder; nothing is overwritten.
    """
    check_seed(args.seed)

    from disentangle.apps.train import free_folder
    from disentangle.data import SETS
    from disentangle.errors import unknown_name
    from disentangle.models import HSpaceDiffusion
    from disentangle.training import checkpoint
    from disentangle.training.architectures import DiffusionConfig
    from disentangle.training.draws import seeded
    from disentangle.training.files import disk_errors, locked
    from disentangle.training.hardware import choose_device
    from disentangle.training.objectives import DiffusionLoss
    from disentangle.training.optimizers import AdamConfig
    from disentangle.training.recipe import DataConfig, Recipe
    from disentangle.training.run import Run
    from disentangle.treatments import TreatmentConfig

    if args.data not in SETS:
        raise unknown_name("data set", args.data, SETS)
    folder = args.folder.resolve()
    model = HSpaceDiffusion.from_pipeline(folder, args.codes, args.steps, args.steering, args.pictures)
    channels, size, _ = model.shape
    recipe = Recipe(
        summary=f"published pipeline {folder.name}",
        data=DataConfig(args.data, size=size, channels=channels, root=args.root.resolve() if args.root else None),
        model=DiffusionConfig(
            codes=args.codes, steps=args.steps, steering=args.steering, fitted_to=args.pictures, weights=folder
        ),
        loss=DiffusionLoss(),
        optimizer=AdamConfig(learning_rate=2e-5, betas=(0.9, 0.999)),
        treatment=TreatmentConfig(()),
        precision="float32",
        seed=args.seed,
    )
    recipe.check()
    run = Run.draft(args.out or free_folder(Path("runs") / folder.name), folder.name, recipe)
    if run.path.exists() and (not run.path.is_dir() or any(run.path.iterdir())):
        raise UserError(f"{run.path} exists and is not empty: choose another folder with --out")
    logger.info("%s: %d codes, fitted to %d pictures of %d steps …", folder.name, args.codes, args.pictures, args.steps)
    model.to(choose_device(args.device))
    model.fit(seeded(args.seed, "fit"))
    with disk_errors(run.path):
        run.path.mkdir(parents=True, exist_ok=True)
    with locked(run.path):
        run.create()
        checkpoint.save(run, 0, {"generator": model, "ema": model}, {})
    if args.data == "folder" and args.root is None:
        logger.info("to score it against real pictures, import it with --root FOLDER, or --data NAME, as well")
    logger.info("made %s: `disentangle discover %s`, `disentangle app %s`", run.path, run.path, run.path)
    return run.path
