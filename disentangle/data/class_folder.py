"""A folder of pictures with one folder a class, as ImageNet's."""

import logging
from pathlib import Path

import torch

from disentangle.data.base import Description, check_split
from disentangle.data.classes import ClassSet, split_indices
from disentangle.data.folder import DEFAULT_SIZE, LARGEST_SIZE, check_options, load_pictures, pictures_under
from disentangle.errors import UserError

NAME = "class-folder"
TEST_FOLDERS = ("val", "test")
LAYOUTS = "expected ROOT/CLASS/*.jpg, or ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg"

logger = logging.getLogger(__name__)


def load_class_folder(
    root: Path, size: int | None = None, channels: int | None = None, split: str | None = None
) -> ClassSet:
    """The pictures of a folder that has one folder a class, with the factor ``class``: the folders' names, sorted.

    Either ``root/train`` and ``root/val`` (or ``root/test``) have one folder a class each, as ImageNet has, or ``root``
    itself has; in that case the parts are those of :func:`disentangle.data.classes.split_indices`. All pictures in a
    class's folder and the folders below are its own; see :func:`disentangle.data.folder.load_pictures` for what counts
    as a picture and when it is decoded.

    Args:
        root: the folder.
        size: height and width, 64 if ``None``: the shorter side is resized to it, antialiased, and the middle is cut
            out.
        channels: 3, or 1 for grey.
        split: ``"train"`` or ``"test"``. If ``None``, the former where both are there, else all pictures.

    Raises:
        UserError: for another size, number of channels or split; where there is no such folder, it has fewer than two
            classes, a class without a picture, other classes to train with than to test, or a picture that cannot be
            read.
    """
    size, channels = check_options(NAME, size, channels)
    part = None if split is None else check_split(split)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}: check the path, or what it is relative to ({Path.cwd()})")
    tests = [root / name for name in TEST_FOLDERS if (root / name).is_dir()]
    if (root / "train").is_dir() and tests:
        folders = {"train": root / "train", "test": tests[0]}
        classes = {name: _classes(folder) for name, folder in folders.items()}
        _check_same(folders, classes)
        folder, names = folders[part or "train"], classes["train"]
    else:
        folder, names = root, _classes(root)
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        members = pictures_under(folder / name)
        if not members:
            raise UserError(
                f"the class {name!r} has no pictures: {folder / name} must hold files such as .png, .jpg or .webp; add "
                "some, or remove the folder"
            )
        paths += members
        labels += [label] * len(members)
    column = torch.tensor(labels)
    if folder == root and part is not None:
        train, test = split_indices(column)
        chosen = train if part == "train" else test
        paths, column = [paths[index] for index in chosen.tolist()], column[chosen]
    return ClassSet(load_pictures(NAME, paths, size, channels), {"class": names}, column[:, None])


def _classes(folder: Path) -> list[str]:
    """The names of the class folders in a folder, sorted."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(
            f"cannot read the folder {folder}: {error.strerror}: mend its permissions, or move it"
        ) from None
    if len(names) < 2:
        got = f"one folder, {names[0]!r}" if names else "no folder"
        raise UserError(f"a classifier needs two classes or more, but {folder} has {got} in it: {LAYOUTS}")
    return names


def _check_same(folders: dict[str, Path], classes: dict[str, list[str]]) -> None:
    """Raise unless both parts have the same classes."""
    for part, other in (("train", "test"), ("test", "train")):
        extra = sorted(set(classes[part]) - set(classes[other]))
        if extra:
            shown = ", ".join(extra[:3]) + (f" and {len(extra) - 3} more" if len(extra) > 3 else "")
            raise UserError(
                f"{folders['train']} and {folders['test']} must have the same classes: {shown} is only in "
                f"{folders[part]}: add it to the other, or remove it"
            )


def _load(size: int | None, channels: int | None, root: Path | None, split: str | None) -> ClassSet:
    if root is None:
        raise UserError(f"the data set {NAME!r} needs to know which: give its path as root")
    return load_class_folder(root, size, channels, split)


def _where(root: Path | None) -> str:
    return str(root) if root is not None else "name it as root"


DESCRIPTION = Description(
    name=NAME,
    summary="your own pictures, one folder a class, as ImageNet's",
    count="any",
    sizes=f"1 … {LARGEST_SIZE} ({DEFAULT_SIZE})",
    channels=(3, 1),
    factors="class",
    where=_where,
    load=_load,
)
