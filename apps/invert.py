"""``disentangle invert``: find the latents of real pictures, so that they can be edited like generated ones."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.apps.pictures import fit_image, load_image
from disentangle.errors import UserError, check_seed

if TYPE_CHECKING:  # torch and Pillow are imported when they are needed: `--help` must not wait for them
    from PIL import Image
    from torch import Tensor

    from disentangle.apps.kept import KeptPicture
    from disentangle.directions import Progress
    from disentangle.directions.inversion import Inversion
    from disentangle.generator import Generator
    from disentangle.training.run import Run

logger = logging.getLogger(__name__)

STEPS, MOST = 200, 5000
SLOW_STEPS = 50
"""Of diffusion models: each goes through all sampling steps and back, 2 s on one core for 20 of a small model."""


@dataclass(frozen=True)
class Args:
    """Find latents that make given pictures, and keep them in the run: the app and `disentangle render` edit them.

    The search starts from the run's encoder where it has one (a VAE has; `disentangle encode` trains one for others),
    else from the best of several draws, and follows the gradient of the difference of pixels and of a perceptual
    distance. Pictures are cut to their middle square and brought to the generator's size. Writes
    RUN/pictures/NAME.safetensors, and beside it NAME.png: the picture, what the start gave, and what was found.

    example: disentangle invert runs/scenes photo.png
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    pictures: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PICTURE …")]
    """PNG, JPEG, WebP, GIF (its first frame) or BMP files."""
    steps: int | None = None
    """Steps of the search at most, fewer where they bring it no nearer; 0 for the encoder alone. By default 200, and 50
    for diffusion models, whose steps take long: every one goes through all sampling steps."""
    perceptual: bool = True
    """Mind the perceptual distance too, not pixels alone: most of the time goes there."""
    seed: int = 0
    """What the starts are drawn from."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    args = parse(Args, args=list(argv), prog="disentangle invert", description=inspect.cleandoc(Args.__doc__ or ""))
    check_seed(args.seed)
    if not args.pictures:
        raise UserError(f"name at least one picture: disentangle invert {args.run} PICTURE")
    if args.steps is not None and not 0 <= args.steps <= MOST:
        raise UserError(f"--steps must lie between 0 and {MOST}, got {args.steps}")

    from disentangle.apps.edit import Edit
    from disentangle.apps.kept import keep_picture
    from disentangle.pictures import png_bytes
    from disentangle.training.files import write_atomic
    from disentangle.training.run import Run

    images = [load_image(path) for path in args.pictures]  # all are looked at before the first minute is spent
    run = Run.open(args.run)
    step = run.step
    generator, weights = run.load_generator(step=step), run.weights_hash(step)
    steps = default_steps(run) if args.steps is None else args.steps
    for path, image in zip(args.pictures, images):
        with _bar(path.name) as progress:
            found = search(
                run,
                generator,
                image,
                steps=steps,
                perceptual=args.perceptual,
                seed=args.seed,
                weights=weights,
                progress=progress,
            )
        name = keep_picture(run, found.kept)
        drawing = run.path / "pictures" / f"{name}.png"
        write_atomic(drawing, png_bytes(before_and_after(found)))
        error, before = found.kept.error, float(found.inversion.start_errors[0])
        link = Edit(run.name, picture=name, weights=found.kept.weights[:12]).to_query()
        sys.stdout.write(f"{path}: error {before:.4f} ({found.begun}) -> {error:.4f} ({taken(found, steps)})\n")
        sys.stdout.write(f"{drawing}\n?{link}\n")


@dataclass(frozen=True, eq=False)
class Found:
    """What a search came to.

    Attributes:
        kept: the picture and its latents, for :func:`disentangle.apps.kept.keep_picture`.
        inversion: how it went.
        start: uint8 ``(c, h, w)``, what the generator makes of the latents that the search started from …
        result: … and of those that it found.
        begun: what said where to start, in words.
    """

    kept: KeptPicture
    inversion: Inversion
    start: Tensor
    result: Tensor
    begun: str


def search(
    run: Run,
    generator: Generator,
    image: Image.Image,
    *,
    steps: int | None = None,
    perceptual: bool = True,
    seed: int = 0,
    weights: str | None = None,
    progress: Progress | None = None,
) -> Found:
    """Find the latents of a picture.

    Args:
        run: the run, for its encoder and the hash of its weights.
        generator: the run's generator.
        image: of any size; its middle square is taken.
        steps: of the search; 0 for what the encoder says; by default what :func:`default_steps` says.
        perceptual: mind a perceptual distance beside that of pixels.
        seed: what starts are drawn from.
        weights: hash of the generator's weights, where it is known already; by default that of the run's newest.
        progress: told the share done and what is being done; raising from it ends the search.

    Raises:
        UserError: where the search does not end at finite latents.
    """
    import torch

    from disentangle.apps.kept import KeptPicture
    from disentangle.directions.inversion import invert
    from disentangle.metrics.perceptual import load_distance
    from disentangle.pictures import from_uint8, to_uint8

    steps = default_steps(run) if steps is None else steps
    weights = run.weights_hash() if weights is None else weights  # now: another checkpoint may come meanwhile
    with torch.no_grad():
        made = generator.synthesize(generator.sample_latents(1, torch.Generator().manual_seed(0)))
    original = fit_image(image, made.shape[1], made.shape[2])
    encode = encoder_of(run, generator)
    picture = from_uint8(original)[None].to(made.device)
    begun = "best draw"
    if encode is not None:
        with torch.no_grad():
            begun = "encoder, the rest drawn" if bool(encode(picture).isnan().any()) else "encoder alone"
    found = invert(
        generator,
        picture,
        encode=encode,
        distance=load_distance(device=made.device) if perceptual and steps else None,
        steps=steps,
        seed=seed,
        progress=progress,
    )
    if not bool(found.latents.isfinite().all() & found.errors.isfinite().all()):
        raise UserError(f"{run.path} makes pictures that are not finite: its training has diverged")
    with torch.no_grad():
        start, result = (to_uint8(generator.synthesize(latents))[0] for latents in (found.starts, found.latents))
    kept = KeptPicture(found.latents.detach().float().cpu(), original, weights, float(found.errors[0]))
    return Found(kept, found, start, result, begun)


def taken(found: Found, steps: int) -> str:
    """How many steps of those allowed a search took, and why no more."""
    count = int(found.inversion.steps[0])
    return f"{steps} steps" if count == steps else f"{count} of {steps} steps: more of them bring it no nearer"


def default_steps(run: Run) -> int:
    """Steps of a search that take a minute or two at most, on one core and small pictures."""
    return SLOW_STEPS if run.kind == "diffusion" else STEPS


def encoder_of(run: Run, generator: Generator) -> Callable[[Tensor], Tensor] | None:
    """Pictures to latents ``(n, d)``, NaN for those that the encoder says nothing about; ``None`` if there is none."""
    import torch

    from disentangle.generator import Encoder

    if isinstance(generator, Encoder):
        return generator.encode
    if not run.encoder.checkpoints():
        return None
    try:
        record, encoder = run.encoder_record(), run.load_encoder()
    except UserError as error:
        logger.warning("searching without the encoder: %s", error)
        return None

    @torch.no_grad()
    def encode(images: Tensor) -> Tensor:
        codes = encoder.to(images.device).encode(images)
        latents: Tensor = codes.new_full((len(images), generator.latent_size), torch.nan)
        latents[:, list(record.latents)] = codes
        return latents

    return encode


def before_and_after(found: Found) -> Image.Image:
    """The picture, what the start gave and what was found, side by side, with their errors."""
    import torch

    from disentangle.directions.draw import framed, scale_for
    from disentangle.pictures import grid

    pictures = torch.stack([found.kept.original, found.start, found.result])
    scale = 2 * scale_for(pictures.shape[-1])
    begun = found.begun.removesuffix(" alone").split(",")[0]
    labels = ["picture", f"{begun}: {float(found.inversion.start_errors[0]):.3f}", f"found: {found.kept.error:.3f}"]
    drawn: Image.Image = framed(grid(pictures, 3, 3, scale), labels)
    return drawn


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """A bar on the terminal, if standard error is one."""
    from rich import progress
    from rich.console import Console
    from rich.markup import escape

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TimeRemainingColumn())
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda share, words: bar.update(task, completed=share, description=escape(f"{name}: {words}"))
