"""``disentangle discover``: find latent directions of a run, measure what speaks for each, and draw what they do."""

import logging
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from disentangle.apps.arguments import parse
from disentangle.apps.directions.places import check_folder
from disentangle.apps.progress import stages
from disentangle.errors import UserError, check_seed

if TYPE_CHECKING:  # imported where it is used: `disentangle discover --help` must not wait for torch
    from disentangle.directions import Directions, Progress
    from disentangle.generator import Generator
    from disentangle.training.run import Run

logger = logging.getLogger(__name__)


LOOP_ROWS, LOOP_COLUMNS = 3, 6
COLUMNS = 7
MOST = 1024
"""Pictures in one drawing, at most."""
SAME = 0.99
"""Cosine from which on a direction is the one that was found before, and keeps its name."""


@dataclass(frozen=True)
class Args:
    """Find latent directions of a run, measure what each does and whether it can be believed, and draw the best.

    Writes directions.safetensors, strips.png and traversal.gif to RUN/directions/NAME. Names and notes that people gave
    to directions that are found again are kept. The first discovery on a labelled data set trains a network that reads
    its factors, in about a minute, and keeps it for all later ones.

    Prints of each direction its place in the file and its name; its singular value, the share that it has in the
    layer, and the gap to the nearest other value; by how many degrees other samples or seeds turn it; how much it
    changes pictures (activeness) and how far a step of one sigma takes them; the known factor that it moves most, below
    it how far at -2 and 2 sigma, in shares of its range, if its values are ordered numbers; how purely; and what speaks
    against it: repeated values have arbitrary axes, unstable ones turn by more than 30 degrees, still ones hardly
    change the picture.

    example: disentangle discover runs/fashion --method weights --directions 6
    """

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""
    method: str = "auto"
    """subspace (the learned axes), weights (SeFa), activations (GANSpace), jacobian, hspace (diffusion models),
    coordinate or random (baselines); auto is the subspace where there is one, else the coordinates of a model with an
    encoder, else the weights."""
    name: str = ""
    """The folder in RUN/directions; by default the method's name."""
    count: int | None = None
    """Keep this many, those of the largest singular values; by default all, or as many as the method finds unasked."""
    layers: tuple[str, ...] = ()
    """Only these layers, such as "layer 2"; all by default."""
    seed: int = 0
    """Where the drawings start, and what methods and measurements draw from."""
    seeds: int = 2
    """How many other seeds to find the directions again with, to see by how much they turn; 0 for none."""
    samples: int | None = None
    """Latents that activations, jacobian and hspace take; by default what the method says."""
    module: str | None = None
    """Of which part of the network to take the activations: its dotted name."""
    stack: bool = False
    """Treat the layers that see the same latents as one (weights, subspace, coordinate, random)."""
    unit_rows: bool = False
    """Bring the rows of a layer's matrix to unit length before its directions are found (likewise)."""
    steps: bool = True
    """Measure how far a step of one sigma takes the picture, to a network that has seen many."""
    factors: bool = True
    """Measure which of the data set's known factors each direction moves, where there are any."""
    directions: int = 8
    """How many to draw at most, the best first; those that hardly change the picture are left out, not lost."""
    rows: int = 1
    """Rows of pictures a direction in strips.png, each from another starting point: --seed and the numbers after it."""


def main(argv: list[str]) -> None:
    """Run the command."""
    args = parse(Args, args=argv, prog="disentangle discover")
    if "--layers" in argv and not args.layers:
        raise UserError('--layers names none: name some, such as --layers "layer 2", or leave it out for all')
    check(args)

    from rich.console import Console

    from disentangle.apps.discoveries import LISTED, following, table
    from disentangle.directions import natural_method
    from disentangle.training.run import Run

    run = Run.open(args.run)
    step = run.step
    generator, weights = run.load_generator(step=step), run.weights_hash(step)
    method = natural_method(generator) if args.method == "auto" else args.method
    name = args.name or method
    earlier(run, name, method)  # what must not be replaced, and what cannot be written, is said before the work
    check_place(run.path / "directions" / name)
    with stages() as progress:
        found = find(
            run,
            generator,
            method,
            count=args.count,
            layers=args.layers or None,
            seed=args.seed,
            options=chosen(args),
            steps=args.steps,
            factors=args.factors,
            seeds=args.seeds,
            weights=weights,
            progress=lambda share, text: progress(0.95 * share, text),
        )
        found = keep_names(found, earlier(run, name, method))  # the drawings show them
        order = [k for k in found.ranking() if not found.still[k]] or found.ranking(1)
        progress(0.95, "drawing")
        files = drawn(generator, found, order[: args.directions], args.seed, args.rows)
    found = keep(run, name, method, found, files)
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(table(found, order[:LISTED], f"{found.method}: {len(found)} directions, the best first"))
    for line in following(run.path, name, found, order):
        console.print(line, markup=False, soft_wrap=True)
    logger.info(
        "step %d, seed %d; %d directions, strips.png and traversal.gif in %s",
        step,
        args.seed,
        len(found),
        run.path / "directions" / name,
    )


