"""Folders of pictures: what counts as one, how it is cut, and what damaged ones lead to."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from disentangle.data import SETS, folder, load
from disentangle.errors import UserError
from disentangle.training.recipe import DataConfig


def flat(path: Path, colour: object, mode: str = "RGB", size: tuple[int, int] = (20, 20), **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def only(root: Path, **options: object) -> torch.Tensor:
    data = load("folder", root=root, **options)
    assert len(data) == 1
    return data.images(torch.tensor([0]))[0]


def noise(path: Path, size: tuple[int, int] = (200, 200)) -> Path:
    Image.effect_noise(size, 90).convert("RGB").save(path)
    return path


def test_pictures_of_all_formats_and_folders_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["a/1.png", "a/2.JPG", "a/b/3.webp", "a/b/4.bmp", "c.gif", "d.tiff", "e.ppm"]
    for i, name in enumerate(reversed(names)):
        flat(tmp_path / name, (30 * (len(names) - 1 - i),) * 3)
    (tmp_path / "labels.csv").write_text("no picture")
    flat(tmp_path / ".hidden.png", "red")
    flat(tmp_path / ".thumbnails" / "a.png", "red")
    data = load("folder", root=tmp_path, size=8)
    assert (data.name, data.size, data.channels, len(data)) == ("folder", 8, 3, 7)
    greys = data.images(torch.arange(7)).float().mean((1, 2, 3))
    assert greys.tolist() == pytest.approx([30 * i for i in range(7)], abs=2)


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    flat(tmp_path / "elsewhere" / "1.png", "red")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert len(load("folder", root=root)) == 1


@pytest.mark.parametrize("wide", [True, False])
def test_the_middle_is_cut_out(tmp_path: Path, wide: bool) -> None:
    picture = np.zeros((40, 120, 3), np.uint8)
    picture[:, :40, 0] = picture[:, 40:80, 1] = picture[:, 80:, 2] = 255
    Image.fromarray(picture if wide else picture.transpose(1, 0, 2)).save(tmp_path / "1.png")
    cut = only(tmp_path, size=16)
    assert cut[1].float().mean() > 250
    assert cut[0].float().mean() < 5 > cut[2].float().mean()


def test_shrinking_averages(tmp_path: Path) -> None:
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "1.png")
    assert (only(tmp_path, size=32).float() - 127.5).abs().max() < 3


def test_orientation_is_that_of_the_exif_entry(tmp_path: Path) -> None:
    picture = Image.new("L", (60, 60), 0)
    picture.paste(255, (0, 0, 60, 30))  # white above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    picture.save(tmp_path / "1.jpg", exif=exif, quality=95)
    shown = only(tmp_path, size=10, channels=1)[0].float()
    assert shown[:, 6:].min() > 240
    assert shown[:, :4].max() < 15


def test_a_large_jpeg_may_be_decoded_in_part_but_looks_the_same(tmp_path: Path) -> None:
    noise = Image.effect_noise((1024, 1024), 120)
    noise.save(tmp_path / "1.jpg", quality=98)
    whole = torch.from_numpy(np.array(noise.resize((100, 100), Image.Resampling.LANCZOS))).float()
    shown = only(tmp_path, size=100, channels=1)[0].float()
    assert whole.std() > 7
    assert (shown - whole).abs().mean() < 0.3 * whole.std()  # white noise is the worst case


@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_becomes_white(tmp_path: Path, channels: int) -> None:
    flat(tmp_path / "1.png", (0, 0, 0, 0), "RGBA")
    assert only(tmp_path, channels=channels).min() == 255


@pytest.mark.parametrize(
    ("mode", "colour", "grey"), [("I;16", 0x8000, 128), ("1", 1, 255), ("CMYK", (0, 0, 0, 255), 0)]
)
def test_other_modes_keep_their_grey(tmp_path: Path, mode: str, colour: object, grey: int) -> None:
    flat(tmp_path / "1.tiff", colour, mode)
    for channels in (1, 3):
        shown = only(tmp_path, channels=channels).float()
        assert shown.shape[0] == channels
        assert float(shown.mean()) == pytest.approx(grey, abs=1)


RAMP = (0, 64 << 8, 129 << 8, 255 << 8)


@pytest.mark.parametrize("name", ["ramp.png", "ramp.tiff", "ramp.pgm"])
def test_sixteen_bits_become_eight(tmp_path: Path, name: str) -> None:
    ramp = np.repeat(np.array(RAMP, np.uint16)[None], 4, axis=0)
    if name.endswith("pgm"):
        (tmp_path / name).write_bytes(b"P5 4 4 65535\n" + ramp.astype(">u2").tobytes())
    else:
        Image.fromarray(ramp).save(tmp_path / name)
    for channels in (1, 3):
        assert only(tmp_path, channels=channels, size=4)[:, 0].tolist() == [[0, 64, 129, 255]] * channels


def test_ten_bits_become_eight(tmp_path: Path) -> None:
    ramp = np.repeat(np.array([[0, 256, 512, 1023]], ">u2"), 4, axis=0)
    (tmp_path / "1.pgm").write_bytes(b"P5 4 4 1023\n" + ramp.tobytes())
    assert only(tmp_path, channels=1, size=4)[0, 0].tolist() == pytest.approx([0, 64, 128, 255], abs=1)


@pytest.mark.parametrize(("kind", "words"), [(np.int32, "32-bit integers"), (np.float32, "floating-point numbers")])
def test_numbers_without_a_white_are_refused(tmp_path: Path, kind: type, words: str) -> None:
    Image.fromarray(np.ones((4, 4), kind)).save(tmp_path / "1.tiff")
    with pytest.raises(UserError, match=rf"1.tiff holds {words}, of which no file tells what is white"):
        only(tmp_path)


def test_grey_is_the_luminance(tmp_path: Path) -> None:
    flat(tmp_path / "1.png", (255, 0, 0))
    assert float(only(tmp_path, channels=1).float().mean()) == pytest.approx(0.299 * 255, abs=1)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "cut.webp", "cut.bmp"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_picture_cut_short_is_named(
    tmp_path: Path, name: str, in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        noise(tmp_path / f"{i}.png")
    path = noise(tmp_path / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if not in_memory:
        monkeypatch.setattr(folder, "IN_MEMORY", 0)
    with pytest.raises(UserError, match=rf"cannot decode the picture .*{name} .*replace or remove it"):
        load("folder", root=tmp_path).images(torch.arange(4))


@pytest.mark.parametrize("content", [b"", b"this is no picture", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("memory", [0, 1 << 28])
def test_what_is_no_picture_is_found_when_loading(
    tmp_path: Path, content: bytes, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "IN_MEMORY", memory)
    (tmp_path / "text.png").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot decode the picture .*text.png"):
        load("folder", root=tmp_path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(12_000, 12_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, width: int, height: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(UserError, match=r"bomb.png has .* pixels, at most 100,000,000 are read"):
        load("folder", root=tmp_path)


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat(tmp_path / "1.png", "red")

    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", denied)
    with pytest.raises(UserError, match=r"cannot read .*1.png: Permission denied"):
        load("folder", root=tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(UserError, match=r"no pictures in .*expected files such as .png"):
        load("folder", root=tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        load("folder", root=tmp_path / "missing")
    with pytest.raises(UserError, match="is not a folder"):
        load("folder", root=tmp_path / "notes.txt")
    with pytest.raises(UserError, match="needs to know which: give its path as root"):
        load("folder")
    with pytest.raises(UserError, match="name the folder of the split as root"):
        load("folder", root=tmp_path, split="test")


@pytest.mark.parametrize("size", [0, 5000])
def test_a_size_out_of_range_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(UserError, match=f"size {size} is not possible .*choose 1 to 4096"):
        load("folder", root=tmp_path, size=size)


def test_a_large_folder_is_decoded_when_asked_and_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(9):
        noise(tmp_path / f"{i}.png", (40 + i, 50))
    indices = torch.tensor([8, 0, 3, 3])
    expected = load("folder", root=tmp_path, size=16).images(indices)
    monkeypatch.setattr(folder, "IN_MEMORY", 9 * 3 * 16 * 16 - 1)
    lazy = load("folder", root=tmp_path, size=16)
    assert isinstance(lazy, folder.FolderSet)
    assert len(lazy) == 9
    assert torch.equal(lazy.images(indices), expected)
    with pytest.raises(IndexError, match="index 9 is out of range"):
        lazy.images(torch.tensor([9]))
    os.remove(tmp_path / "3.png")
    with pytest.raises(UserError, match=r"cannot read .*3.png: No such file"):
        lazy.images(indices)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_the_whole_picture_is_squeezed(
    tmp_path: Path, wide: bool, in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_memory:
        monkeypatch.setattr(folder, "IN_MEMORY", 0)
    picture = np.zeros((40, 120, 3), np.uint8)
    picture[:, :40, 0] = picture[:, 40:80, 1] = picture[:, 80:, 2] = 255
    Image.fromarray(picture if wide else picture.transpose(1, 0, 2)).save(tmp_path / "1.png")
    shown = only(tmp_path, size=24, frame="whole").float()
    for third, colour in ((0, 0), (8, 1), (16, 2)):  # a third of the side each, but for the edges' ringing
        part = shown[:, :, third + 2 : third + 6] if wide else shown[:, third + 2 : third + 6]
        assert part[colour].min() > 225
        assert part.sum(0).max() < 285
    assert torch.equal(only(tmp_path, size=24, frame="middle"), only(tmp_path, size=24))
    resized = Image.open(tmp_path / "1.png").resize((24, 24), Image.Resampling.LANCZOS)
    assert np.array_equal(shown.permute(1, 2, 0).numpy(), np.array(resized))


def test_frames_that_a_set_does_not_have_are_refused(tmp_path: Path) -> None:
    flat(tmp_path / "1.png", "red")
    with pytest.raises(
        UserError, match="frame 'wide' is not possible for the data set 'folder': choose middle or whol"
    ):
        load("folder", root=tmp_path, frame="wide")
    with pytest.raises(UserError, match="the data set 'sprites' takes no frame, got 'whole': its pictures are shown w"):
        load("sprites", frame="whole")
    assert DataConfig("sprites", size=32).open().size == 32
    assert {name for name, one in SETS.items() if one.frames} == {
        "celeba", "lsun-church", "ffhq", "anime-face", "folder"
    }  # fmt: skip
