"""CelebA and the folders that are found by name, from small files like the published ones, made here."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from disentangle.data import SETS, ClassLabels, LabelledSet, celeba, folder, load
from disentangle.errors import UserError
from disentangle.training.recipe import DataConfig

EVERY = torch.arange(16)


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Path:
    """The lists, and the pictures unpacked."""
    source = published / "celeba"
    for name in (celeba.ATTRIBUTES, celeba.PARTITION):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    with zipfile.ZipFile(source / "img_align_celeba.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


def test_the_archive_and_the_folder_hold_the_same(
    published: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load("celeba", root=copied)
    assert len(expected) == 16
    for memory in (1 << 28, 0):  # decoded at once, or when asked for
        monkeypatch.setattr(folder, "IN_MEMORY", memory)
        data = load("celeba", root=published / "celeba")
        assert torch.equal(data.images(EVERY.flip(0)), expected.images(EVERY).flip(0))
    assert torch.equal(data.factors(EVERY), expected.factors(EVERY))


def test_the_middle_148_pixels_are_shown(copied: Path) -> None:
    picture = np.zeros((218, 178, 3), np.uint8)
    picture[35:183, 15:163, 0] = 255  # red, where the face is
    for i in range(2):
        Image.fromarray(picture).save(copied / f"img_align_celeba/{i + 1:06}.jpg", quality=100, subsampling=0)
    shown = load("celeba", root=copied, size=148).images(torch.tensor([0]))[0].int()
    assert (shown[0, 2:-2, 2:-2] - 254).abs().max() <= 8
    assert shown[0, [0, 0, -1, -1], [0, -1, 0, -1]].min() > 150  # the corners
    assert load("celeba", root=copied, size=32).images(torch.tensor([0])).shape == (1, 3, 32, 32)


def test_frames_show_what_was_published(copied: Path) -> None:
    """OroJaR's program shows the rows 24 to 193 and the columns 4 to 173 of 218 and 178."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (109, 89, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    Image.fromarray(picture).save(copied / "img_align_celeba/000001.jpg", quality=95)
    with Image.open(copied / "img_align_celeba/000001.jpg") as stored:
        pixels = np.array(stored)
    lanczos = Image.Resampling.LANCZOS
    for frame, part in (("wide", pixels[24:-24, 4:-4]), ("middle", pixels[35:-35, 15:-15]), ("whole", pixels)):
        config = DataConfig("celeba", size=96, root=copied, frame=frame)
        shown = config.open().images(torch.tensor([0]))[0].permute(1, 2, 0).int().numpy()
        expected = np.array(Image.fromarray(part).resize((96, 96), lanczos)).astype(int)
        # a box that is cut out while resizing sees its neighbours at the edges
        assert np.abs(shown - expected)[4:-4, 4:-4].max() <= 1, frame
    exact = load("celeba", root=copied, size=170, frame="wide").images(torch.tensor([0]))[0]
    assert np.abs(exact.permute(1, 2, 0).int().numpy() - pixels[24:-24, 4:-4])[1:-1, 1:-1].max() <= 1
    with pytest.raises(UserError, match="frame 'square' is not possible for the data set 'celeba': choose middle or"):
        load("celeba", root=copied, frame="square")


def test_attributes_are_those_of_the_list(copied: Path) -> None:
    data = load("celeba", root=copied)
    assert isinstance(data, LabelledSet)
    assert len(data.factor_names) == 40
    assert (data.factor_names[0], data.factor_names[-1]) == ("5_o_Clock_Shadow", "Young")
    assert set(data.factor_values) == {("no", "yes")}
    lines = (copied / celeba.ATTRIBUTES).read_text().splitlines()[2:18]
    expected = [[{"-1": 0, "1": 1}[word] for word in line.split()[1:]] for line in lines]
    assert data.factors(EVERY).tolist() == expected
    assert ClassLabels(data, "Young").names == ("no", "yes")


