"""``disentangle data``: the data sets, and what their pictures look like."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from disentangle.apps.arguments import parse
from disentangle.errors import UserError, check_seed

if TYPE_CHECKING:  # torch, Pillow and rich are imported when they are needed: `--help` must not wait for them
    from PIL import Image
    from rich.table import Table
    from torch import Tensor

    from disentangle.data import GridSet, ImageSet, LabelledSet

logger = logging.getLogger(__name__)

TILE = 96  # pixels that a picture takes in a preview, at least
ROWS = 6  # of random pictures


EXAMPLES = """
examples:
  disentangle data
  disentangle data sprites --out preview.png
  disentangle data get dsprites
  disentangle data folder --root ~/Pictures --size 128 --out preview.png
  disentangle data class-folder --root ~/imagenet --split test --size 64
"""


@dataclass(frozen=True)
class DataArgs:
    """List the data sets; or load one, say what is in it, and draw a preview; `disentangle data get` downloads one.

    The preview of a set with a picture for every combination of factors has one row a factor, which changes along the
    row while all others stay. A set of classes has one column a class. Of other sets, random pictures are drawn.
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """The data set; none to list all."""
    out: Path | None = None
    """Draw a preview to this PNG file."""
    force: bool = False
    """Replace the file if it exists."""
    size: int | None = None
    """Height and width of the pictures; the set's own if left out."""
    channels: int | None = None
    """1 (grey) or 3 (colour); the set's own if left out."""
    root: Path | None = None
    """The folder with the files, if the set has any."""
    split: str | None = None
    """The part, train or test, of a set that has both or can be split."""
    columns: int = 10
    """Pictures in a row of the preview."""
    seed: int = 0
    """Decides which pictures are drawn."""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    if argv and argv[0] == "get":
        from disentangle.apps import data_get

        data_get.main(argv[1:])
        return
    description = inspect.cleandoc(DataArgs.__doc__ or "") + "\n" + EXAMPLES
    options = (tyro.conf.FlagCreatePairsOff,)
    args = parse(DataArgs, args=list(argv), prog="disentangle data", description=description, config=options)
    if args.name is None:
        if args != DataArgs():
            raise UserError(
                "name the data set that the options are for: disentangle data NAME …; without it all are listed"
            )
        show(_list())
        return
    if args.out is not None:
        _check_out(args.out, args.force)
    if not 1 <= args.columns <= 100:
        raise UserError(f"--columns must lie between 1 and 100, got {args.columns}")

    from disentangle.data import load

    data = load(args.name, size=args.size, channels=args.channels, root=args.root, split=args.split)
    if args.out is None:
        show(_describe(data))
        return

    from disentangle.pictures import png_bytes
    from disentangle.training.files import write_atomic

    write_atomic(args.out, png_bytes(preview(data, args.columns, args.seed)))
    logger.info("preview of %s: %s", data.name, args.out)


