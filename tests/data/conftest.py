"""What the tests of the data sets share."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from disentangle.data import fashion_mnist

IdxWriter = Callable[[Path, np.ndarray], Path]


@pytest.fixture(scope="session")
def fashion_mnist_root(require: Callable[[object, str], None]) -> Path:
    """The folder with the real Fashion-MNIST files."""
    folder = fashion_mnist.find(None, list(fashion_mnist.SHA256))
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
