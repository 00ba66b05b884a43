"""MPI3D, as published: pictures of 64×64 of an object on a robot's arm; rendered, or photographs.

M. W. Gondal et al., "On the Transfer of Inductive Bias from Simulation to the Real World: a New Disentanglement
Dataset", NeurIPS 2019, arXiv 1906.03292, https://github.com/rr-learning/disentanglement_dataset: an ``.npz`` file with
``images``, uint8, the last factor running fastest. Three sets have 1,036,800 pictures of simple shapes, in their first
release 460,800, of four colours and shapes; a fourth one has 460,800 photographs of cups, a ball and a croissant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from disentangle.data import files
from disentangle.data.base import Description, FactorGrid, check_choice, refuse_split
from disentangle.data.download import Remote
from disentangle.data.grid_set import ArrayGrid
from disentangle.data.npz import Array
from disentangle.data.unpacked import Bytes, shrunk, unpacked

NAMES = (
    "object colour",
    "object shape",
    "object size",
    "camera height",
    "background",
    "horizontal axis",
    "vertical axis",
)
_STEPS = tuple(str(step) for step in range(40))
_SHARED = (
    ("small", "large"),
    ("top", "centre", "bottom"),
    ("purple", "sea green", "salmon"),
    _STEPS,
    _STEPS,
)
_SIMPLE = (
    FactorGrid(
        NAMES,
        (
            ("white", "green", "red", "blue", "brown", "olive"),
            ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"),
            *_SHARED,
        ),
    ),
    # the first release
    FactorGrid(NAMES, (("green", "red", "blue", "brown"), ("cone", "cube", "hexagonal prism", "sphere"), *_SHARED)),
)
_COMPLEX = FactorGrid(
    NAMES, (("yellow", "green", "olive", "red"), ("coffee cup", "tennis ball", "croissant", "beer cup"), *_SHARED)
)
GRIDS = {"toy": _SIMPLE, "realistic": _SIMPLE, "real": _SIMPLE, "complex": (_COMPLEX,)}
"""The factors of each set; of the first three, of either release."""


@dataclass(frozen=True)
class MPI3D:
    """One of the sets: the same simple shapes drawn simply, drawn realistically, or photographed; or other objects.

    Attributes:
        variant: ``toy``, ``realistic``, ``real`` or ``complex``.
        summary: one line about it.
        file: name of the published file.
        remote: where that is; ``None`` if it cannot be downloaded …
        by_hand: … and where to get it then, in words.
    """

    variant: str
    summary: str
    file: str
    remote: Remote | None = None
    by_hand: str = ""

    @property
    def name(self) -> str:
        """The set's name."""
        return f"mpi3d-{self.variant}"

    def load(
        self, size: int | None = None, channels: int | None = None, root: Path | None = None, split: str | None = None
    ) -> ArrayGrid:
        """The set (:class:`disentangle.data.base.GridSet`).

        The pictures are unpacked beside the file the first time (12.7 GB, or 5.7 GB of ``complex``; at size 32, a
        quarter).

        Args:
            size: 64, or 32: each pixel the mean of four.
            channels: 3.
            root: the folder with the file, if it is in none of :func:`disentangle.data.files.places`.
            split: must be ``None``.

        Raises:
            UserError: for another size or number of channels; where the file is missing, damaged or another one, or
                there is no room to unpack it.
        """
        refuse_split(self.name, split)
        size = check_choice("size", self.name, size, (64, 32))
        channels = check_choice("channels", self.name, channels, (3,))
        folder = self.find(root)
        if folder is None:
            raise files.missing(self.name, self.file, root, self.by_hand)
        path = folder / self.file
        mend = self.by_hand or f"`disentangle data get {self.name}` fetches it again, once it is removed"
        pictures = Array(path, "images", mend)
        grid = next((grid for grid in GRIDS[self.variant] if len(grid) == pictures.shape[0]), None)
        if grid is None or pictures.shape[1:] != (64, 64, 3) or pictures.dtype != np.uint8:
            raise files.damaged(path, f"images has the shape {pictures.shape} and type {pictures.dtype}", mend)

        def pieces() -> Iterator[Bytes]:
            return (shrunk(piece.view(np.uint8), size) for piece in pictures.rows())

        array = unpacked(path, f"{size}x{size}", (len(grid), size, size, 3), pieces)
        return ArrayGrid(self.name, grid, lambda indices: array[indices], size, channels)

    def find(self, root: Path | None) -> Path | None:
        """The folder with the file."""
        folders = (".", self.name, self.name.replace("-", "_"), "mpi3d")
        return files.find(lambda folder: (folder / self.file).is_file(), folders, root)

    def describe(self) -> Description:
        """What ``disentangle data`` shows."""
        grid = GRIDS[self.variant][0]
        colours, shapes = grid.sizes[:2]
        return Description(
            name=self.name,
            summary=self.summary,
            count=f"{len(grid):,}",
            sizes="32, 64",
            channels=(3,),
            factors=(
                f"object colour {colours}, object shape {shapes}, object size 2, camera height 3, background 3, "
                "axes 40 and 40"
            ),
            find=self.find,
            load=self.load,
            files=() if self.remote is None else (self.remote,),
            by_hand=self.by_hand,
        )


def _published(variant: str, summary: str, md5: str) -> MPI3D:
    """A set that can be downloaded. The authors give no checksums; these are those of the library disent."""
    url = f"https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/mpi3d_{variant}.npz"
    remote = Remote(url, f"md5:{md5}")
    return MPI3D(variant, summary, remote.name, remote)


TOY = _published("toy", "MPI3D: an object on a robot's arm, simply rendered", "55889cb7c7dfc655d6e0277beee88868")
REALISTIC = _published("realistic", "MPI3D, realistically rendered", "59a6225b88b635365f70c91b3e52f70f")
REAL = _published("real", "MPI3D, photographs", "0f33f609918fb5c97996692f91129802")
# Google Drive asks before it sends a file of this size, so that a plain download gets its question.
_DRIVE = "https://drive.google.com/file/d/1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm/view"
COMPLEX = MPI3D(
    "complex",
    "MPI3D, photographs of everyday objects",
    "real3d_complicated_shapes_ordered.npz",
    by_hand=f"get real3d_complicated_shapes_ordered.npz (mpi3d_real_complex) from {_DRIVE}",
)
DESCRIPTIONS = tuple(variant.describe() for variant in (TOY, REALISTIC, REAL, COMPLEX))
