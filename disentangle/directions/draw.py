"""Draw what directions do: a sheet of strips, and a loop."""

import io
import math
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from disentangle.directions.captions import built_in, fitting, signed
from disentangle.directions.edits import move
from disentangle.directions.record import Directions
from disentangle.generator import Generator
from disentangle.pictures import grid, to_uint8

REACH = 3.0
INK, FAINT, PAPER, LINE = (32, 33, 36), (120, 124, 130), (255, 255, 255), (226, 228, 232)
CAPTION, HEADER, PAD = 142, 34, 3
MARGIN, TITLE, ROW = 14, 36, 72
FRAMES, MILLISECONDS = 40, 60
MOVED = "moved by, in sigma"


@torch.no_grad()
def traverse(
    generator: Generator, directions: Directions, k: int, latents: Tensor, positions: Sequence[float]
) -> Tensor:
    """The pictures of every latent moved along direction ``k`` by every amount, as a slider of the app moves it.

    Args:
        generator: makes the pictures.
        directions: along which.
        k: which of them.
        latents: ``(n, d)``.
        positions: ``m`` amounts, in units of sigma; at 0 is the latent itself.

    Returns:
        uint8 ``(n * m, c, h, w)``, on the CPU, the positions of the first latent first.
    """
    # One latent at a time: large pictures of many positions need not fit into memory at once.
    return torch.cat([to_uint8(generator.synthesize(row)) for row in move(latents, directions, k, positions)])


def strips(
    generator: Generator,
    directions: Directions,
    latents: Tensor,
    order: Sequence[int] | None = None,
    columns: int = 7,
) -> Image.Image:
    """A sheet with a row a direction, moved by -3 to 3 sigma, captioned with layer, singular value and activeness.

    Args:
        generator: makes the pictures.
        directions: what to draw.
        latents: ``(n, d)``, where the strips start; ``n`` rows a direction.
        order: which directions, from top to bottom; the first eight of the ranking by default.
        columns: pictures in a row, at least two.

    Returns:
        RGB, about 900 pixels wide for pictures of 32 or 64 pixels.

    Raises:
        ValueError: where there is nothing to draw, or ``columns`` is less than two.
    """
    order = directions.ranking(8) if order is None else list(order)
    if not order or len(latents) == 0 or columns < 2:
        raise ValueError(
            f"expected a direction, a latent and two columns at least, got {len(order)}, {len(latents)} and {columns}"
        )
    positions = torch.linspace(-REACH, REACH, columns).tolist()
    rows = [traverse(generator, directions, k, latents, positions) for k in order]
    return sheet(rows, [_facts(directions, k) for k in order], positions)


