"""Small files in the exact formats of published data sets."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from disentangle.data import smallnorb


def write_dsprites(path: Path, sizes: tuple[int, ...], random: np.random.Generator) -> None:
    """A file as dSprites': bits, classes, values, and a pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    ranges = ((1, 1), (1, 3), (0.5, 1), (0, 2 * np.pi), (0, 1), (0, 1))
    steps = [np.linspace(low, high, size) for (low, high), size in zip(ranges, sizes, strict=True)]
    np.savez_compressed(
        path,
        metadata=np.array({"latents_sizes": np.array(sizes)}, dtype=object),
        imgs=random.integers(0, 2, (len(classes), 64, 64), np.uint8),
        latents_classes=classes,
        latents_values=np.stack([step[column] for step, column in zip(steps, classes.T, strict=True)], axis=1),
    )


def write_shapes3d(path: Path, sizes: tuple[int, ...], random: np.random.Generator, chunks: object = True) -> None:
    """A file as 3D Shapes', packed in chunks as h5py chooses them, or other ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = (1, 1, 1, 1.25, 3, 30)
    steps = [np.linspace(-30 if end == 30 else 0.75 if end == 1.25 else 0, end, n) for end, n in zip(ends, sizes)]
    labels = np.stack([grid.ravel() for grid in np.meshgrid(*steps, indexing="ij")], axis=1)
    with h5py.File(path, "w") as file:
        images = random.integers(0, 256, (len(labels), 64, 64, 3), np.uint8)
        file.create_dataset("images", data=images, chunks=chunks, compression="gzip", compression_opts=1)
        file.create_dataset("labels", data=labels)


def write_cars3d(path: Path, count: int, random: np.random.Generator) -> None:
    """An archive as Cars3D's: a MATLAB file a car, a list of them, and other things; in no order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for i in reversed(range(count)):
            small = random.integers(0, 256, (8, 8, 3, 24, 4), np.uint8)
            content = io.BytesIO()
            pictures = {"im": small.repeat(16, 0).repeat(16, 1), "mask": np.zeros((128, 128, 24, 4), np.uint8)}
            savemat(content, pictures, do_compression=True)
            add(tar, f"data/cars/car_{i + 1:03}_mesh.mat", content.getvalue())
        add(tar, "data/cars/list.txt", b"car_001_mesh\n")
        add(tar, "data/shapes48.mat", b"another")


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Put a file in an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_smallnorb(folder: Path, count: int, random: np.random.Generator) -> None:
    """Files as SmallNORB's, of so many pictures a part."""
    numbers = np.arange(count)
    for part in smallnorb.PARTS.values():
        write_matrix(folder / f"{part}-dat.mat.gz", random.integers(0, 256, (count, 2, 96, 96), np.uint8))
        write_matrix(folder / f"{part}-cat.mat.gz", (numbers % 5).astype("<i4"))
        info = np.stack([numbers % 10, numbers % 9, numbers % 18 * 2, numbers // 2 % 6], axis=1)
        write_matrix(folder / f"{part}-info.mat.gz", info.astype("<i4"))


def write_matrix(path: Path, array: np.ndarray) -> None:
    """A file in SmallNORB's format, packed where the name ends in ``.gz``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lengths = (*array.shape, *(1,) * (3 - array.ndim))
    magic = {1: 0x1E3D4C55, 4: 0x1E3D4C54}[array.itemsize]
    content = struct.pack(f"<II{len(lengths)}I", magic, array.ndim, *lengths) + array.tobytes()
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


def write_celeba(folder: Path, count: int, random: np.random.Generator) -> None:
    """An archive and lists as CelebA's: two thirds to train with, a sixth each to validate and test."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i + 1:06}.jpg" for i in range(count)]
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for name in names:
            content = io.BytesIO()
            pixels = random.integers(0, 256, (27, 22, 3), np.uint8)
            Image.fromarray(pixels).resize((178, 218), Image.Resampling.BICUBIC).save(content, "JPEG", quality=95)
            archive.writestr(f"img_align_celeba/{name}", content.getvalue())
    values = random.choice([-1, 1], (count, 40))
    values[0], values[1] = -1, 1
    rows = [f"{name} " + "".join(f"{value:3d}" for value in row) for name, row in zip(names, values, strict=True)]
    heading = " ".join(["5_o_Clock_Shadow", *(f"Attribute_{i}" for i in range(38)), "Young"])
    (folder / "list_attr_celeba.txt").write_text(f"{count}\r\n{heading} \r\n" + "".join(f"{row}\r\n" for row in rows))
    parts = [0 if i < count * 2 // 3 else 1 if i < count * 5 // 6 else 2 for i in range(count)]
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(names, parts, strict=True)))
