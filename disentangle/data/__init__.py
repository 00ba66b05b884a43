"""Data sets: generated ones with known factors, small real ones, and any folder of pictures."""

from pathlib import Path

from disentangle.data import digits, fashion_mnist, folder, scenes, sprites
from disentangle.data.base import Description, FactorGrid, GridSet, ImageSet, LabelledSet, as_grid, as_labelled
from disentangle.errors import unknown_name

__all__ = [
    "SETS",
    "Description",
    "FactorGrid",
    "GridSet",
    "ImageSet",
    "LabelledSet",
    "as_grid",
    "as_labelled",
    "load",
]

# A new data set is a module with a DESCRIPTION, and its name here.
SETS: dict[str, Description] = {
    module.DESCRIPTION.name: module.DESCRIPTION for module in (sprites, scenes, digits, fashion_mnist, folder)
}


def load(
    name: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    root: str | Path | None = None,
    split: str | None = None,
) -> ImageSet:
    """Load a data set.

    Args:
        name: a key of :data:`SETS`.
        size: height and width of the pictures; ``None`` for the set's own.
        channels: 1 or 3; ``None`` for the set's own.
        root: the folder with its files: needed for ``folder``, else only where they are in no usual place.
        split: ``"train"`` (the default) or ``"test"``, for sets that are published in two parts.

    Raises:
        UserError: where the set is unknown, cannot have this size, or its files are missing or damaged.
    """
    if name not in SETS:
        raise unknown_name("data set", name, SETS)
    return SETS[name].load(size, channels, None if root is None else Path(root).expanduser(), split)
