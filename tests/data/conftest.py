"""What the tests of the data sets share."""

import gzip
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from published import write_cars3d, write_celeba, write_dsprites, write_shapes3d, write_smallnorb

from disentangle.data import FactorGrid, cars3d, dsprites, fashion_mnist, mpi3d

IdxWriter = Callable[[Path, np.ndarray], Path]


@pytest.fixture(scope="session")
def fashion_mnist_root(require: Callable[[object, str], None]) -> Path:
    """The folder with the real Fashion-MNIST files."""
    folder = fashion_mnist.SET.find(None)
    require(folder, "Fashion-MNIST is not installed (Debian: apt install dataset-fashion-mnist)")
    return folder


@pytest.fixture(scope="session")
def write_idx() -> IdxWriter:
    """Writes an array of bytes in IDX format, packed where the name ends in ``.gz``."""

    def write(path: Path, array: np.ndarray) -> Path:
        header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
        content = header + array.astype(np.uint8).tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write


@pytest.fixture(scope="session")
def small_fashion(tmp_path_factory: pytest.TempPathFactory, write_idx: IdxWriter) -> Path:
    """A folder with files like Fashion-MNIST's: 30 pictures to train with, 20 to test; every pixel is random."""
    folder = tmp_path_factory.mktemp("fashion")
    random = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 20)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", random.integers(0, 256, (count, 28, 28)))
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    return folder


@pytest.fixture(scope="session")
def write_batch() -> Callable[..., None]:
    """Writes a batch of CIFAR."""
    return _write_batch


@pytest.fixture(scope="session")
def small_cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files like CIFAR's, as unpacked from the archives for Python; every pixel is random.

    ``cifar-10``: 5 × 20 pictures to train with, 20 to test; ``cifar-100``: 200 and 100.
    """
    folder = tmp_path_factory.mktemp("cifar")
    random = np.random.default_rng(0)
    ten, hundred = folder / "cifar-10-batches-py", folder / "cifar-100-python"
    for name in (*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch"):
        labels = {"batch_label": name, "labels": [i % 10 for i in range(20)]}
        _write_batch(ten / name, random.integers(0, 256, (20, 3072), np.uint8), labels)
    for name, count in (("train", 200), ("test", 100)):
        labels = {"fine_labels": [i % 100 for i in range(count)], "coarse_labels": [i % 20 for i in range(count)]}
        _write_batch(hundred / name, random.integers(0, 256, (count, 3072), np.uint8), labels)
    return folder


def _write_batch(path: Path, pixels: np.ndarray, entries: dict[str, object], by_column: bool = False) -> None:
    """A pickle as Python 2 wrote the published ones: protocol 2, text and pixels as strings of bytes."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    def entry(value: object) -> bytes:
        return text(value.encode()) if isinstance(value, str) else b"](" + b"".join(map(number, value)) + b"e"

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03U\x01bq\x04\x87q\x05Rq\x06"
        + b"(K\x01"
        + number(len(pixels))
        + number(pixels.shape[1])
        + b"\x86q\x07cnumpy\ndtype\nq\x08U\x02u1q\x09K\x00K\x01\x87q\x0aRq\x0b(K\x03U\x01|q\x0cNNNJ\xff\xff\xff\xff"
        + b"J\xff\xff\xff\xffK\x00tq\x0db"
        + (b"\x88" if by_column else b"\x89")
        + text(pixels.tobytes("F" if by_column else "C"))
        + b"tq\x0eb"
    )
    items = b"".join(text(key.encode()) + entry(value) for key, value in entries.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x80\x02}q\x00(" + items + text(b"data") + array + b"u.")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, small_fashion: Path) -> Iterator[Path]:
    """A folder with small files in the exact formats of the published sets, one folder a set, in random pixels.

    The grids of ``mpi3d`` and ``cars3d``, which are not written in their files, are made as small as these.
    """
    root = tmp_path_factory.mktemp("published")
    random = np.random.default_rng(0)
    write_dsprites(root / "dsprites" / dsprites.FILE.name, (1, 3, 2, 4, 3, 5), random)
    write_shapes3d(root / "shapes3d" / "3dshapes.h5", (2, 2, 2, 3, 4, 5), random)
    (root / "mpi3d-toy").mkdir()
    grid = FactorGrid(mpi3d.NAMES, tuple(tuple(map(str, range(size))) for size in (3, 2, 2, 2, 3, 2, 2)))
    np.savez(root / "mpi3d-toy/mpi3d_toy.npz", images=random.integers(0, 256, (len(grid), 64, 64, 3), np.uint8))
    (root / "mpi3d-complex").mkdir()
    another = FactorGrid(mpi3d.NAMES, tuple(tuple(map(str, range(size))) for size in (2, 2, 2, 3, 3, 2, 2)))
    np.savez(
        root / "mpi3d-complex/real3d_complicated_shapes_ordered.npz",
        images=random.integers(0, 256, (len(another), 64, 64, 3), np.uint8),
    )
    write_cars3d(root / "cars3d" / cars3d.FILE.name, 2, random)
    write_smallnorb(root / "smallnorb", 90, random)
    write_celeba(root / "celeba", 24, random)
    (root / "mnist").symlink_to(small_fashion)
    (root / "ffhq" / "thumbnails128x128" / "00000").mkdir(parents=True)
    for i in range(25):
        Image.effect_noise((8, 8), 80).resize((128, 128)).save(root / f"ffhq/thumbnails128x128/00000/{i:05}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(mpi3d.GRIDS, "toy", (*mpi3d.GRIDS["toy"], grid))
        patch.setitem(mpi3d.GRIDS, "complex", (*mpi3d.GRIDS["complex"], another))
        patch.setattr(cars3d, "CARS", 2)
        yield root