def sheet(
    rows: Sequence[Tensor],
    captions: Sequence[Sequence[str]],
    positions: Sequence[float],
    title: Sequence[str] = (),
) -> Image.Image:
    """Rows of pictures with a caption at the left of each and the positions above.

    Args:
        rows: of each row the pictures ``(n * m, c, h, w)``, uint8 or float in [-1, 1]; with ``n > 1`` it has ``n``
            lines.
        captions: of each row a name, and lines under it.
        positions: ``m`` of them, in units of sigma.
        title: of all, a name and what else there is to say, above everything.

    Returns:
        RGB; small pictures are enlarged by a whole number.

    Raises:
        ValueError: where there are no rows or no positions, or not a caption for each row.
    """
    if not rows or len(rows) != len(captions) or not len(positions):
        raise ValueError(
            f"expected rows, a caption for each, and positions, got {len(rows)}, {len(captions)} and {len(positions)}"
        )
    columns = len(positions)
    blocks = [grid(row, columns, PAD, scale_for(row.shape[-1])) for row in rows]
    width, top = blocks[0].width, TITLE if title else 0
    drawn = Image.new(
        "RGB", (CAPTION + width, top + HEADER + sum(max(block.height, ROW) + 1 for block in blocks)), PAPER
    )
    pen = ImageDraw.Draw(drawn)
    if title:
        _title(pen, title, drawn.width)
    pen.text((MARGIN, top + HEADER // 2 + 2), MOVED, font=built_in(13), fill=FAINT, anchor="lm")
    cell = (width - PAD) // columns
    for i, position in enumerate(positions):
        centre = CAPTION + PAD + i * cell + (cell - PAD) // 2
        pen.text((centre, top + HEADER // 2 + 2), signed(position), font=built_in(14), fill=FAINT, anchor="mm")
    top += HEADER
    for block, lines in zip(blocks, captions):
        height = max(block.height, ROW)
        pen.line((0, top, drawn.width, top), fill=LINE)
        drawn.paste(block, (CAPTION, top + 1 + (height - block.height) // 2))
        _caption(pen, lines, top + 1 + height // 2)
        top += height + 1
    return drawn


def loop(
    generator: Generator, directions: Directions, latents: Tensor, order: Sequence[int] | None = None
) -> list[Image.Image]:
    """Frames of a smooth, endless swing through directions, side by side; each starting latent is a row.

    Args:
        generator: makes the pictures.
        directions: what to draw.
        latents: ``(n, d)``, where the swing starts.
        order: which directions, from left to right; the first six of the ranking by default.

    Returns:
        40 RGB pictures; the first follows the last.

    Raises:
        ValueError: where there is nothing to draw.
    """
    order = directions.ranking(6) if order is None else list(order)
    if not order or len(latents) == 0:
        raise ValueError(f"expected a direction and a latent at least, got {len(order)} and {len(latents)}")
    # A quarter of the swing has all of its positions: the way back and the other side are the same pictures again.
    quarter = FRAMES // 4
    positions = [REACH * math.sin(math.pi / 2 * i / quarter) for i in range(-quarter, quarter + 1)]
    tracks = [traverse(generator, directions, k, latents, positions).unflatten(0, (len(latents), -1)) for k in order]
    pictures = torch.stack(tracks, dim=1)  # (latents, directions, positions, c, h, w)
    scale = scale_for(pictures.shape[-1])
    swing = [*range(quarter, 2 * quarter), *range(2 * quarter, 0, -1), *range(quarter)]
    labels = [directions.labels[k] for k in order]
    return [framed(grid(pictures[:, :, i].flatten(0, 1), len(order), PAD, scale), labels) for i in swing]


def gif_bytes(frames: Sequence[Image.Image], milliseconds: int = MILLISECONDS) -> bytes:
    """The frames as an endlessly looping GIF, each as long (tens of ms), all with the palette of the widest swing."""
    # One palette for all: with a palette a frame, flat colours flicker.
    extremes = Image.new("RGB", (frames[0].width, 3 * frames[0].height))
    for i, frame in enumerate((frames[0], frames[len(frames) // 4], frames[3 * len(frames) // 4])):
        extremes.paste(frame, (0, i * frame.height))
    palette = extremes.quantize(256, method=Image.Quantize.MEDIANCUT)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    indexed[0].save(buffer, "GIF", save_all=True, append_images=indexed[1:], duration=milliseconds, loop=0)
    return buffer.getvalue()


def scale_for(size: int) -> int:
    """How many times to enlarge a picture of ``size`` pixels, so that about 100 pixels result."""
    return max(1, round(100 / size))


def framed(block: Image.Image, labels: Sequence[str], foot: int = 0) -> Image.Image:
    """The block under a line of labels, one a column, or one for all; with ``foot`` empty pixels under it."""
    drawn = Image.new("RGB", (block.width, HEADER + block.height + foot), PAPER)
    drawn.paste(block, (0, HEADER))
    pen = ImageDraw.Draw(drawn)
    cell = (block.width - PAD) // len(labels)
    for i, label in enumerate(labels):
        centre = PAD + i * cell + (cell - PAD) // 2
        text, font = fitting(label, cell, 14)
        pen.text((centre, HEADER // 2), text, font=font, fill=INK, anchor="mm")
    return drawn


def _facts(directions: Directions, k: int) -> list[str]:
    """Label, singular value and activeness."""
    lines = [directions.labels[k], f"singular value {float(directions.singular_values[k]):.3g}"]
    lines += [] if directions.activeness is None else [f"activeness {float(directions.activeness[k]):.2g}"]
    return lines + (["repeated"] if bool(directions.repeated[k] | directions.unresolved[k]) else [])


def _title(pen: ImageDraw.ImageDraw, lines: Sequence[str], width: int) -> None:
    """A name, and the rest faint beside it."""
    name, font = fitting(lines[0], width / 2, 18)
    pen.text((MARGIN, TITLE // 2 + 4), name, font=font, fill=INK, anchor="lm")
    left = MARGIN + font.getlength(name) + 14
    rest, font = fitting("  ·  ".join(lines[1:]), width - left - MARGIN, 13)
    pen.text((left, TITLE // 2 + 5), rest, font=font, fill=FAINT, anchor="lm")


def _caption(pen: ImageDraw.ImageDraw, lines: Sequence[str], middle: int) -> None:
    """A name and lines under it, around the line ``middle``."""
    top = middle - 9 * (len(lines) - 1)
    for i, line in enumerate(lines):
        text, font = fitting(line, CAPTION - MARGIN - 6, 13 if i else 16)
        pen.text((MARGIN, top + (3 + 17 * i if i else 0)), text, font=font, fill=FAINT if i else INK, anchor="lm")
