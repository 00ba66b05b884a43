"""Folders with one folder a class: both layouts, and what is wrong with others."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from disentangle.data import folder, load, split_indices
from disentangle.errors import UserError


def fill(root: Path, counts: dict[str, int], first: int = 0) -> None:
    """Grey pictures, of which the n-th has the value ``first + n``."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("L", (12, 10), first + i).save(root / name / f"{i:02}.png")
        first += count


def greys(data) -> list[int]:
    return data.images(torch.arange(len(data)))[:, 0, 0, 0].tolist()


def labels(data) -> list[int]:
    return data.factors(torch.arange(len(data)))[:, 0].tolist()


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    fill(tmp_path / "train", {"n02": 3, "n01": 2})
    fill(tmp_path / "val", {"n01": 1, "n02": 1}, first=100)
    return tmp_path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    fill(tmp_path, {"cat": 12, "dog": 18, "hen": 6})
    return tmp_path


def test_a_class_of_one_picture_cannot_be_split(plain: Path) -> None:
    fill(plain, {"owl": 1}, first=200)
    assert len(load("class-folder", root=plain)) == 37
    with pytest.raises(UserError, match=r"the class 'owl' in .* has one picture, which cannot be both trained on and"):
        load("class-folder", root=plain, split="test")


@pytest.mark.parametrize("second", ["val", "test"])
def test_the_layout_of_imagenet(imagenet: Path, second: str) -> None:
    (imagenet / "val").rename(imagenet / second)
    fill(imagenet, {".hidden": 1, "meta": 1})  # what else lies there does not matter
    for split in (None, "train"):
        data = load("class-folder", root=imagenet, split=split, size=8)
        assert (data.name, data.size, data.channels) == ("class-folder", 8, 3)
        assert (data.factor_names, data.factor_values) == (("class",), (("n01", "n02"),))
        assert greys(data) == [3, 4, 0, 1, 2]  # the classes sorted, as are the pictures of each
        assert labels(data) == [0, 0, 1, 1, 1]
    test = load("class-folder", root=imagenet, split="test", size=8)
    assert greys(test) == [100, 101]
    assert labels(test) == [0, 1]


def test_classes_alone_are_all_there_or_split_always_the_same(plain: Path) -> None:
    whole = load("class-folder", root=plain, size=4)
    assert greys(whole) == list(range(36))
    assert labels(whole) == [0] * 12 + [1] * 18 + [2] * 6
    parts = [load("class-folder", root=plain, size=4, split=split) for split in ("train", "test")]
    assert [labels(part).count(label) for part in parts for label in range(3)] == [10, 15, 5, 2, 3, 1]
    for part, expected in zip(parts, split_indices(torch.tensor(labels(whole))), strict=True):
        assert greys(part) == expected.tolist()
        assert labels(part) == [labels(whole)[index] for index in expected]
        assert part.factor_values == (("cat", "dog", "hen"),)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    fill(tmp_path, {"car": 1, "train": 1})
    assert load("class-folder", root=tmp_path, size=4).factor_values == (("car", "train"),)


def test_pictures_of_a_class_may_lie_deeper_and_in_linked_folders(plain: Path, tmp_path: Path) -> None:
    (plain / "cat" / "deep").mkdir()
    shutil.move(plain / "cat" / "11.png", plain / "cat" / "deep" / "11.png")
    (plain / "cat" / "notes.txt").write_text("no picture")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-linked"
    shutil.move(plain / "dog", elsewhere)
    (plain / "dog").symlink_to(elsewhere)
    assert labels(load("class-folder", root=plain, size=4)) == [0] * 12 + [1] * 18 + [2] * 6