def check(args: Args) -> None:
    """Raise :class:`UserError` where a number or the name makes no sense."""
    check_seed(args.seed)
    for name, least in (("directions", 1), ("rows", 1), ("count", 1), ("samples", 1), ("seeds", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name} must be at least {least}, got {value}")
    pictures = args.rows * args.directions * COLUMNS
    if pictures > MOST:
        raise UserError(
            f"{args.rows:,} rows of {args.directions:,} directions are {pictures:,} pictures: possible: {MOST:,}; "
            "choose fewer --rows or --directions"
        )
    if args.name:
        check_folder(args.name)


def check_place(folder: Path) -> None:
    """Raise :class:`UserError` where ``folder``, or what it is still to be made in, takes no files."""
    from disentangle.training.files import check_writable

    check_writable(next(place for place in (folder, *folder.parents) if place.exists()))


def chosen(args: Args) -> dict[str, Any]:
    """The method's own options, as far as they were given."""
    given = {"samples": args.samples, "module": args.module, "stack": args.stack, "unit_rows": args.unit_rows}
    return {name: value for name, value in given.items() if value}


def find(
    run: "Run",
    generator: "Generator",
    method: str = "auto",
    *,
    count: int | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    options: Mapping[str, Any] = MappingProxyType({}),
    samples: int = 16,
    steps: bool = False,
    factors: bool = False,
    seeds: int = 0,
    weights: str | None = None,
    progress: "Progress | None" = None,
) -> "Directions":
    """Directions of a run's generator with their activeness, bound to its weights by their hash.

    Args:
        run: the run.
        generator: its averaged generator.
        method: as :func:`disentangle.directions.discover` takes it, like ``count``, ``layers`` and ``seed``.
        count: how many.
        layers: which.
        seed: what is drawn from.
        options: of the method.
        samples: pictures on which the activeness is measured.
        steps: also measure step sizes, by the network that is installed.
        factors: also measure which factors of the run's data set are moved, where it has any.
        seeds: also find them again with so many other seeds.
        weights: hash of the generator's weights, where it is known already; by default that of the run's newest.
        progress: is told the share that is done and what is being done. What it raises ends the discovery.

    Raises:
        UserError: as :func:`disentangle.directions.discover` does.
    """
    from disentangle.directions import discover, measure_activeness, measure_seed_stability, measure_step_sizes

    # Shares of the whole time, roughly.
    parts = {"find": 3, "active": 2, "seeds": 3 * seeds, "steps": 6 * steps, "factors": 8 * factors}
    whole, begun = sum(parts.values()), 0

    def part(name: str) -> "Progress":
        nonlocal begun
        start, begun = begun, begun + parts[name]
        tell = progress or (lambda share, text: None)
        return lambda share, text: tell((start + parts[name] * share) / whole, text)

    weights = run.weights_hash() if weights is None else weights
    common: dict[str, Any] = {"count": count, "layers": layers, "seed": seed, "weights": weights}
    found = discover(generator, method, progress=part("find"), **common, **options)
    found = measure_activeness(generator, found, samples=samples, seed=seed, progress=part("active"))
    if seeds:
        found = measure_seed_stability(generator, found, seeds=seeds, progress=part("seeds"))
    if steps:
        from disentangle.metrics.perceptual import load_distance

        distance = load_distance(device=generator.sample_latents(1).device)
        found = measure_step_sizes(generator, found, distance, seed=seed, progress=part("steps"))
    return _with_effects(run, generator, found, seed, part("factors")) if factors else found


def _with_effects(run: "Run", generator: "Generator", found: "Directions", seed: int, tell: "Progress") -> "Directions":
    """With what they do to known factors; as they are where the data have none or are not here."""
    from disentangle.directions import measure_effects
    from disentangle.training.reader import factor_reader

    latents = generator.sample_latents(1)
    shape = tuple(generator.synthesize(latents).shape[1:])
    try:
        data = run.data()
        if shape != (data.channels, data.size, data.size):
            raise UserError(f"pictures of {data.name} are of another size than those of {run.path}")
        reader = factor_reader(data, device=latents.device, progress=lambda share, text: tell(0.8 * share, text))
    except UserError as error:
        logger.warning("which factors the directions move is not known: %s", error)
        return found
    if reader is None:
        return found
    return measure_effects(
        generator,
        found,
        reader,
        factors=reader.factors,
        readable=reader.readable,
        noise=reader.noise,
        scales=reader.scales,
        seed=seed,
        progress=lambda share, text: tell(0.8 + 0.2 * share, text),
    )


def drawn(
    generator: "Generator", found: "Directions", order: Sequence[int], seed: int, rows: int = 1
) -> dict[str, bytes]:
    """The drawings of the directions at ``order``, by the names of their files.

    They start from the samples that the app shows under ``seed`` and the numbers that follow it.
    """
    import torch

    from disentangle.directions.draw import gif_bytes, loop, strips
    from disentangle.pictures import png_bytes

    seeds = range(seed, seed + max(rows, LOOP_ROWS))
    latents = torch.cat([generator.sample_latents(1, torch.Generator().manual_seed(start)) for start in seeds])
    frames = loop(generator, found, latents[:LOOP_ROWS], order[:LOOP_COLUMNS])
    return {
        "strips.png": png_bytes(strips(generator, found, latents[:rows], order, COLUMNS)),
        "traversal.gif": gif_bytes(frames),
    }


def earlier(run: "Run", name: str, method: str) -> "Directions | None":
    """The directions that lie under ``name`` already; ``None`` where there are none that can be read.

    Raises:
        UserError: where another method found them, so that they must not be replaced.
    """
    from disentangle.directions import METHODS, Directions

    if name in ("auto", *METHODS) and name != method and method in METHODS:
        raise UserError(f"--name {name} is the name of a method, and these come from {method}: choose another name")
    try:
        before = Directions.load(run.path / "directions" / name)
    except UserError:
        return None
    if before.method != method and method in METHODS:
        raise UserError(
            f"{run.path / 'directions' / name} holds directions of the method {before.method}, not {method}: choose "
            "another --name"
        )
    return before


def keep_names(found: "Directions", before: "Directions | None") -> "Directions":
    """Give directions the names and notes that people gave to the same ones before, in the same weights."""
    from disentangle.directions import match

    if before is None or before.weights != found.weights or before.vectors.shape[1] != found.vectors.shape[1]:
        return found
    matches = match(found, before)
    names, notes = list(found.names), list(found.notes)
    for (k, old), angle in zip(matches.pairs, matches.angles.tolist(), strict=True):
        if angle <= math.degrees(math.acos(SAME)):
            names[k], notes[k] = names[k] or before.names[old], notes[k] or before.notes[old]
    return replace(found, names=tuple(names), notes=tuple(notes))


def keep(run: "Run", name: str, method: str, found: "Directions", files: Mapping[str, bytes]) -> "Directions":
    """Keep directions in a run, as :func:`write` does, with the names that people have given to the same ones up to
    now, while they were being found included. Whoever names or keeps directions there meanwhile waits.

    Args:
        run: whose directions they are.
        name: of the folder in its ``directions``.
        method: what found them.
        found: what is to be kept.
        files: drawings of them, by their files' names.

    Returns:
        What has been kept: ``found`` with the names.

    Raises:
        UserError: where another method's directions have that name, or it cannot be written.
    """
    from disentangle.training.files import disk_errors, locked

    folder = run.path / "directions" / name
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait=True):
        before = earlier(run, name, method)
        found = keep_names(found, before)
        write(folder, found, files, before)
    return found


def write(folder: Path, found: "Directions", files: Mapping[str, bytes], before: "Directions | None") -> None:
    """Write the directions and their drawings, all or none.

    Where people named directions that are not among those found, their file is kept beside, as ``NAME-before1``.

    Raises:
        UserError: where they cannot be written.
    """
    from disentangle.apps.report import write_together
    from disentangle.directions.file import FILE

    if before is not None:
        said = {word for words in (before.names, before.notes) for word in words if word}
        if said - {*found.names, *found.notes}:
            places = (folder.with_name(f"{folder.name}-before{i}") for i in range(1, 1000))
            aside = next(place for place in places if not place.exists())
            before.save(aside)
            logger.warning("directions with names that were not found again are kept in %s", aside)
    write_together(folder, {**files, FILE: found.to_bytes()})


def quoted(path: Path | str) -> str:
    """As a shell takes it."""
    return shlex.quote(str(path))