def test_parts_are_the_published_ones(copied: Path) -> None:
    test = load("celeba", root=copied, split="test")
    assert len(test) == 4
    whole = load("celeba", root=copied, split="train")
    (copied / celeba.PARTITION).unlink()
    everything = load("celeba", root=copied)
    assert len(everything) == 24
    assert torch.equal(everything.images(torch.arange(20, 24)), test.images(torch.arange(4)))
    assert torch.equal(everything.factors(torch.arange(20, 24)), test.factors(torch.arange(4)))
    assert torch.equal(everything.images(EVERY), whole.images(EVERY))
    with pytest.raises(UserError, match=r"has no list_eval_partition.txt, which says what the part 'test' is"):
        load("celeba", root=copied, split="test")


def test_without_the_list_of_attributes_there_are_no_factors(copied: Path) -> None:
    (copied / celeba.ATTRIBUTES).unlink()
    data = load("celeba", root=copied, channels=1)
    assert not isinstance(data, LabelledSet)
    assert data.images(EVERY).shape == (16, 1, 64, 64)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (celeba.ATTRIBUTES, " 1", " 2", "a value '2', expected -1 or 1"),
        (celeba.ATTRIBUTES, "000003.jpg", "000099.jpg", r"it lacks 000003.jpg"),
        (celeba.ATTRIBUTES, "000003.jpg", "000003.jpg 1", "its lines have other lengths than its heading"),
        (celeba.ATTRIBUTES, "Young", "Attribute_1", "its lines have other lengths"),
        (celeba.PARTITION, "000003.jpg 0", "000003.jpg", "it is no such list"),
        (celeba.PARTITION, "000003.jpg", "ü.jpg", "ordinal not in range"),
        (celeba.PARTITION, "000003.jpg", "000099.jpg", r"not complete: 000099.jpg is"),
    ],
)
def test_damaged_lists_are_refused(copied: Path, name: str, old: str, new: str, said: str) -> None:
    text = (copied / name).read_text()
    assert old in text
    (copied / name).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=rf"{said}.*https://mmlab") as caught:
        load("celeba", root=copied)
    assert "\n" not in str(caught.value)


def test_damaged_archives_are_refused(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (published / "celeba/img_align_celeba.zip").read_bytes()
    path = tmp_path / "img_align_celeba.zip"
    for content in (b"<html>", whole[:-100]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"img_align_celeba.zip is damaged or another file \(.*https://mmlab"):
            load("celeba", root=tmp_path)
    path.write_bytes(whole[:3_000] + bytes(2_000) + whole[5_000:])
    with pytest.raises(UserError, match=r"cannot decode the picture .*img_align_celeba.zip/img_align_celeba/00000"):
        load("celeba", root=tmp_path)
    path.write_bytes(whole)
    monkeypatch.setattr(celeba, "LARGEST_PICTURE", 100)
    with pytest.raises(UserError, match=r"000001.jpg \(it unpacks to [0-9,]+ bytes\)"):
        load("celeba", root=tmp_path)


def test_sets_that_are_fetched_by_hand_say_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("disentangle.data.files.places", lambda: [tmp_path])
    for name in ("celeba", "lsun-church", "ffhq", "anime-face"):
        assert SETS[name].by_hand
        with pytest.raises(UserError, match=rf"'{name}' is not here: get .*http.*; put .* name its folder as root"):
            load(name)


@pytest.mark.parametrize(
    ("name", "place"),
    [("ffhq", "ffhq/thumbnails128x128"), ("ffhq", "ffhq"), ("lsun-church", "church_outdoor_train"), ("anime-face", "")],
)
def test_folders_are_found_by_their_names(
    tmp_path: Path, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disentangle.data.files.places", lambda: [tmp_path])
    inside = tmp_path / (place or name) / "1"
    inside.mkdir(parents=True)
    with pytest.raises(UserError, match=f"no pictures of {name} in "):
        load(name)
    Image.new("RGB", (20, 20), "red").save(inside / "1.png")
    data = load(name, size=8)
    assert (data.name, len(data), data.size) == (name, 1, 8)
    assert SETS[name].where(None) == str(inside.parent)
    with pytest.raises(UserError, match=f"'{name}' takes no split"):
        load(name, split="train")
