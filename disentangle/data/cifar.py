"""CIFAR-10 and CIFAR-100: 60,000 real colour pictures of 32×32 each, in ten and in a hundred classes.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, University of Toronto, 2009.
The files, for Python and binary, are described at https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from disentangle.data import files, unpickle
from disentangle.data.base import Description, check_choice, check_split
from disentangle.data.classes import ClassSet
from disentangle.data.download import Remote, download
from disentangle.data.memory import MemorySet, doubled
from disentangle.errors import UserError

URL = "https://www.cs.toronto.edu/~kriz/"
SIZES = (32, 64)
PIXELS = 3 * 32 * 32

CLASSES_10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CLASSES_100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
_SUPERCLASSES = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
    "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
    "vehicles_1 vehicles_2"
)
CLASSES_100 = tuple(_CLASSES_100.split())
SUPERCLASSES = tuple(_SUPERCLASSES.split())


@dataclass(frozen=True)
class Form:
    """One of the forms in which a set is published: an archive, and what is in it.

    Attributes:
        folder: the folder in the archive.
        archive: the archive's name.
        parts: names of the files of each split.
        binary: whether a file is a row of records, and no pickle.
    """

    folder: str
    archive: str
    parts: Mapping[str, tuple[str, ...]]
    binary: bool


@dataclass(frozen=True)
class Cifar:
    """One of the two sets.

    Attributes:
        name: the set's name.
        factors: its factors and their values; the class first.
        keys: the factors' names in the pickles. The binary files hold them in reverse order.
        forms: the forms it is published in; the first is the one that is downloaded.
        remote: the archive that is downloaded, as published.
    """

    name: str
    factors: Mapping[str, tuple[str, ...]]
    keys: tuple[str, ...]
    forms: tuple[Form, ...]
    remote: Remote

    def load(
        self, size: int | None = None, channels: int | None = None, root: Path | None = None, split: str | None = None
    ) -> ClassSet:
        """The pictures and their classes.

        The files, an archive or what is in it, for Python or binary, are looked for in ``root`` if it is given, else in
        the places of :func:`disentangle.data.files.places`; where they are in none of these the archive is downloaded
        to the cache. It is read as it is: a second or two.

        Args:
            size: 32 as published, or 64 (that, doubled bilinearly).
            channels: 3.
            root: the folder with the files.
            split: ``"train"`` (50,000 pictures; the default) or ``"test"`` (10,000).

        Raises:
            UserError: for another size, number of channels or split; where the files are not in ``root``, are damaged
                or hold something else, or cannot be downloaded.
        """
        size = check_choice("size", self.name, size, SIZES)
        channels = check_choice("channels", self.name, channels, (3,))
        split = check_split(split)
        found = self.find(root, split)
        if found is None:
            found = self._download(root)
        path, form = found
        contents = (_members if path.is_file() else _files)(path, form, split)
        read = [self._records(path, content) if form.binary else self._batch(path, content) for content in contents]
        pictures, labels = (torch.cat(parts) for parts in zip(*read, strict=True))
        for name, (factor, values) in enumerate(self.factors.items()):
            column = labels[:, name]
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < len(values):
                bad = int(column.min()) if int(column.min()) < 0 else int(column.max())
                raise self._other(path, f"a {factor} {bad}, expected 0 … {len(values) - 1}")
        shown = MemorySet(self.name, pictures if size == 32 else doubled(pictures), channels)
        return ClassSet(shown, self.factors, labels)

    def find(self, root: Path | None, split: str = "train") -> tuple[Path, Form] | None:
        """Where the files of a split are: a folder or an archive, and its form."""
        for base in files.places() if root is None else [root]:
            for form in self.forms:
                folders = [base / form.folder, base / self.name / form.folder]
                for folder in folders if root is None else [base, *folders]:
                    if all(os.path.isfile(folder / name) for name in form.parts[split]):
                        return folder, form
                for archive in (base / form.archive, base / self.name / form.archive):
                    if os.path.isfile(archive):
                        return archive, form
        return None

    def path(self, root: Path | None) -> Path | None:
        """Where the files are: a folder or an archive."""
        found = self.find(root)
        return None if found is None else found[0]

    def _download(self, root: Path | None) -> tuple[Path, Form]:
        form = self.forms[0]
        if root is not None:
            names = " or ".join(part for each in self.forms for part in (each.archive, f"{each.folder}/"))
            raise UserError(f"no files of {self.name} in {root}: it must hold {names}, from {URL}cifar.html")
        return download(self.remote, files.cache(self.name), self.name), form

    def _batch(self, path: Path, content: bytes) -> tuple[Tensor, Tensor]:
        """Pictures ``(n, 3, 32, 32)`` and labels ``(n, k)`` of a pickle."""
        try:
            value = unpickle.read(content)
        except ValueError as error:
            raise self._other(path, f"a file of which {error}") from None
        if not isinstance(value, dict):
            raise self._other(path, f"a {type(value).__name__} in place of a dictionary")
        entries = {key.decode("latin-1") if isinstance(key, bytes) else key: entry for key, entry in value.items()}
        missing = [key for key in ("data", *self.keys) if key not in entries]
        if missing:
            raise self._other(path, f"a dictionary without {missing[0]!r}")
        data, labels = entries["data"], [entries[key] for key in self.keys]
        pixels = data.array if isinstance(data, unpickle.Bytes) else None
        if pixels is None or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
            raise self._other(path, f"no array of bytes (n, {PIXELS})")
        for column in labels:
            if not isinstance(column, list) or len(column) != len(pixels) or not all(type(x) is int for x in column):
                raise self._other(path, f"no {len(pixels)} integers as labels")
        # copied, as the content is not to be written on, in rows whatever the order in the file
        pictures = torch.from_numpy(np.array(pixels, order="C")).view(-1, 3, 32, 32)
        return pictures, torch.tensor(labels, dtype=torch.int64).T

    def _records(self, path: Path, content: bytes) -> tuple[Tensor, Tensor]:
        """Pictures ``(n, 3, 32, 32)`` and labels ``(n, k)`` of a binary file: for each its labels, then its pixels."""
        length = len(self.keys) + PIXELS
        if not content or len(content) % length:
            raise self._other(path, f"{len(content)} bytes, expected a multiple of {length}")
        rows = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, length)
        return rows[:, -PIXELS:].reshape(-1, 3, 32, 32), rows[:, : len(self.keys)].flip(1).long()

    def _other(self, path: Path, got: str) -> UserError:
        return UserError(f"{path} is not {self.name} or damaged: it holds {got}: fetch it again from {URL}cifar.html")


def _files(folder: Path, form: Form, split: str) -> list[bytes]:
    """The files of a split in a folder."""
    contents = []
    for name in form.parts[split]:
        try:
            with (folder / name).open("rb") as file:
                contents.append(file.read(files.LARGEST))
        except OSError as error:
            raise UserError(f"cannot read {folder / name}: {error.strerror or error}") from None
    return contents


def _members(archive: Path, form: Form, split: str) -> list[bytes]:
    """The files of a split in an archive; nothing is unpacked to the disk."""
    mend = f"fetch it again from {URL}cifar.html"
    wanted = {f"{form.folder}/{name}": b"" for name in form.parts[split]}
    missing = set(wanted)
    try:
        with tarfile.open(archive, mode="r|gz") as tar:
            for member in tar:
                if member.name in missing and member.isfile() and member.size <= files.LARGEST:
                    content = tar.extractfile(member)
                    wanted[member.name] = b"" if content is None else content.read()
                    missing.remove(member.name)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is damaged ({error}): {mend}") from None
    except OSError as error:
        raise UserError(f"cannot read {archive}: {error.strerror or error}: {mend}") from None
    if missing:
        raise UserError(f"{archive} is damaged: it lacks {min(missing)}: {mend}")
    return list(wanted.values())


CIFAR10 = Cifar(
    name="cifar-10",
    factors={"class": CLASSES_10},
    keys=("labels",),
    forms=(
        Form(
            "cifar-10-batches-py",
            "cifar-10-python.tar.gz",
            {"train": tuple(f"data_batch_{batch}" for batch in range(1, 6)), "test": ("test_batch",)},
            binary=False,
        ),
        Form(
            "cifar-10-batches-bin",
            "cifar-10-binary.tar.gz",
            {"train": tuple(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test": ("test_batch.bin",)},
            binary=True,
        ),
    ),
    remote=Remote(f"{URL}cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a", 170_498_071),
)

CIFAR100 = Cifar(
    name="cifar-100",
    factors={"class": CLASSES_100, "superclass": SUPERCLASSES},
    keys=("fine_labels", "coarse_labels"),
    forms=(
        Form("cifar-100-python", "cifar-100-python.tar.gz", {"train": ("train",), "test": ("test",)}, binary=False),
        Form(
            "cifar-100-binary", "cifar-100-binary.tar.gz", {"train": ("train.bin",), "test": ("test.bin",)}, binary=True
        ),
    ),
    remote=Remote(f"{URL}cifar-100-python.tar.gz", "md5:eb9058c3a382ffc7106e4002c42a8d85", 169_001_437),
)


def _describe(cifar: Cifar) -> Description:
    return Description(
        name=cifar.name,
        summary="real colour pictures of things and animals, 32×32",
        count="50,000 + 10,000",
        sizes=", ".join(map(str, SIZES)),
        channels=(3,),
        factors=", ".join(f"{factor} {len(values)}" for factor, values in cifar.factors.items()),
        find=cifar.path,
        load=cifar.load,
        files=(cifar.remote,),
    )


DESCRIPTIONS = (_describe(CIFAR10), _describe(CIFAR100))
