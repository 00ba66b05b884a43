"""``disentangle render``: draw moved pictures of a run, or what a link of the app's shows."""

import inspect
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.apps.directions.places import place_of
from disentangle.apps.edit import Edit
from disentangle.errors import UserError, unknown_name

if TYPE_CHECKING:  # torch and Pillow are imported when they are needed: `--help` must not wait for them
    from PIL import Image

    from disentangle.apps.studio import View
    from disentangle.directions import Directions
    from disentangle.training.run import Run

logger = logging.getLogger(__name__)

KINDS = ("strip", "grid", "gif", "mp4")
ROWS = 64
LARGEST = 32
EXAMPLES = """
examples:
  disentangle render runs/fashion --move 0=1.5 3=-2 --seed 3 --out picture.png
  disentangle render "http://127.0.0.1:7860/?run=fashion&directions=weights&move=0:1.5&seed=3" --out picture.png
  disentangle render runs/fashion --strip 0 smile --grid 0 --gif 0 --seeds 0-3 --out drawings
"""


@dataclass(frozen=True)
class Args:
    """Draw pictures of a run, moved along its directions: one picture, strips, grids, GIFs and videos.

    A direction is named by its place in the file, by its label ("layer 2 #1") or by the name that it was given;
    `disentangle directions list RUN` shows them. Distances are in sigma, the standard deviation of the latents. The
    picture has the very bytes that the app and its API give. Prints the files, and the picture's link query.
    """

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|LINK")]
    """The run folder; or a link of the app's, or what stands behind its question mark: options then change it."""
    runs: Path = Path("runs")
    """The folder of the runs that links name."""
    directions: str | None = None
    """Which directions: of a method, or a name in RUN/directions; auto by default."""
    move: tuple[str, ...] = ()
    """How far to move along which, DIRECTION=SIGMA: 0=1.5 smile=-2."""
    seed: int | None = None
    """Where to start: 0 by default."""
    picture: str | None = None
    """Start from this inverted picture instead (`disentangle invert` says its name)."""
    truncation: float | None = None
    """What the latents of the start are multiplied with, 0 (their mean) to 2; 1 by default. Those of a diffusion model
    hold its noise, too: 0 is then the one picture that it makes of no noise."""
    out: Path | None = None
    """The file to write, or a folder if there are several; RUN/renders by default."""
    force: bool = False
    """Replace files that exist."""
    size: int = 1
    """Enlarge the one picture so many times; its bytes are then no longer the app's."""
    strip: tuple[str, ...] = ()
    """Draw a strip of each of these directions, from one start."""
    layers: tuple[str, ...] = ()
    """Draw a strip of all directions of these layers, on one sheet a layer."""
    grid: tuple[str, ...] = ()
    """Draw each of these directions from several starts, --seeds."""
    gif: tuple[str, ...] = ()
    """Draw a loop along each of these directions, as a GIF; from --seeds side by side, if they are given."""
    mp4: tuple[str, ...] = ()
    """The same as a video (needs the package av)."""
    seeds: str | None = None
    """Starts, such as 0-7,12; for grids 0-7 by default."""
    from_: Annotated[float, tyro.conf.arg(name="from")] = -3.0
    """Where strips, grids and loops begin, in sigma."""
    to: float = 3.0
    """Where they end."""
    steps: int = 7
    """Pictures in a row of strips and grids."""
    frames: int = 40
    """Frames of a loop."""
    fps: int = 16
    """Frames in a second, 1 to 50."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    description = inspect.cleandoc(Args.__doc__ or "") + "\n" + EXAMPLES
    options = (tyro.conf.FlagCreatePairsOff,)
    args = parse(Args, args=list(argv), prog="disentangle render", description=description, config=options)
    check(args)
    view, edit = open_target(args)
    jobs = list(_jobs(args, view, edit))
    paths = _places(args, view, [name for name, _ in jobs])

    from disentangle.training.files import write_atomic

    for path, (_, draw) in zip(paths, jobs):
        write_atomic(path, draw())
        sys.stdout.write(f"{path}\n")
    sys.stdout.write(f"?{edit.to_query()}\n")


def check(args: Args) -> None:
    """Raise :class:`UserError` where a number makes no sense."""
    limits = {"size": (1, LARGEST), "steps": (2, 100), "frames": (2, 400), "fps": (1, 50)}
    for name, (least, most) in limits.items():
        if not least <= getattr(args, name) <= most:
            raise UserError(f"--{name} must lie between {least} and {most}, got {getattr(args, name)}")
    if not args.from_ < args.to:
        raise UserError(f"--from must be less than --to, got {args.from_:g} and {args.to:g}")
    if args.size > 1 and (args.strip or args.layers or args.grid or args.gif or args.mp4):
        raise UserError("--size enlarges the one picture only: draw strips, grids and loops without it")


def open_target(args: Args) -> "tuple[View, Edit]":
    """What is meant: the run, opened, and the edit, with all its names and the weights filled in.

    Raises:
        UserError: where there is no such run or direction, or the link or the directions belong to other weights.
    """
    from disentangle.training.run import Run

    is_link = _is_link(args.target)
    edit = Edit.from_query(args.target) if is_link else Edit("-")
    run = Run.open(args.runs / edit.run if is_link else Path(args.target))
    given = {name: getattr(args, name) for name in ("directions", "seed", "picture", "truncation")}
    edit = replace(edit, run=run.name, **{name: value for name, value in given.items() if value is not None})
    if args.directions is not None:
        edit = replace(edit, basis="")  # the link's were others
    if args.seed is not None and args.picture is None:
        edit = replace(edit, picture="")
    view = _open(run, edit)
    given_moves = [_move(view.directions, text) for text in args.move]
    moves = dict(edit.coordinates) | dict(given_moves)
    if len(dict(given_moves)) < len(given_moves):
        raise UserError(f"--move moves a direction twice: {' '.join(args.move)}")
    return view, replace(
        edit,
        directions=view.name,
        coordinates=tuple(moves.items()),
        weights=edit.weights or view.weights[:12],
        basis=edit.basis or view.basis,
    )


def _is_link(target: str) -> bool:
    """Whether a link is meant, and not the folder of a run."""
    if target.startswith(("?", "http://", "https://")):
        return True
    # A query may be longer than any file's name, which the system does not even look for.
    return "run=" in target and not os.path.exists(target)


def _open(run: "Run", edit: Edit) -> "View":
    from disentangle.apps.studio import Studio, kept_directions
    from disentangle.directions import METHODS, Directions
    from disentangle.directions.file import FILE

    weights = run.weights_hash()
    if edit.weights and not weights.startswith(edit.weights):
        raise UserError(
            f"the link was made with other weights ({edit.weights}) than {run.path} has now ({weights[:12]}), whose "
            "pictures are others: take the weights away from the link to see what it makes of these"
        )
    stored = kept_directions(run)
    if edit.directions not in ("auto", *METHODS, *stored):
        raise unknown_name("directions", edit.directions, {"auto", *METHODS, *stored})
    view = Studio(run.path).open(run.name, edit.directions)
    folder = run.path / "directions" / view.name
    if (folder / FILE).exists():
        # The app finds directions of other weights anew, and says so; here nobody would see that these are others.
        Directions.load(folder).check_weights(weights, str(run.path))
    return view


def _jobs(args: Args, view: "View", edit: Edit) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of every file that is asked for, and what makes its bytes."""
    from disentangle.apps import renderings
    from disentangle.pictures import png_bytes

    places = {name: [place_of(view.directions, text) for text in getattr(args, name)] for name in KINDS}
    step = (args.to - args.from_) / (args.steps - 1)
    positions = [round(args.from_ + i * step, 6) for i in range(args.steps)]
    start = f"picture-{edit.picture}" if edit.picture else f"seed-{edit.seed}"
    seeds = parse_seeds(args.seeds) if args.seeds is not None else []

    def strips(order: list[int]) -> bytes:
        return png_bytes(renderings.strips(view, edit, order, positions))

    def grid(k: int) -> bytes:
        return png_bytes(renderings.sheet(view, renderings.with_seeds(edit, seeds or range(8)), k, positions))

    def loop(k: int) -> "list[Image.Image]":
        return renderings.frames(view, edit, k, (args.from_, args.to), args.frames, seeds)

    def gif(k: int) -> bytes:
        return renderings.gif_bytes(loop(k), round(100 / args.fps) * 10)  # GIFs count in hundredths of a second

    def mp4(k: int) -> bytes:
        return renderings.mp4_bytes(loop(k), args.fps)

    for k in places["strip"]:
        yield f"strip-{k}-{start}.png", partial(strips, [k])
    for layer in args.layers:
        name = "".join(letter if letter.isalnum() else "-" for letter in layer)
        yield f"strips-{name}-{start}.png", partial(strips, _of_layer(view.directions, layer))
    for k in places["grid"]:
        yield f"grid-{k}.png", partial(grid, k)
    for k in places["gif"]:
        yield f"loop-{k}-{start}.gif", partial(gif, k)
    for k in places["mp4"]:
        yield f"loop-{k}-{start}.mp4", partial(mp4, k)
    if not any(places.values()) and not args.layers:
        yield f"picture-{start}.png", partial(renderings.png, view, edit, args.size)


