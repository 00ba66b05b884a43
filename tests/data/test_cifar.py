"""CIFAR from small files in its exact formats, made here, and from the real ones where they are installed."""

import os
import pickle
import tarfile
import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from disentangle.data import SETS, ClassLabels, cifar, files, load
from disentangle.errors import UserError

FOLDERS = {"cifar-10": "cifar-10-batches-py", "cifar-100": "cifar-100-python"}
PUBLISHED = {"cifar-10": CIFAR10, "cifar-100": CIFAR100}
PARTS = {"cifar-10": [f"data_batch_{i}" for i in range(1, 6)], "cifar-100": ["train"]}


def everything(name: str, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    data = load(name, **options)
    indices = torch.arange(len(data))
    return data.images(indices), data.factors(indices)


def source(root: Path, name: str, split: str) -> dict[str, object]:
    """What torchvision would put together: Python's own reader, batch after batch."""
    parts = PARTS[name] if split == "train" else ["test_batch" if name == "cifar-10" else "test"]
    entries = [pickle.loads((root / FOLDERS[name] / part).read_bytes(), encoding="latin1") for part in parts]  # noqa: S301
    keys = ("labels",) if name == "cifar-10" else ("fine_labels", "coarse_labels")
    labels = [[label for entry in entries for label in entry[key]] for key in keys]
    return {"images": np.vstack([entry["data"] for entry in entries]).reshape(-1, 3, 32, 32), "labels": labels}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize(("split", "given"), [("train", None), ("train", "train"), ("test", "test")])
def test_pictures_and_labels_are_those_of_the_files(
    small_cifar: Path, name: str, split: str, given: str | None
) -> None:
    expected = source(small_cifar, name, split)
    pictures, factors = everything(name, root=small_cifar, split=given)
    assert np.array_equal(pictures.numpy(), expected["images"])
    assert factors.T.tolist() == expected["labels"]


def test_factors_are_named() -> None:
    assert len(set(cifar.CLASSES_10)) == 10
    assert len(set(cifar.CLASSES_100)) == 100
    assert len(set(cifar.SUPERCLASSES)) == 20
    for names in (cifar.CLASSES_10, cifar.CLASSES_100, cifar.SUPERCLASSES):
        assert sorted(names) == list(names)  # as published
    assert cifar.CLASSES_100[71:73] == ("sea", "seal")
    assert cifar.SUPERCLASSES[14] == "people"


def test_the_class_comes_before_the_superclass(small_cifar: Path) -> None:
    data = load("cifar-100", root=small_cifar)
    assert data.factor_names == ("class", "superclass")
    assert data.factor_sizes == (100, 20)
    assert ClassLabels(data).names == cifar.CLASSES_100
    assert ClassLabels(data, "superclass")(torch.tensor([57])).tolist() == [17]
    assert load("cifar-10", root=small_cifar).factor_values == (cifar.CLASSES_10,)


def test_size_64_is_doubled_bilinearly(small_cifar: Path) -> None:
    native, _ = everything("cifar-10", root=small_cifar)
    doubled, _ = everything("cifar-10", root=small_cifar, size=64)
    assert doubled.shape == (100, 3, 64, 64)
    # 9/16 of the nearest pixel, 3/16 of two, 1/16 of the fourth
    p = native.double()[..., 10:12, 20:22]
    expected = (9 * p[..., 1, 1] + 3 * p[..., 0, 1] + 3 * p[..., 1, 0] + p[..., 0, 0]) / 16
    assert (doubled[..., 22, 42] - expected).abs().max() <= 0.5
    with pytest.raises(UserError, match="channels 1 is not possible for the data set 'cifar-10': choose 3"):
        load("cifar-10", root=small_cifar, channels=1)


def pack(archive: Path, folder: Path, names: list[str] | None = None) -> None:
    """An archive as published: a folder with the files, and others."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name, recursive=False)
        for name in names or sorted(os.listdir(folder), reverse=True):
            tar.add(folder / name, f"{folder.name}/{name}")


@pytest.mark.parametrize("name", FOLDERS)
def test_the_archive_does_as_well_in_any_order(small_cifar: Path, tmp_path: Path, name: str) -> None:
    pack(tmp_path / f"{name}-python.tar.gz", small_cifar / FOLDERS[name])
    for split in ("train", "test"):
        expected = everything(name, root=small_cifar, split=split)
        for found, wanted in zip(everything(name, root=tmp_path, split=split), expected, strict=True):
            assert torch.equal(found, wanted)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}-python.tar.gz"]  # nothing is unpacked


@pytest.fixture
def binary(small_cifar: Path, tmp_path: Path) -> Path:
    """The same sets in the binary form: for each picture a byte a label, the coarse one first, then its pixels."""
    for name, folder, ending in (("cifar-10", "cifar-10-batches-bin", "_batch"), ("cifar-100", "cifar-100-binary", "")):
        (tmp_path / folder).mkdir()
        for split, parts in (("train", PARTS[name]), ("test", [f"test{ending}"])):
            whole = source(small_cifar, name, split)
            labels = np.array(whole["labels"][::-1], np.uint8).T
            rows = np.concatenate([labels, whole["images"].reshape(len(labels), -1)], axis=1)
            for part, piece in zip(parts, np.array_split(rows, len(parts)), strict=True):
                (tmp_path / folder / f"{part}.bin").write_bytes(piece.tobytes())
    return tmp_path


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("packed", [False, True])
def test_the_binary_form_holds_the_same(small_cifar: Path, binary: Path, name: str, packed: bool) -> None:
    root = binary
    if packed:
        root = binary / "packed"
        pack(
            root / f"{name}-binary.tar.gz",
            binary / ("cifar-10-batches-bin" if name == "cifar-10" else f"{name}-binary"),
        )
    for split in ("train", "test"):
        expected = everything(name, root=small_cifar, split=split)
        for found, wanted in zip(everything(name, root=root, split=split), expected, strict=True):
            assert torch.equal(found, wanted)


def test_a_picture_stored_by_column_is_the_same(small_cifar: Path, tmp_path: Path, write_batch: Callable) -> None:
    expected = source(small_cifar, "cifar-100", "train")
    fine, coarse = expected["labels"]
    write_batch(
        tmp_path / "train",
        expected["images"].reshape(-1, 3072),
        {"fine_labels": fine, "coarse_labels": coarse},
        by_column=True,
    )
    assert np.array_equal(everything("cifar-100", root=tmp_path)[0].numpy(), expected["images"])


@pytest.mark.parametrize("protocol", range(5))
def test_a_batch_written_again_by_python_3_is_read(small_cifar: Path, tmp_path: Path, protocol: int) -> None:
    content = pickle.loads((small_cifar / "cifar-100-python/test").read_bytes(), encoding="bytes")  # noqa: S301
    (tmp_path / "test").write_bytes(pickle.dumps(content, protocol))
    for found, wanted in zip(
        everything("cifar-100", root=tmp_path, split="test"),
        everything("cifar-100", root=small_cifar, split="test"),
        strict=True,
    ):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("place", ["", "cifar-10", "cifar-10-batches-py", "cifar-10/cifar-10-batches-py"])
def test_root_may_be_the_folder_or_one_above(small_cifar: Path, tmp_path: Path, place: str) -> None:
    target = tmp_path / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if place.endswith("py"):
        target.symlink_to(small_cifar / "cifar-10-batches-py")
    elif place:
        target.symlink_to(small_cifar)
    assert len(load("cifar-10", root=tmp_path if place else small_cifar / "cifar-10-batches-py")) == 100


def test_the_environment_says_where_to_look_first(small_cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISENTANGLE_DATA", str(small_cifar))
    assert len(load("cifar-10", split="test")) == 20
    assert cifar.CIFAR10.path(None) == small_cifar / "cifar-10-batches-py"


def test_a_stray_file_called_train_is_not_taken_for_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "places", lambda: [tmp_path])
    (tmp_path / "train").write_text("to do")
    assert cifar.CIFAR100.find(None) is None
    assert SETS["cifar-100"].where(None) == "not here: disentangle data get cifar-100"


@pytest.fixture
def copied(small_cifar: Path, tmp_path: Path) -> Path:
    for name in PARTS["cifar-10"]:
        (tmp_path / name).write_bytes((small_cifar / "cifar-10-batches-py" / name).read_bytes())
    return tmp_path


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_something_is_refused_and_not_run(copied: Path) -> None:
    (copied / "data_batch_3").write_bytes(pickle.dumps({"data": Harm(copied / "harm"), "labels": []}, 2))
    with pytest.raises(
        UserError, match=r"is not cifar-10 or damaged: .*asks for \w+\.mkdir.*fetch it again from https"
    ):
        load("cifar-10", root=copied)
    assert not (copied / "harm").exists()


PIXELS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1], "a list in place of a dictionary"),
        ({"data": PIXELS}, "a dictionary without 'labels'"),
        ({"labels": [0, 1]}, "a dictionary without 'data'"),
        ({"data": PIXELS[:, :-1], "labels": [0, 1]}, r"no array of bytes \(n, 3072\)"),
        ({"data": PIXELS[0], "labels": [0, 1]}, r"no array of bytes \(n, 3072\)"),
        ({"data": PIXELS.astype(float), "labels": [0, 1]}, "an array that is not of bytes"),
        ({"data": "text", "labels": [0, 1]}, r"no array of bytes \(n, 3072\)"),
        ({"data": PIXELS, "labels": [0]}, "no 2 integers as labels"),
        ({"data": PIXELS, "labels": [0, "1"]}, "no 2 integers as labels"),
        ({"data": PIXELS, "labels": [0, 10]}, "a class 10, expected 0 … 9"),
        ({"data": PIXELS, "labels": [0, -1]}, "a class -1, expected 0 … 9"),
    ],
)
def test_what_is_something_else_is_refused(copied: Path, value: object, said: str) -> None:
    (copied / "data_batch_2").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(UserError, match=said) as caught:
        load("cifar-10", root=copied)
    assert "\n" not in str(caught.value)


def test_files_cut_short_are_refused(copied: Path, small_cifar: Path, binary: Path) -> None:
    path = copied / "data_batch_1"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"is not cifar-10 or damaged: .*https"):
        load("cifar-10", root=copied)
    path = binary / "cifar-100-binary/train.bin"
    for content in (b"", path.read_bytes()[:-1]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"it holds {len(content)} bytes, expected a multiple of 3074: fetch"):
            load("cifar-100", root=binary)
    archive = binary / "archives/cifar-10-python.tar.gz"
    pack(archive, small_cifar / "cifar-10-batches-py")
    whole = archive.read_bytes()
    for content in (whole[: len(whole) // 2], b"<html>", b"", whole[:-2000] + bytes(2000)):
        archive.write_bytes(content)
        with pytest.raises(UserError, match=r"cifar-10-python.tar.gz.*: fetch it again from https://") as caught:
            load("cifar-10", root=archive.parent)
        assert "\n" not in str(caught.value)
    pack(archive, small_cifar / "cifar-10-batches-py", names=["data_batch_1", "test_batch"])
    assert len(load("cifar-10", root=archive.parent, split="test")) == 20
    with pytest.raises(UserError, match="it lacks cifar-10-batches-py/data_batch_2"):
        load("cifar-10", root=archive.parent)


def test_a_root_without_the_files_is_refused_and_nothing_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("must not download"))
    with pytest.raises(UserError, match=r"no files of cifar-100 in .*cifar-100-python.tar.gz or cifar-100-python/ or"):
        load("cifar-100", root=tmp_path)
    with pytest.raises(UserError, match="unknown split 'val': possible: test, train"):
        load("cifar-100", root=tmp_path, split="val")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files are in no usual place; the cache is this folder."""
    monkeypatch.setenv("DISENTANGLE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(files, "places", lambda: [tmp_path / "data"])
    return tmp_path / "data" / "cifar-10"


def test_without_a_network_one_line_says_what_to_do(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(UserError) as caught:
        load("cifar-10")
    assert "\n" not in str(caught.value)
    for part in ("cannot download cifar-10", "Name or service not known", CIFAR10.url, str(nowhere)):
        assert part in str(caught.value)


def test_names_and_checksums_are_those_of_torchvision() -> None:
    for ours, published in ((cifar.CIFAR10, CIFAR10), (cifar.CIFAR100, CIFAR100)):
        form = ours.forms[0]
        assert (form.folder, form.archive, ours.remote.checksum) == (
            published.base_folder,
            published.filename,
            f"md5:{published.tgz_md5}",
        )
        assert ours.remote.url == published.url
        assert list(form.parts["train"]) == [name for name, _ in published.train_list]
        assert list(form.parts["test"]) == [name for name, _ in published.test_list]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_real_set(name: str) -> None:
    ours = {"cifar-10": cifar.CIFAR10, "cifar-100": cifar.CIFAR100}[name]
    if ours.find(None) is None:
        pytest.skip(f"{name} is not installed")
    for split, count in (("train", 50_000), ("test", 10_000)):
        pictures, factors = everything(name, split=split)
        assert len(pictures) == count
        for column, size in zip(factors.T, (len(values) for values in ours.factors.values()), strict=True):
            assert column.bincount(minlength=size).tolist() == [count // size] * size
    # the mean of CIFAR-10's training part is widely published
    if name == "cifar-10":
        mean = everything(name)[0].double().mean((0, 2, 3)) / 255
        assert mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