def preview(data: ImageSet, columns: int = 10, seed: int = 0) -> Image.Image:
    """Draw some pictures of a set, side by side, with captions.

    Args:
        data: the set. A grid set gets one row a factor, each from the same random picture; a set of classes one
            column a class; another set random pictures.
        columns: most pictures in a row.
        seed: decides which pictures.

    Returns:
        A picture in mode ``RGB``, each tile enlarged to at least 96 pixels.
    """
    import torch

    from disentangle.data import GridSet, LabelledSet

    check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    if isinstance(data, GridSet):
        tiles, left = _factor_rows(data, columns, generator)
        return _captioned(tiles, left, [], pad=2)
    if isinstance(data, LabelledSet):
        tiles, top = _class_columns(data, columns, generator)
        return _captioned(tiles, [], top, pad=2)
    chosen = torch.randperm(len(data), generator=generator)[: columns * ROWS]
    rows = -(-len(chosen) // columns)
    tiles = torch.full((rows * columns, data.channels, data.size, data.size), 255, dtype=torch.uint8)
    tiles[: len(chosen)] = data.images(chosen)
    return _captioned(tiles.view(rows, columns, *tiles.shape[1:]), [], [], pad=2)


def _factor_rows(data: GridSet, columns: int, generator: object) -> tuple[Tensor, list[str]]:
    """Tiles ``(k, columns, c, h, w)`` and a caption for each row."""
    import torch

    start = data.factors(torch.randint(len(data), (1,), generator=generator))  # type: ignore[call-overload]
    tiles = torch.full((len(data.factor_names), columns, data.channels, data.size, data.size), 255, dtype=torch.uint8)
    captions = []
    for column, (name, values) in enumerate(zip(data.factor_names, data.factor_values, strict=True)):
        count = min(columns, len(values))
        factors = start.repeat(count, 1)
        factors[:, column] = torch.linspace(0, len(values) - 1, count).round().long()
        tiles[column, :count] = data.images(data.index(factors))
        captions.append(f"{name}\n{values[0]} … {values[-1]}")
    return tiles, captions


def _class_columns(data: LabelledSet, columns: int, generator: object) -> tuple[Tensor, list[str]]:
    """Tiles ``(ROWS, classes, c, h, w)`` and a caption for each column."""
    import torch

    labels = data.factors(torch.arange(len(data)))[:, 0]
    values = data.factor_values[0][:columns]
    tiles = torch.full((ROWS, len(values), data.channels, data.size, data.size), 255, dtype=torch.uint8)
    for value in range(len(values)):
        members = (labels == value).nonzero()[:, 0]
        chosen = members[torch.randperm(len(members), generator=generator)][:ROWS]  # type: ignore[call-overload]
        tiles[: len(chosen), value] = data.images(chosen)
    return tiles, list(values)


def _captioned(tiles: Tensor, left: list[str], top: list[str], pad: int) -> Image.Image:
    """A sheet of tiles ``(rows, columns, c, h, w)`` with captions for its rows or columns."""
    from PIL import Image, ImageDraw, ImageFont

    from disentangle.pictures import grid

    scale = max(1, -(-TILE // tiles.shape[-1]))
    sheet = grid(tiles.flatten(0, 1), columns=tiles.shape[1], pad=pad, scale=scale).convert("RGB")
    step = tiles.shape[-1] * scale + pad
    font = ImageFont.load_default(size=12)
    draw = ImageDraw.Draw(sheet)
    boxes = [draw.multiline_textbbox((0, 0), text, font=font) for text in left]
    margin_x = int(max((box[2] for box in boxes), default=-8)) + 8
    margin_y = 18 if top else 0
    page = Image.new("RGB", (sheet.width + margin_x, sheet.height + margin_y), "white")
    page.paste(sheet, (margin_x, margin_y))
    draw = ImageDraw.Draw(page)
    for row, text in enumerate(left):
        draw.multiline_text(
            (margin_x - 4, margin_y + (row + 0.5) * step), text, "black", font, anchor="rm", align="right"
        )
    for column, text in enumerate(top):
        while len(text) > 1 and draw.textlength(text, font=font) > step:
            text = text[:-2] + "…"
        draw.text((margin_x + pad + (column + 0.5) * step, margin_y - 3), text, "black", font, anchor="ms")
    return page


def _check_out(out: Path, force: bool) -> None:
    if out.suffix.lower() != ".png":
        raise UserError(f"--out must end in .png, got {out}")
    if out.is_dir():
        raise UserError(f"{out} is a folder: name a file")
    if out.exists() and not force:
        raise UserError(f"{out} exists: name another file, or replace it with --force")


def _list() -> Table:
    from rich.table import Table

    from disentangle.data import SETS

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "what it is", "pictures", "sizes", "channels", "factors", "where"):
        table.add_column(heading, overflow="fold")
    for name, one in SETS.items():
        channels = " or ".join(map(str, one.channels))
        table.add_row(name, one.summary, one.count, one.sizes, channels, one.factors or "unknown", one.where(None))
    return table


def _describe(data: ImageSet) -> Table:
    from rich.table import Table

    from disentangle.data import LabelledSet

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("name", data.name)
    table.add_row("pictures", f"{len(data):,}")
    table.add_row("size", f"{data.size} × {data.size}, {'grey' if data.channels == 1 else 'RGB'}")
    if isinstance(data, LabelledSet):
        for name, values in zip(data.factor_names, data.factor_values, strict=True):
            shown = values if len(values) <= 10 else (*values[:3], "…", values[-1])
            table.add_row(name, f"{len(values)}: {', '.join(shown)}")
    else:
        table.add_row("factors", "unknown")
    return table


def show(table: Table) -> None:
    """Print a table to standard output."""
    from rich.console import Console

    # markup would swallow brackets in a path; a pipe has no width, and 80 columns are too narrow
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