def parse_seeds(text: str) -> list[int]:
    """Seeds from ranges: ``"0-2,12"`` is 0, 1, 2 and 12.

    Raises:
        UserError: where it is none, or they are more than 256.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        # Nineteen digits have all seeds that there are, and more than 4,300 are no number to Python.
        digits = all(part.isdecimal() and len(part) < 20 for part in ((first, last) if dash else (first,)))
        if not digits or (dash and int(last) < int(first)):
            raise UserError(f"{text[:60]!r} is no range of seeds: expected numbers and rising ranges, such as 0-7,12")
        if len(seeds) + int(last or first) - int(first) >= 256:
            raise UserError(f"{text[:60]!r} is too many seeds: possible: 256")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _move(directions: "Directions", text: str) -> tuple[int, float]:
    name, _, amount = text.rpartition("=")
    try:
        distance = float(amount)
    except ValueError:
        distance = math.nan
    if not name or math.isnan(distance):
        raise UserError(f"{text[:60]!r} is no move: expected DIRECTION=SIGMA, such as 0=1.5")
    return place_of(directions, name), distance


def _of_layer(directions: "Directions", layer: str) -> list[int]:
    """The directions of a layer, the best ones first."""
    if layer not in directions.layers:
        raise unknown_name("layer", layer, set(directions.layers))
    order = [k for k in directions.ranking() if directions.layers[k] == layer]
    if len(order) > ROWS:
        logger.info("%s has %d directions: the first %d of the ranking are drawn", layer, len(order), ROWS)
    return order[:ROWS]


def _places(args: Args, view: "View", names: list[str]) -> list[Path]:
    """Where to write the files.

    Raises:
        UserError: where one is there already, or --out does not fit.
    """
    out = view.run.path / "renders" if args.out is None else args.out
    if len(set(names)) < len(names):
        raise UserError("a direction is asked for twice")
    if out.suffix and not out.is_dir():
        if len(names) > 1:
            raise UserError(f"{len(names)} files cannot go into {out}: name a folder with --out")
        suffix = Path(names[0]).suffix
        if out.suffix.lower() != suffix:
            raise UserError(f"--out must end in {suffix}, got {out}")
        paths = [out]
    else:
        paths = [out / name for name in names]
    for path in paths:
        if path.exists() and not args.force:
            raise UserError(f"{path} exists: name another with --out, or replace it with --force")
    return paths
