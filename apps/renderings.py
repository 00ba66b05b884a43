"""Everything that is drawn of an edit, for the app and for the command line alike: picture, strip, sheet, loop.

Every picture in them is :func:`disentangle.apps.studio.picture` of an edit, and so has the very pixels that the edit's
link shows. Positions are coordinates of the edit, in sigma: a strip's picture at +2 is the edit with direction ``k``
moved by +2, whatever the edit moved it by.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from PIL import Image, ImageDraw

from disentangle.apps.discover import MOST
from disentangle.apps.edit import Edit
from disentangle.apps.studio import POSITIONS, View, picture
from disentangle.directions.captions import built_in, signed
from disentangle.directions.draw import FAINT, INK, LINE, PAD, framed, gif_bytes, scale_for
from disentangle.directions.draw import sheet as draw_sheet
from disentangle.directions.video import mp4_bytes
from disentangle.errors import UserError
from disentangle.pictures import grid, png_bytes, to_pil

__all__ = ["at", "frames", "gif_bytes", "mp4_bytes", "png", "sheet", "strip", "strips", "with_seeds"]

REACH = 3.0
FRAMES = 40
FOOT = 26
"""Pixels under the pictures of a loop, in which its position moves."""


def png(view: View, edit: Edit, scale: int = 1) -> bytes:
    """The picture of an edit as a PNG file: the bytes that the app, its API and the command line all give.

    Args:
        view: of the edit's run and directions.
        edit: which picture.
        scale: every pixel becomes ``scale * scale`` equal ones; with 1 the file is that of all others.
    """
    drawn = to_pil(picture(view, edit))
    if scale > 1:
        drawn = drawn.resize((drawn.width * scale, drawn.height * scale), Image.Resampling.NEAREST)
    return png_bytes(drawn)


def at(edit: Edit, k: int, position: float) -> Edit:
    """The edit with direction ``k`` moved by ``position`` sigma, all else as it was."""
    return replace(edit, coordinates=(*((i, x) for i, x in edit.coordinates if i != k), (k, position)))


def with_seeds(edit: Edit, seeds: Sequence[int]) -> list[Edit]:
    """The same edit of other starts."""
    return [replace(edit, seed=seed, picture="") for seed in seeds]


def strip(view: View, edit: Edit, k: int, positions: Sequence[float] = POSITIONS) -> Image.Image:
    """One direction from one start: a row of pictures, captioned.

    Args:
        view: of the edit's run and directions.
        edit: where to start, and what else is moved.
        k: place of the direction in its file.
        positions: of the pictures, in sigma.

    Returns:
        RGB; small pictures are enlarged by a whole number.

    Raises:
        UserError: where there is no such direction, a position is out of range, or there are too many.
    """
    return strips(view, edit, [k], positions)


def strips(view: View, edit: Edit, order: Sequence[int], positions: Sequence[float] = POSITIONS) -> Image.Image:
    """A row for each of several directions, from one start; otherwise as :func:`strip`."""
    _check(view, order, len(order) * len(positions))
    rows = [_row(view, edit, k, positions) for k in order]
    return draw_sheet(rows, [_said(view, k) for k in order], positions, _title(view, edit, _start(edit)))


def sheet(view: View, edits: Sequence[Edit], k: int, positions: Sequence[float] = POSITIONS) -> Image.Image:
    """One direction from several starts: a captioned row of pictures each.

    Args:
        view: of the edits' run and directions.
        edits: where to start, and what else is moved; :func:`with_seeds` makes them of one.
        k: place of the direction in its file.
        positions: of the pictures, in sigma.

    Raises:
        UserError: as :func:`strip` does; also where there are no edits.
    """
    if not edits:
        raise UserError("there is nothing to draw: name at least one seed")
    _check(view, [k], len(edits) * len(positions))
    rows = [_row(view, edit, k, positions) for edit in edits]
    title = [view.directions.labels[k], *_said(view, k)[1:], *_title(view, edits[0], "")]
    return draw_sheet(rows, [[_start(edit)] for edit in edits], positions, title)


def frames(
    view: View,
    edit: Edit,
    k: int,
    reach: float | tuple[float, float] = REACH,
    count: int = FRAMES,
    seeds: Sequence[int] = (),
) -> list[Image.Image]:
    """A smooth, endless swing along one direction.

    Args:
        view: of the edit's run and directions.
        edit: where to start, and what else is moved.
        k: place of the direction in its file.
        reach: how far it swings to either side, in sigma; or from where to where.
        count: of frames.
        seeds: starts that are shown side by side; the edit's own by default.

    Returns:
        ``count`` RGB pictures, the first in the middle of the swing; the first follows the last.

    Raises:
        UserError: as :func:`strip` does.
    """
    low, high = (-reach, reach) if isinstance(reach, int | float) else reach
    edits = with_seeds(edit, seeds) if seeds else [edit]
    _check(view, [k], len(edits) * count)
    middle, half = (low + high) / 2, (high - low) / 2
    # Rounded, so that the way back passes through the positions of the way there, whose pictures are there already.
    swing = [round(middle + half * math.sin(2 * math.pi * i / count), 9) for i in range(count)]
    drawn = {position: _frame(view, edits, k, position, (low, high)) for position in sorted(set(swing))}
    return [drawn[position] for position in swing]


def _frame(view: View, edits: Sequence[Edit], k: int, position: float, ends: tuple[float, float]) -> Image.Image:
    pictures = torch.stack([picture(view, at(edit, k, position)) for edit in edits])
    scale = scale_for(pictures.shape[-1]) * (2 if len(edits) == 1 else 1)
    drawn = framed(grid(pictures, len(edits), PAD, scale), [view.directions.labels[k]], FOOT)
    pen = ImageDraw.Draw(drawn)
    left, right, middle = PAD + 6, drawn.width - PAD - 76, drawn.height - FOOT // 2
    place = left + (right - left) * (position - ends[0]) / max(ends[1] - ends[0], 1e-9)
    pen.line((left, middle, right, middle), fill=LINE, width=2)
    pen.ellipse((place - 4, middle - 4, place + 4, middle + 4), fill=INK)
    pen.text((drawn.width - PAD - 4, middle), f"{signed(position)} sigma", font=built_in(12), fill=FAINT, anchor="rm")
    return drawn


def _row(view: View, edit: Edit, k: int, positions: Sequence[float]) -> torch.Tensor:
    """One at a time: among others a picture may differ from itself by a shade."""
    return torch.stack([picture(view, at(edit, k, position)) for position in positions])


def _said(view: View, k: int) -> list[str]:
    """A direction's name, and what is known of it in a few words."""
    directions = view.directions
    lines = [directions.labels[k]]
    if directions.names[k]:
        lines.append(directions.layers[k])
    if directions.moves[k] and directions.purity is not None:
        lines.append(f"{directions.moves[k]} {float(directions.purity[k]):.0%}")
    # Shorter than the words of `Directions.doubts`, which would be cut.
    repeated = directions.repeated | directions.unresolved
    doubts = {"repeated": repeated, "unstable": directions.unstable, "hardly changes it": directions.still}
    return lines + [words for words, so in doubts.items() if bool(so[k])][:1]


def _start(edit: Edit) -> str:
    return f"picture {edit.picture[:8]}" if edit.picture else f"seed {edit.seed}"


def _title(view: View, edit: Edit, start: str) -> list[str]:
    """The run, and what is the same in all pictures."""
    parts = [view.run.name, view.directions.method, start]
    parts.append(f"truncation {edit.truncation:g}" if edit.truncation != 1 else "")
    return [part for part in parts if part]


def _check(view: View, order: Sequence[int], pictures: int) -> None:
    for k in order:
        if not 0 <= k < len(view.directions):
            raise UserError(f"there is no direction {k}: possible: 0 to {len(view.directions) - 1}")
    if not 1 <= pictures <= MOST:
        raise UserError(f"{pictures:,} pictures cannot be drawn at once: possible: 1 to {MOST:,}")
