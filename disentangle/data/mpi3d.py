"""MPI3D, as published: 1,036,800 pictures of 64×64 of an object on a robot's arm; rendered, or photographs.

M. W. Gondal et al., "On the Transfer of Inductive Bias from Simulation to the Real World: a New Disentanglement
Dataset", NeurIPS 2019, arXiv 1906.03292, https://github.com/rr-learning/disentanglement_dataset: an ``.npz`` file with
``images``, uint8, the last factor running fastest. The first release, of 460,800 pictures, has four colours and shapes.
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
GRIDS = (
    FactorGrid(
        NAMES,
        (
            ("white", "green", "red", "blue", "brown", "olive"),
            ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"),
            *_SHARED,
        ),
    ),
    FactorGrid(NAMES, (("green", "red", "blue", "brown"), ("cone", "cube", "hexagonal prism", "sphere"), *_SHARED)),
)


@dataclass(frozen=True)
class MPI3D:
    """One of the three sets: the same grid of factors, drawn simply, drawn realistically, or photographed.

    Attributes:
        variant: ``toy``, ``realistic`` or ``real``.
        summary: one line about it.
        md5: of the file. The authors give none; these are those of the library disent.
    """

    variant: str
    summary: str
    md5: str

    @property
    def name(self) -> str:
        """The set's name."""
        return f"mpi3d-{self.variant}"

    @property
    def file(self) -> Remote:
        """The published file."""
        url = f"https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/mpi3d_{self.variant}.npz"
        return Remote(url, f"md5:{self.md5}")

    def load(
        self, size: int | None = None, channels: int | None = None, root: Path | None = None, split: str | None = None
    ) -> ArrayGrid:
        """The set (:class:`disentangle.data.base.GridSet`).

        The pictures are unpacked beside the file the first time (12.7 GB; 3.2 GB at size 32).

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
            raise files.missing(self.name, self.file.name, root)
        path = folder / self.file.name
        mend = f"`disentangle data get {self.name}` fetches it again, once it is removed"
        pictures = Array(path, "images", mend)
        grid = next((grid for grid in GRIDS if len(grid) == pictures.shape[0]), None)
        if grid is None or pictures.shape[1:] != (64, 64, 3) or pictures.dtype != np.uint8:
            raise files.damaged(path, f"images has the shape {pictures.shape} and type {pictures.dtype}", mend)

        def pieces() -> Iterator[Bytes]:
            return (shrunk(piece.view(np.uint8), size) for piece in pictures.rows())

        array = unpacked(path, f"{size}x{size}", (len(grid), size, size, 3), pieces)
        return ArrayGrid(self.name, grid, lambda indices: array[indices], size, channels)

    def find(self, root: Path | None) -> Path | None:
        """The folder with the file."""
        folders = (".", self.name, self.name.replace("-", "_"), "mpi3d")
        return files.find(lambda folder: (folder / self.file.name).is_file(), folders, root)

    def describe(self) -> Description:
        """What ``disentangle data`` shows."""
        return Description(
            name=self.name,
            summary=self.summary,
            count="1,036,800",
            sizes="32, 64",
            channels=(3,),
            factors="object colour 6, object shape 6, object size 2, camera height 3, background 3, axes 40 and 40",
            find=self.find,
            load=self.load,
            files=(self.file,),
        )


TOY = MPI3D("toy", "MPI3D: an object on a robot's arm, simply rendered", "55889cb7c7dfc655d6e0277beee88868")
REALISTIC = MPI3D("realistic", "MPI3D, realistically rendered", "59a6225b88b635365f70c91b3e52f70f")
REAL = MPI3D("real", "MPI3D, photographs", "0f33f609918fb5c97996692f91129802")
DESCRIPTIONS = tuple(variant.describe() for variant in (TOY, REALISTIC, REAL))
