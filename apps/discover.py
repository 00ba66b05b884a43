"""``disentangle discover``: find latent directions of a run and draw what they do."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError, check_seed

if TYPE_CHECKING:
    from rich.table import Table

    from disentangle.directions import Directions
    from disentangle.generator import Generator
    from disentangle.training.run import Run

logger = logging.getLogger(__name__)

LOOP_ROWS, LOOP_COLUMNS = 3, 6


@dataclass(frozen=True)
class Args:
    """Find latent directions of a run, measure how much each changes the pictures, and draw the most active.

    Writes directions.safetensors, directions.json, strips.png and traversal.gif to RUN/directions/METHOD.

    example: disentangle discover runs/fashion --method weights --directions 6
    """

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    method: str = "auto"
    """subspace (the learned axes), weights (SeFa), coordinate or random (baselines); auto is the subspace where there
    is one, else the coordinates of a model with an encoder, else the weights."""
    layer: tuple[str, ...] = ()
    """Only these layers, such as "layer 2"; all by default."""
    directions: int = 8
    """How many to draw at most, the most active first; those that hardly change the picture are left out, not lost."""
    seed: int = 0
    """Where the drawings start, and what the random method and the measurement draw from."""
    rows: int = 1
    """Rows of pictures a direction in strips.png, each from another starting point."""
    samples: int = 16
    """Pictures on which the activeness is measured."""
    stack: bool = False
    """Treat the layers that see the same latents as one."""
    unit_rows: bool = False
    """Bring the rows of a layer's matrix to unit length before its directions are found."""


def main(argv: list[str]) -> None:
    """Run the command."""
    args = parse(Args, args=argv, prog="disentangle discover")
    check_seed(args.seed)
    for name in ("directions", "rows", "samples"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} must be at least 1, got {getattr(args, name)}")

    import torch
    from rich.console import Console

    from disentangle.directions.draw import gif_bytes, loop, strips
    from disentangle.pictures import png_bytes
    from disentangle.training.files import write_atomic
    from disentangle.training.run import Run

    run = Run.open(args.run)
    generator = run.load_generator()
    found = find(
        run,
        generator,
        args.method,
        layer=args.layer or None,
        stack=args.stack,
        unit_rows=args.unit_rows,
        seed=args.seed,
        samples=args.samples,
    )
    # Those that hardly move the picture are kept in the file, and left out of what people look at.
    order = [k for k in found.ranking(args.directions) if not found.still[k]] or found.ranking(1)
    latents = generator.sample_latents(max(args.rows, LOOP_ROWS), torch.Generator().manual_seed(args.seed))
    folder = run.path / "directions" / found.method
    found.save(folder)
    write_atomic(folder / "strips.png", png_bytes(strips(generator, found, latents[: args.rows], order)))
    moving = order[:LOOP_COLUMNS]
    write_atomic(folder / "traversal.gif", gif_bytes(loop(generator, found, latents[:LOOP_ROWS], moving)))
    Console(file=sys.stdout).print(table(found, order))
    logger.info(
        "step %d, seed %d; %d directions, strips.png and traversal.gif in %s", run.step, args.seed, len(found), folder
    )


def find(
    run: "Run",
    generator: "Generator",
    method: str,
    *,
    layer: tuple[str, ...] | None = None,
    stack: bool = False,
    unit_rows: bool = False,
    seed: int = 0,
    samples: int = 16,
) -> "Directions":
    """Directions of a run's generator with their activeness, bound to its weights by their hash.

    Raises:
        UserError: as :func:`disentangle.directions.discover` does.
    """
    from disentangle.directions import discover, measure_activeness

    options: dict[str, Any] = {name: True for name, wanted in (("stack", stack), ("unit_rows", unit_rows)) if wanted}
    found = discover(generator, method, layers=layer, seed=seed, weights=run.weights_hash(), **options)
    return measure_activeness(generator, found, samples=samples, seed=seed)


def table(directions: "Directions", order: list[int]) -> "Table":
    """The directions at ``order`` as a table."""
    from rich.table import Table

    drawn = Table(title=f"{directions.method}: {len(order)} of {len(directions)} directions, the most active first")
    drawn.add_column("direction")
    for name in ("singular value", "gap", "activeness"):
        drawn.add_column(name, justify="right")
    for k in order:
        gap = float(directions.gaps[k])
        drawn.add_row(
            directions.labels[k],
            f"{float(directions.singular_values[k]):.4g}",
            "repeated" if bool(directions.repeated[k]) else "alone" if gap == float("inf") else f"{gap:.3f}",
            "" if directions.activeness is None else f"{float(directions.activeness[k]):.2g}",
        )
    return drawn
