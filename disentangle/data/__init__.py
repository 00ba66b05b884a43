"""Data sets: generated ones with known factors, published ones, and any folder of pictures."""

from pathlib import Path

from disentangle.data import (
    cars3d,
    celeba,
    cifar,
    class_folder,
    digits,
    dsprites,
    faces,
    fashion_mnist,
    folder,
    mnist,
    mpi3d,
    picture_folders,
    scenes,
    shapes3d,
    smallnorb,
    sprites,
)
from disentangle.data.base import Description, FactorGrid, GridSet, ImageSet, LabelledSet
from disentangle.data.classes import ClassLabels, split_indices
from disentangle.errors import UserError, unknown_name

__all__ = [
    "SETS",
    "ClassLabels",
    "Description",
    "FactorGrid",
    "GridSet",
    "ImageSet",
    "LabelledSet",
    "load",
    "split_indices",
]

# A new data set is a module with a DESCRIPTION, and its place here.
SETS: dict[str, Description] = {
    description.name: description
    for description in (
        sprites.DESCRIPTION,
        scenes.DESCRIPTION,
        faces.DESCRIPTION,
        dsprites.DESCRIPTION,
        shapes3d.DESCRIPTION,
        *mpi3d.DESCRIPTIONS,
        cars3d.DESCRIPTION,
        smallnorb.DESCRIPTION,
        digits.DESCRIPTION,
        mnist.DESCRIPTION,
        fashion_mnist.DESCRIPTION,
        *cifar.DESCRIPTIONS,
        celeba.DESCRIPTION,
        *picture_folders.DESCRIPTIONS,
        folder.DESCRIPTION,
        class_folder.DESCRIPTION,
    )
}


def load(
    name: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    root: str | Path | None = None,
    split: str | None = None,
    frame: str | None = None,
) -> ImageSet:
    """Load a data set.

    Args:
        name: a key of :data:`SETS`.
        size: height and width of the pictures; ``None`` for the set's own.
        channels: 1 or 3; ``None`` for the set's own.
        root: the folder with its files: needed for ``folder`` and ``class-folder``, else only where they are in no
            usual place.
        split: ``"train"`` or ``"test"``. If ``None``, the former of sets that are published in two parts, except of
            ``smallnorb``, and all pictures of ``digits`` and of a ``class-folder`` that is not in two parts; these are
            split by :func:`split_indices`. The sets that are whole grids, and folders, cannot be split.
        frame: what is shown of pictures that are not square: ``"middle"``, which is cut out; ``"whole"``, squeezed; or
            of ``celeba`` ``"wide"``, of which less is cut off. If ``None``, the first; the pictures of most sets are
            square.

    Raises:
        UserError: where the set is unknown, cannot have this size or frame, or its files are missing or damaged.
    """
    if name not in SETS:
        raise unknown_name("data set", name, SETS)
    description, place = SETS[name], None if root is None else Path(root).expanduser()
    if frame is None:
        return description.load(size, channels, place, split)
    if not description.frames:
        raise UserError(
            f"the data set {name!r} takes no frame, got {frame!r}: its pictures are shown whole; leave it out"
        )
    return description.load(size, channels, place, split, frame)
