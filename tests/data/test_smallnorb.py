"""SmallNORB from small files in its exact format, made here."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from published import write_matrix

from disentangle.data import GridSet, LabelledSet, load, smallnorb
from disentangle.errors import UserError

TRAIN, TEST = smallnorb.PARTS["train"], smallnorb.PARTS["test"]


def content(path: Path, header: int) -> bytes:
    """What is in a file after its header."""
    return gzip.decompress(path.read_bytes())[header:]


def test_pictures_are_the_first_cameras(published: Path) -> None:
    folder = published / "smallnorb"
    data = load("smallnorb", root=folder, size=96, split="test")
    whole = np.frombuffer(content(folder / f"{TEST}-dat.mat.gz", 24), np.uint8).reshape(90, 2, 96, 96)
    found = data.images(torch.arange(90))
    assert np.array_equal(found[:, 0].numpy(), whole[:, 0])
    small = load("smallnorb", root=folder, size=32, split="test").images(torch.arange(90))[:, 0].numpy()
    assert np.abs(small - whole[:, 0].reshape(90, 32, 3, 32, 3).mean((2, 4))).max() <= 0.5
    # white noise at two thirds: antialiased it keeps its mean and loses some of its spread
    middle = load("smallnorb", root=folder, split="test").images(torch.arange(90)).float()
    assert middle.shape == (90, 1, 64, 64)
    assert float(middle.mean()) == pytest.approx(whole[:, 0].mean(), abs=1)
    assert 0.4 * whole.std() < float(middle.std()) < 0.8 * whole.std()


def test_factors_are_those_of_the_files(published: Path) -> None:
    folder = published / "smallnorb"
    data = load("smallnorb", root=folder, split="train")
    assert isinstance(data, LabelledSet)
    assert not isinstance(data, GridSet)
    category = np.frombuffer(content(folder / f"{TRAIN}-cat.mat.gz", 20), "<i4")
    info = np.frombuffer(content(folder / f"{TRAIN}-info.mat.gz", 20), "<i4").reshape(-1, 4)
    factors = data.factors(torch.arange(90)).numpy()
    assert np.array_equal(factors, np.stack([category, info[:, 1], info[:, 2] // 2, info[:, 3]], axis=1))
    assert data.factor_sizes == (5, 9, 18, 6)
    assert data.factor_values[2][:3] == ("0°", "20°", "40°")


def test_both_parts_are_one_set_unless_one_is_asked_for(published: Path) -> None:
    folder = published / "smallnorb"
    parts = [load("smallnorb", root=folder, split=split) for split in ("train", "test")]
    both = load("smallnorb", root=folder)
    assert len(both) == 180
    every = torch.arange(90)
    assert torch.equal(both.images(torch.arange(180)), torch.cat([part.images(every) for part in parts]))
    assert torch.equal(both.factors(torch.arange(180)), torch.cat([part.factors(every) for part in parts]))


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Path:
    """The files, unpacked."""
    for path in (published / "smallnorb").glob("*.mat.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return tmp_path


def test_unpacked_files_do_as_well(copied: Path, published: Path) -> None:
    indices = torch.tensor([3, 100])
    found, expected = (load("smallnorb", root=root) for root in (copied, published / "smallnorb"))
    assert torch.equal(found.images(indices), expected.images(indices))


def matrix(shape: tuple[int, ...], magic: int = 0x1E3D4C55) -> bytes:
    return struct.pack(f"<II{len(shape)}I", magic, len(shape), *shape) + bytes(int(np.prod(shape)))


@pytest.mark.parametrize(
    ("kind", "made", "said"),
    [
        ("dat", b"", "it is cut short"),
        ("dat", b"<html></html>", "no matrix of bytes or integers: it starts with 0x6d74683c"),
        ("dat", matrix((90, 2, 96, 95)), r"it holds an array \(90, 2, 96, 95\)"),
        ("dat", matrix((90, 2, 96, 96))[:-1], "it is cut short"),
        ("dat", matrix((90, 2, 96, 96)) + b"?", "it goes on after its end"),
        ("dat", struct.pack("<6I", 0x1E3D4C55, 4, 24_301, 2, 96, 96), r"it holds an array \(24301, 2, 96, 96\)"),
        ("cat", matrix((89, 1, 1)), "it holds an array"),
        ("info", matrix((90, 4, 1), 0x1E3D4C51), "no matrix of bytes"),
    ],
)
def test_other_files_are_refused(copied: Path, kind: str, made: bytes, said: str) -> None:
    (copied / f"{TRAIN}-{kind}.mat").write_bytes(made)
    with pytest.raises(UserError, match=rf"training-{kind}\.mat is damaged or another file \({said}.*get smallnorb"):
        load("smallnorb", root=copied)


@pytest.mark.parametrize(("column", "value", "said"), [(1, 9, "elevation 9"), (2, 3, "azimuth 3"), (3, -1, "lighting")])
def test_other_labels_are_refused(copied: Path, column: int, value: int, said: str) -> None:
    info = np.zeros((90, 4), "<i4")
    info[7, column] = value
    write_matrix(copied / f"{TEST}-info.mat", info)
    with pytest.raises(UserError, match=rf"testing-info.mat is damaged or another file \(a[n]? {said}"):
        load("smallnorb", root=copied)


def test_missing_and_cut_files_are_one_line(copied: Path, published: Path) -> None:
    packed = published / "smallnorb" / f"{TEST}-cat.mat.gz"
    (copied / packed.name).write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"testing-cat.mat.gz is damaged"):
        load("smallnorb", root=copied)
    (copied / packed.name).unlink()
    (copied / packed.stem).unlink()
    with pytest.raises(UserError, match=r"no files of smallnorb in .*: `disentangle data get smallnorb --root"):
        load("smallnorb", root=copied, split="train")
