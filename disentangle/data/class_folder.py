"""A folder of pictures with one folder a class, as ImageNet's."""

from pathlib import Path

import torch

from disentangle.data.base import SPLITS, Description, check_split
from disentangle.data.classes import ClassSet, split_indices
from disentangle.data.folder import DEFAULT_SIZE, LARGEST_SIZE, check_options, load_pictures, pictures_under, walk
from disentangle.errors import UserError

NAME = "class-folder"
TEST_FOLDERS = ("val", "test")
LAYOUTS = "expected ROOT/CLASS/*.jpg, or ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg"


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
    parts = _parts(root)
    names = _classes(root if parts is None else parts["train"])
    if parts is not None:
        _check_same(parts, names, _classes(parts["test"]))
    # of all parts, so that what is wrong with the test part is not found after the training
    for folder in [root] if parts is None else parts.values():
        _check_filled(folder, names)
    folder = root if parts is None else parts[part or "train"]
    members = [pictures_under(folder / name) for name in names]
    paths = [path for of_class in members for path in of_class]
    labels = torch.arange(len(names)).repeat_interleave(torch.tensor([len(of_class) for of_class in members]))
    if parts is None and part is not None:
        single = next((name for name, of_class in zip(names, members, strict=True) if len(of_class) < 2), None)
        if single is not None:
            raise UserError(
                f"the class {single!r} in {root} has one picture, which cannot be both trained on and tested with: add "
                "some, or remove the folder"
            )
        chosen = split_indices(labels)[SPLITS.index(part)]
        paths, labels = [paths[index] for index in chosen.tolist()], labels[chosen]
    return ClassSet(load_pictures(NAME, paths, size, channels), {"class": names}, labels[:, None])


def _parts(root: Path) -> dict[str, Path] | None:
    """The folders of the two splits, if they are there."""
    tests = [root / name for name in TEST_FOLDERS if (root / name).is_dir()]
    return {"train": root / "train", "test": tests[0]} if tests and (root / "train").is_dir() else None


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


def _check_same(parts: dict[str, Path], train: list[str], test: list[str]) -> None:
    """Raise unless both parts have the same classes."""
    for part, only in (("train", set(train) - set(test)), ("test", set(test) - set(train))):
        if only:
            shown = ", ".join(sorted(only)[:3]) + (f" and {len(only) - 3} more" if len(only) > 3 else "")
            raise UserError(
                f"{parts['train']} and {parts['test']} must have the same classes, but only {parts[part]} has {shown}: "
                "add to the other, or remove here"
            )


def _check_filled(folder: Path, names: list[str]) -> None:
    """Raise unless every class has a picture."""
    for name in names:
        if next(walk(folder / name), None) is None:
            raise UserError(
                f"the class {name!r} has no pictures: {folder / name} must hold files such as .png, .jpg or .webp: add "
                "some, or remove the folder"
            )


def _load(size: int | None, channels: int | None, root: Path | None, split: str | None) -> ClassSet:
    if root is None:
        raise UserError(f"the data set {NAME!r} needs to know which: give its path as root (--data.root in a training)")
    return load_class_folder(root, size, channels, split)


DESCRIPTION = Description(
    name=NAME,
    summary="your own pictures, one folder a class, as ImageNet's",
    count="any",
    sizes=f"1 … {LARGEST_SIZE} ({DEFAULT_SIZE})",
    channels=(3, 1),
    factors="class",
    find=lambda root: root,
    source="name it as root",
    load=_load,
)
