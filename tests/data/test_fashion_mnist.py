"""Fashion-MNIST from files in its exact format, made here, and from the real ones where they are installed."""

import gzip
import hashlib
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST, FashionMNIST

from disentangle.data import fashion_mnist, files, load, mnist
from disentangle.data.idx import IdxSet
from disentangle.errors import UserError

ALL = torch.arange(30)


def pixels(folder: Path, name: str) -> np.ndarray:
    """What is in a file, read without the code under test."""
    content = gzip.decompress((folder / f"{name}.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])


def test_pictures_and_labels_are_those_of_the_files(small_fashion: Path) -> None:
    data = load("fashion-mnist", root=small_fashion)
    assert (len(data), data.size, data.channels) == (30, 28, 1)
    assert data.images(ALL).numpy().tobytes() == pixels(small_fashion, "train-images-idx3-ubyte").tobytes()
    assert data.factors(ALL)[:, 0].tolist() == [*range(10)] * 3
    assert data.factor_names == ("class",)
    assert data.factor_values == (fashion_mnist.CLASSES,)
    assert not hasattr(data, "index")


def test_mnist_is_read_as_well_and_the_two_are_not_taken_for_each_other(
    small_fashion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load("mnist", root=small_fashion)
    assert torch.equal(data.images(ALL), load("fashion-mnist", root=small_fashion).images(ALL))
    assert (data.name, data.factor_names) == ("mnist", ("digit",))
    # the files have the same names: those in a common folder may be anyone's
    monkeypatch.setattr(files, "places", lambda: [small_fashion, tmp_path])
    assert mnist.SET.find(None) is None
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST/raw").symlink_to(small_fashion)
    assert mnist.SET.find(None) == tmp_path / "MNIST/raw"
    assert fashion_mnist.SET.find(None) is None


@pytest.mark.parametrize(("ours", "published"), [(mnist.SET, MNIST), (fashion_mnist.SET, FashionMNIST)])
def test_names_and_checksums_are_those_of_torchvision(ours: IdxSet, published: type[MNIST]) -> None:
    assert {(remote.name, remote.checksum) for remote in ours.remotes} == {
        (name, f"md5:{md5}") for name, md5 in published.resources
    }


def test_the_test_split_is_the_other_part(small_fashion: Path) -> None:
    data = load("fashion-mnist", root=small_fashion, split="test")
    assert len(data) == 20
    assert data.images(ALL[:20]).numpy().tobytes() == pixels(small_fashion, "t10k-images-idx3-ubyte").tobytes()
    with pytest.raises(UserError, match="unknown split 'tests': did you mean test"):
        load("fashion-mnist", root=small_fashion, split="tests")


def test_size_32_has_a_black_border_and_64_is_that_doubled(small_fashion: Path) -> None:
    native, padded, doubled = (load("fashion-mnist", root=small_fashion, size=s).images(ALL) for s in (28, 32, 64))
    assert torch.equal(padded[..., 2:30, 2:30], native)
    assert int(padded.sum()) == int(native.sum())
    assert doubled.shape == (30, 1, 64, 64)
    # bilinear doubling: 9/16 of the nearest pixel, 3/16 of two, 1/16 of the fourth
    p = padded.double()[..., 10:13, 10:13]
    expected = (9 * p[..., 1, 1] + 3 * p[..., 0, 1] + 3 * p[..., 1, 0] + p[..., 0, 0]) / 16
    assert (doubled[..., 22, 22] - expected).abs().max() <= 0.5


def test_unpacked_files_do_as_well(small_fashion: Path, tmp_path: Path) -> None:
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for packed in small_fashion.glob("train*.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    assert torch.equal(
        load("fashion-mnist", root=tmp_path).images(ALL), load("fashion-mnist", root=small_fashion).images(ALL)
    )


def test_the_environment_says_where_to_look_first(
    small_fashion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fashion-mnist").symlink_to(small_fashion)
    monkeypatch.setenv("DISENTANGLE_DATA", str(tmp_path))
    assert files.places()[0] == tmp_path
    assert len(load("fashion-mnist")) == 30
    assert fashion_mnist.DESCRIPTION.where(None) == str(tmp_path / "fashion-mnist")


def test_a_root_without_the_files_is_refused_and_nothing_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("must not download"))
    with pytest.raises(UserError, match=r"no Fashion-MNIST files in .*train-images-idx3-ubyte.gz.*https://"):
        load("fashion-mnist", root=tmp_path)


@pytest.fixture
def copied(small_fashion: Path, tmp_path: Path) -> Path:
    for packed in small_fashion.glob("*.gz"):
        (tmp_path / packed.name).write_bytes(packed.read_bytes())
    return tmp_path


def test_a_file_cut_short_is_named(copied: Path) -> None:
    path = copied / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz is damaged .*fetch it again from https://"):
        load("fashion-mnist", root=copied)
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
    with pytest.raises(UserError, match="is damaged: it holds 23535 bytes, expected 23536"):
        load("fashion-mnist", root=copied)
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(UserError, match="is damaged"):
        load("fashion-mnist", root=copied)


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\0\0\x0d\x01\0\0\0\0", b"<html>"])
def test_what_is_no_idx_file_is_refused(content: bytes, copied: Path) -> None:
    (copied / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte\.gz is no IDX file of bytes"):
        load("fashion-mnist", root=copied)


def test_files_that_do_not_belong_together_are_refused(copied: Path, write_idx) -> None:
    write_idx(copied / "train-labels-idx1-ubyte.gz", np.zeros(29))
    with pytest.raises(UserError, match=r"got \(30, 28, 28\) and \(29,\)"):
        load("fashion-mnist", root=copied)
    write_idx(copied / "train-labels-idx1-ubyte.gz", np.full(30, 10))
    with pytest.raises(UserError, match="has a label 10, expected 0 … 9"):
        load("fashion-mnist", root=copied)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files are in no usual place; the cache is this folder."""
    monkeypatch.setenv("DISENTANGLE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(files, "places", lambda: [tmp_path / "data"])
    return tmp_path / "data" / "fashion-mnist"


def test_without_a_network_one_line_says_what_to_do(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(UserError) as caught:
        load("fashion-mnist")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("Name or service not known", fashion_mnist.URL, "train-images-idx3-ubyte.gz", str(nowhere)):
        assert part in message


# SHA-256 of what is inside the published .gz files: Debian's are packed in another way.
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def test_the_real_files_are_the_published_ones(fashion_mnist_root: Path) -> None:
    for name, expected in SHA256.items():
        packed = fashion_mnist_root / f"{name}.gz"
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else packed.with_suffix("").read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected


def test_the_real_set(fashion_mnist_root: Path) -> None:
    for split, count in (("train", 60_000), ("test", 10_000)):
        data = load("fashion-mnist", root=fashion_mnist_root, split=split)
        assert len(data) == count
        assert data.factors(torch.arange(count))[:, 0].bincount().tolist() == [count // 10] * 10
        assert fashion_mnist.CLASSES[int(data.factors(torch.tensor([0])))] == "ankle boot"
    mean = load("fashion-mnist", root=fashion_mnist_root).images(torch.arange(60_000)).float().mean() / 255
    assert float(mean) == pytest.approx(0.2860, abs=1e-4)
