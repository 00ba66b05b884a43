"""``disentangle data``."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from disentangle.apps import cli
from disentangle.apps.data import TILE, preview
from disentangle.data import SETS, load


def bad_input(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command says before it exits with code 2."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["data", *arguments])
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_without_a_name_all_sets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["data"])
    lines = capsys.readouterr().out.splitlines()
    for name, description in SETS.items():
        line = next(line for line in lines if line.startswith(name))
        assert description.count in line
    assert any("shape 3, scale 6, orientation 40, x 32, y 32" in line for line in lines)
    assert any(line.startswith("mpi3d-real ") and "disentangle data get mpi3d-real" in line for line in lines)


def test_a_set_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["data", "sprites", "--size", "32"])
    said = capsys.readouterr().out
    for part in ("737,280", "32 × 32, grey", "3: square, ellipse, heart", "40: 0°, 9°, 18°, …, 351°"):
        assert part in said


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["data", "--help"])
    assert caught.value.code == 0
    assert "disentangle data sprites --out preview.png" in capsys.readouterr().out


def test_the_preview_is_written_and_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "preview.png"
    cli.main(["data", "sprites", "--out", str(out), "--size", "32", "--columns", "5"])
    with Image.open(out) as picture:
        assert picture.height == 5 * (96 + 2) + 2
    before = out.read_bytes()
    capsys.readouterr()
    assert "replace it with --force" in bad_input(capsys, "digits", "--out", str(out))
    assert out.read_bytes() == before
    cli.main(["data", "digits", "--out", str(out), "--force"])
    assert out.read_bytes() != before
    assert os.listdir(out.parent) == ["preview.png"]


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean sprites" in bad_input(capsys, "sprits")
    assert "choose 32 or 64" in bad_input(capsys, "scenes", "--size", "48")
    assert "no pictures in" in bad_input(capsys, "folder", "--root", str(tmp_path))
    assert "name the data set" in bad_input(capsys, "--size", "64")
    assert "must end in .png" in bad_input(capsys, "sprites", "--out", str(tmp_path / "preview.jpg"))
    assert "between 1 and 100" in bad_input(capsys, "sprites", "--columns", "0")
    assert list(tmp_path.iterdir()) == []


def tiles(page: Image.Image, rows: int, columns: int) -> np.ndarray:
    """Tiles of a preview, ``(rows, columns, TILE, TILE, 3)``; captions lie at the left and above."""
    pixels = np.asarray(page)
    step = TILE + 2
    left, top = pixels.shape[1] - columns * step, pixels.shape[0] - rows * step
    return np.stack(
        [
            [
                pixels[top + r * step : top + r * step + TILE, left + c * step : left + c * step + TILE]
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


def test_a_row_of_the_preview_changes_one_factor() -> None:
    data = load("scenes", size=32)
    page = preview(data, columns=10, seed=3)
    shown = tiles(page, 6, 10)
    for row, size in zip(shown, data.factor_sizes, strict=True):
        count = min(10, size)
        assert len({tile.tobytes() for tile in row[:count]}) == count
        assert (row[count:] == 255).all()
    # all rows start from one picture, which stands in each of them where all values are shown
    common = set.intersection(*({tile.tobytes() for tile in row} for row in shown[:5]))
    assert len(common - {np.full_like(shown[0, 0], 255).tobytes()}) == 1
    assert np.array_equal(np.asarray(preview(data, columns=10, seed=3)), np.asarray(page))
    assert not np.array_equal(np.asarray(preview(data, columns=10, seed=4)), np.asarray(page))


def test_classes_stand_in_columns() -> None:
    data = load("digits")
    shown = tiles(preview(data), 6, 10)[:, :, ::3, ::3, 0]
    pictures = data.images(torch.arange(len(data)))[:, 0].numpy()
    labels = data.factors(torch.arange(len(data)))[:, 0]
    known = {picture.tobytes(): int(label) for picture, label in zip(pictures, labels, strict=True)}
    for row in shown:
        assert [known[np.ascontiguousarray(tile).tobytes()] for tile in row] == list(range(10))


def test_other_sets_show_every_picture_once(tmp_path: Path) -> None:
    for i in range(7):
        Image.new("RGB", (40, 40), (30 * i, 0, 0)).save(tmp_path / f"{i}.png")
    shown = tiles(preview(load("folder", root=tmp_path, size=32), columns=4), 2, 4)[..., 48, 48, 0].flatten()
    assert sorted(shown.tolist()) == [0, 30, 60, 90, 120, 150, 180, 255]


def test_sets_of_classes_are_described_and_previewed(
    small_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["data", "cifar-100", "--root", str(small_cifar), "--split", "test"])
    said = capsys.readouterr().out
    for part in ("32 × 32, RGB", "100: apple, aquarium_fish, baby, …, worm", "20: aquatic_mammals, fish"):
        assert part in said
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.effect_noise((30, 40), 90).save(tmp_path / "pets" / name / "1.png")
    out = tmp_path / "preview.png"
    for arguments, columns in (
        (["class-folder", "--root", str(tmp_path / "pets"), "--size", "96"], 2),
        (["cifar-10", "--root", str(small_cifar), "--columns", "7"], 7),
    ):
        cli.main(["data", *arguments, "--out", str(out), "--force"])
        with Image.open(out) as picture:
            assert picture.width == columns * (96 + 2) + 2


def test_class_folders_that_do_not_fit_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cat").mkdir()
    assert "two classes or more" in bad_input(capsys, "class-folder", "--root", str(tmp_path))
    assert "give its path as root" in bad_input(capsys, "class-folder")
    assert "no files of cifar-10 in" in bad_input(capsys, "cifar-10", "--root", str(tmp_path))