def test_pictures_are_decoded_when_asked_for_and_look_the_same(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = load("class-folder", root=plain, size=4, split="train")
    monkeypatch.setattr(folder, "IN_MEMORY", 0)
    lazy = load("class-folder", root=plain, size=4, split="train")
    indices = torch.tensor([29, 0, 7, 7])
    expected = small.images(indices)
    assert torch.equal(lazy.images(indices), expected)
    assert torch.equal(lazy.factors(indices), small.factors(indices))
    (plain / "cat" / "00.png").write_bytes(b"damaged")
    (plain / "cat" / "01.png").write_bytes(b"damaged")
    assert torch.equal(lazy.images(indices[:1]), expected[:1])
    with pytest.raises(UserError, match=r"cannot decode the picture .*0\d.png"):
        lazy.images(torch.tensor([0]))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_damaged_picture_is_found_when_loading(plain: Path, lazy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if lazy:
        monkeypatch.setattr(folder, "IN_MEMORY", 0)
    (plain / "dog" / "03.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"cannot decode the picture .*dog/03.png .*replace or remove it"):
        load("class-folder", root=plain)


def test_of_very_many_pictures_not_even_the_headers_are_read(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "IN_MEMORY", 0)
    monkeypatch.setattr(folder, "MOST_HEADERS", 35)
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("must not open"))
    assert len(load("class-folder", root=plain)) == 36


@pytest.mark.parametrize(
    ("folders", "got"), [([], "no folder"), (["cat"], "one folder, 'cat'"), (["train/cat"], "one folder, 'train'")]
)
def test_fewer_than_two_classes_are_refused(tmp_path: Path, folders: list[str], got: str) -> None:
    fill(tmp_path, dict.fromkeys([".hidden", *folders], 1))
    Image.new("L", (8, 8)).save(tmp_path / "loose.png")
    with pytest.raises(
        UserError, match=rf"two classes or more, but .* has {got} in it: expected ROOT/CLASS/\*\.jpg, or"
    ):
        load("class-folder", root=tmp_path)


def test_a_part_with_one_class_is_refused_whichever_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 1, "b": 1})
    fill(tmp_path / "val", {"a": 1})
    for split in ("train", "test"):
        with pytest.raises(UserError, match=r"but .*/val has one folder, 'a' in it"):
            load("class-folder", root=tmp_path, split=split)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_class_that_is_only_in_one_part_is_named(imagenet: Path, part: str, split: str) -> None:
    fill(imagenet / part, {"n03": 1, "n04": 1, "n05": 1, "n06": 1})
    said = rf"must have the same classes, but only .*/{part} has n03, n04, n05 and 1 more: add"
    with pytest.raises(UserError, match=said):
        load("class-folder", root=imagenet, split=split)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_class_without_a_picture_is_named(imagenet: Path, part: str, split: str) -> None:
    for path in (imagenet / part / "n01").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(UserError, match=rf"the class 'n01' has no pictures: .*/{part}/n01 must hold files"):
        load("class-folder", root=imagenet, split=split)


def test_what_else_is_wrong_is_said_in_a_line(plain: Path) -> None:
    for options, said in (
        ({"root": None}, "needs to know which: give its path as root"),
        ({"root": plain / "missing"}, "there is no folder .*missing"),
        ({"root": plain / "cat/00.png"}, "there is no folder .*00.png"),
        ({"split": "val"}, "unknown split 'val': possible: test, train"),
        ({"size": 0}, "size 0 is not possible for the data set 'class-folder': choose 1 to 4096"),
        ({"channels": 2}, "channels 2 is not possible for the data set 'class-folder': choose 1 or 3"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            load("class-folder", **{"root": plain, **options})
        assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_read_is_named(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(UserError, match=f"cannot read the folder {plain}: Permission denied"):
        load("class-folder", root=plain)


def test_the_same_files_give_the_same_set_in_whatever_order_they_are_listed(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = greys(load("class-folder", root=plain, size=4, split="test"))
    listed = os.walk

    def backwards(*args: object, **options: object):
        for here, folders, files in listed(*args, **options):
            files.sort(reverse=True)
            yield here, folders, files

    monkeypatch.setattr(os, "walk", backwards)
    assert greys(load("class-folder", root=plain, size=4, split="test")) == expected
