"""``disentangle demo``: train, score, discover and steer a small generator."""

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from disentangle.apps.arguments import parse
from disentangle.errors import UserError

logger = logging.getLogger(__name__)

RECIPE = "scenes-vae"

EVALUATE = ("--train-samples", "4000", "--test-samples", "2000", "--samples", "1000")
"""How the demo is scored: on fewer samples than `disentangle evaluate` takes by itself, to be done in a minute."""

DISCOVER = ("--no-factors",)
"""How its directions are measured: without the network that reads factors, whose training takes another minute."""


@dataclass(frozen=True)
class Args:
    """Train a generator of 3-D scenes, score it, find its directions and open it in the browser.

    Takes under five minutes on two cores. A demo that was stopped goes on where it was; one that is done only opens.

    example: disentangle demo --no-serve
    """

    serve: bool = True
    """Open the web app at the end; without it the command ends."""
    out: Path = Path("runs/demo")
    """The run folder."""
    port: int | None = None
    """Where the app listens; by default the first free port from 7860."""
    browser: bool = False
    """Also open the app in the browser."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    args = parse(Args, args=list(argv), prog="disentangle demo")
    began = time.monotonic()

    from disentangle.apps import discover, evaluate, train
    from disentangle.apps.traverse.launch import free_port
    from disentangle.training.recipes import RECIPES
    from disentangle.training.run import Run

    if args.serve:
        free_port(args.port)  # a port that cannot be had is said now, not after minutes
    recipe = RECIPES[RECIPE]
    if not (args.out / "config.json").exists():
        logger.info("1/3  training: %s", recipe.summary)
        train.train(RECIPE, recipe, args.out)
    else:
        run = Run.open(args.out)
        if run.recipe != recipe:
            raise UserError(f"{args.out} holds another run than the demo's: name another folder with --out")
        if recipe.steps not in run.checkpoints():
            logger.info("1/3  training goes on in %s", args.out)
            train.resume(args.out)
    run = Run.open(args.out)
    if not (run.path / "report.json").exists():
        logger.info("2/3  scores")
        evaluate.main([str(run.path), *EVALUATE])
    if not (run.path / "directions" / "subspace" / "traversal.gif").exists():
        logger.info("3/3  directions")
        discover.main([str(run.path), *DISCOVER])
    logger.info("done in %s; what there is to see:", clock(time.monotonic() - began))
    for name in ("report.html", "directions/subspace/strips.png", "directions/subspace/traversal.gif"):
        sys.stdout.write(f"  {run.path / name}\n")
    sys.stdout.flush()
    if args.serve:
        from disentangle.apps.traverse.launch import launch

        launch(run.path, args.port, open_browser=args.browser, block=True)


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return "{:.0f}:{:02.0f}".format(*divmod(seconds, 60))
