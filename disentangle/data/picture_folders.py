"""Published sets of pictures without labels, each a folder that is fetched by hand and then found by name."""

from dataclasses import dataclass
from pathlib import Path

from disentangle.data import files
from disentangle.data.base import Description, refuse
from disentangle.data.folder import (
    DEFAULT_SIZE,
    FRAMES,
    LARGEST_SIZE,
    MIDDLE,
    FolderSet,
    bleed_of,
    check_options,
    load_pictures,
    pictures_under,
)
from disentangle.data.memory import MemorySet
from disentangle.errors import UserError


@dataclass(frozen=True)
class PictureFolder:
    """One of the sets.

    Attributes:
        name: its name.
        summary: one line about it.
        count: how many pictures, in words.
        folders: names of folders that it is found in.
        by_hand: where to get it, in words.
    """

    name: str
    summary: str
    count: str
    folders: tuple[str, ...]
    by_hand: str

    def load(
        self,
        size: int | None = None,
        channels: int | None = None,
        root: Path | None = None,
        split: str | None = None,
        frame: str = MIDDLE,
    ) -> MemorySet | FolderSet:
        """All pictures in the folder, cut and decoded as those of :func:`disentangle.data.folder.load_folder`.

        Args:
            size: height and width, 64 if ``None``.
            channels: 3, or 1 for grey.
            root: the folder, if it is in none of :func:`disentangle.data.files.places`.
            split: must be ``None``.
            frame: ``"middle"`` or ``"whole"``.

        Raises:
            UserError: for another size, number of channels or frame; where the folder is missing or has no pictures, or
                one cannot be read.
        """
        refuse(self.name, split=split)
        size, channels = check_options(self.name, size, channels)
        folder = self.find(root)
        if folder is None:
            raise files.missing(self.name, f"the folder {self.folders[0]}", root, self.by_hand)
        paths = pictures_under(folder)
        if not paths:
            raise UserError(f"no pictures of {self.name} in {folder}: {self.by_hand}")
        return load_pictures(self.name, paths, size, channels, bleed_of(self.name, frame))

    def find(self, root: Path | None) -> Path | None:
        """The folder: ``root``, whatever is in it, or one of the known names in a usual place."""
        names = [f"{outer}{name}" for name in self.folders for outer in ("", f"{self.name}/")]
        return root if root is not None else files.find(Path.is_dir, names, None)

    def describe(self) -> Description:
        """What ``disentangle data`` shows."""
        return Description(
            name=self.name,
            summary=self.summary,
            count=self.count,
            sizes=f"1 … {LARGEST_SIZE} ({DEFAULT_SIZE})",
            channels=(3, 1),
            factors="",
            find=self.find,
            load=self.load,
            frames=tuple(FRAMES),
            by_hand=self.by_hand,
        )


LSUN_CHURCH = PictureFolder(
    name="lsun-church",
    summary="photographs of churches",
    count="126,227",
    folders=("church_outdoor_train", "lsun-church"),
    by_hand=(
        "get http://dl.yf.io/lsun/scenes/church_outdoor_train_lmdb.zip (2.4 GB), unpack it, and export its pictures to "
        "a folder church_outdoor_train with data.py of https://github.com/fyu/lsun"
    ),
)
FFHQ = PictureFolder(
    name="ffhq",
    summary="photographs of faces, 128×128 or 1024×1024",
    count="70,000",
    folders=("thumbnails128x128", "images1024x1024", "ffhq"),
    by_hand="get the folder thumbnails128x128 or images1024x1024 as https://github.com/NVlabs/ffhq-dataset says",
)
ANIME_FACE = PictureFolder(
    name="anime-face",
    summary="drawn faces",
    count="63,632",
    folders=("anime-face", "animefacedataset"),
    by_hand="get https://www.kaggle.com/datasets/splcher/animefacedataset and unpack it to a folder anime-face",
)
DESCRIPTIONS = tuple(one.describe() for one in (LSUN_CHURCH, FFHQ, ANIME_FACE))
