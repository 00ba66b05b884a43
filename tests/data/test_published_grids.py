"""dSprites, 3D Shapes, MPI3D and Cars3D, from small files in their exact formats, made here."""

import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from published import add, write_dsprites, write_shapes3d
from scipy.io import loadmat, savemat

from disentangle.data import SETS, FactorGrid, cars3d, dsprites, load, mpi3d, shapes3d, unpacked
from disentangle.data.unpacked import shrunk
from disentangle.errors import UserError

RANDOM = np.random.default_rng(1)


def everything(name: str, **options: object) -> np.ndarray:
    """All pictures, channels last."""
    data = load(name, **options)
    return data.images(torch.arange(len(data))).permute(0, 2, 3, 1).numpy()


def halved(pictures: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels in float64, not rounded."""
    return pictures.reshape(len(pictures), 32, 2, 32, 2, -1).mean((2, 4))


def source(root: Path, name: str) -> np.ndarray:
    """The pictures in a file, read by other code."""
    folder = root / name
    if name == "dsprites":
        return np.load(folder / dsprites.FILE.name)["imgs"][..., None] * 255
    if name.startswith("mpi3d"):
        (file,) = folder.glob("*.npz")
        return np.load(file)["images"]
    if name == "shapes3d":
        with h5py.File(folder / "3dshapes.h5") as file:
            return np.array(file["images"])
    with tarfile.open(folder / cars3d.FILE.name) as tar:
        cars = [loadmat(tar.extractfile(f"data/cars/car_{i:03}_mesh.mat"))["im"] for i in (1, 2)]
    # (128, 128, 3, azimuths, elevations) each, to elevation, azimuth, car
    whole = np.stack(cars).transpose(5, 4, 0, 1, 2, 3).reshape(-1, 128, 128, 3)
    return whole.reshape(-1, 64, 2, 64, 2, 3).mean((2, 4)).round().astype(np.uint8)


NAMES = ("dsprites", "shapes3d", "mpi3d-toy", "cars3d")
BY_HAND = ("mpi3d-complex",)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("name", NAMES + BY_HAND)
def test_pictures_are_those_of_the_file(
    published: Path, tmp_path: Path, name: str, in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = source(published, name)
    for path in (published / name).iterdir():
        (tmp_path / path.name).symlink_to(path)
    if not in_memory:
        monkeypatch.setattr(unpacked, "IN_MEMORY", 0)
    for _ in range(2):  # the second time from what the first unpacked
        found = everything(name, root=tmp_path)
        assert np.abs(found.astype(int) - expected).max() <= (1 if name == "cars3d" else 0)
        small = everything(name, root=tmp_path, size=32)
        assert np.abs(small - halved(found)).max() <= 0.75
    unpacked_files = [path for path in os.listdir(tmp_path) if path.endswith(".unpacked")]
    assert len(unpacked_files) == (0 if in_memory else 1 if name == "dsprites" else 2)


def test_factors_are_those_of_the_file(published: Path) -> None:
    data = load("dsprites", root=published / "dsprites")
    classes = np.load(published / "dsprites" / dsprites.FILE.name)["latents_classes"]
    assert np.array_equal(data.factors(torch.arange(len(data))).numpy(), classes[:, 1:])
    assert data.factor_names == load("sprites").factor_names
    assert data.factor_values[0] == ("square", "ellipse", "heart")
    assert data.factor_values[1] == ("0.5", "1.0")
    assert data.factor_values[2] == ("0°", "120°", "240°", "360°")
    data = load("shapes3d", root=published / "shapes3d")
    with h5py.File(published / "shapes3d/3dshapes.h5") as file:
        labels = np.array(file["labels"])
    factors = data.factors(torch.arange(len(data))).numpy()
    for column, size in enumerate(data.factor_sizes):
        low, high = labels[:, column].min(), labels[:, column].max()
        assert np.allclose(factors[:, column], (labels[:, column] - low) / (high - low) * (size - 1))
    assert data.factor_names == load("scenes").factor_names
    assert data.factor_values[5] == ("-30.0°", "-15.0°", "0.0°", "15.0°", "30.0°")


def test_grids_have_the_published_sizes() -> None:
    for variant in ("toy", "realistic", "real"):
        grids = mpi3d.GRIDS[variant][:2]
        assert [grid.sizes for grid in grids] == [(6, 6, 2, 3, 3, 40, 40), (4, 4, 2, 3, 3, 40, 40)]
        assert [len(grid) for grid in grids] == [1_036_800, 460_800]
        assert grids[1].values[0] == ("green", "red", "blue", "brown")
    grid = mpi3d.GRIDS["complex"][0]
    assert (grid.sizes, len(grid)) == ((4, 4, 2, 3, 3, 40, 40), 460_800)
    assert grid.values[:2] == (
        ("yellow", "green", "olive", "red"),
        ("coffee cup", "tennis ball", "croissant", "beer cup"),
    )
    assert SETS["mpi3d-complex"].count == "460,800"
    assert "object colour 4, object shape 4, object size 2" in SETS["mpi3d-complex"].factors
    assert SETS["mpi3d-real"].count == "1,036,800"


def test_the_values_of_mpi3d_are_those_of_the_set_and_not_of_the_count(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sets have 460,800 pictures, of other objects."""
    name = "real3d_complicated_shapes_ordered.npz"
    pictures = np.load(published / "mpi3d-complex" / name)["images"]
    np.savez(tmp_path / "mpi3d_real.npz", images=pictures)
    monkeypatch.setitem(mpi3d.GRIDS, "real", (FactorGrid(mpi3d.NAMES, (("cone", "cube"),) + (("0",),) * 6),))
    with pytest.raises(UserError, match=r"mpi3d_real.npz is damaged or another file \(images has the shape \(288, 64"):
        load("mpi3d-real", root=tmp_path)
    with pytest.raises(UserError, match=r"must hold real3d_complicated_shapes_ordered.npz: get real3d_.*drive.google"):
        load("mpi3d-complex", root=tmp_path)
    data = load("mpi3d-complex", root=published / "mpi3d-complex")
    assert data.factor_sizes == (2, 2, 2, 3, 3, 2, 2)
    last = data.factors(torch.tensor([287, 1]))
    assert last.tolist() == [[1, 1, 1, 2, 2, 1, 1], [0, 0, 0, 0, 0, 0, 1]]
    cut(tmp_path / "mpi3d_real.npz", 0.5)
    (tmp_path / "mpi3d_real.npz").rename(tmp_path / name)
    with pytest.raises(UserError, match=r"is damaged .*: get real3d_complicated_shapes_ordered.npz .*drive.google"):
        load("mpi3d-complex", root=tmp_path)


def test_cars_are_found_in_a_folder_as_well(published: Path, tmp_path: Path) -> None:
    with tarfile.open(published / "cars3d" / cars3d.FILE.name) as tar:
        tar.extractall(tmp_path, filter="data")
    expected = everything("cars3d", root=published / "cars3d")
    assert np.array_equal(everything("cars3d", root=tmp_path), expected)
    assert np.array_equal(everything("cars3d", root=tmp_path / "data/cars"), expected)
    assert everything("cars3d", root=tmp_path, size=128).shape == (192, 128, 128, 3)
    (tmp_path / "data/cars/car_002_mesh.mat").unlink()
    with pytest.raises(UserError, match=r"cannot read .*car_002_mesh.mat: No such file"):
        load("cars3d", root=tmp_path)


@pytest.mark.parametrize("chunks", [(1, 64, 64, 3), (7, 64, 32, 3), None])
def test_where_chunks_hold_few_pictures_they_are_read_as_they_are_asked_for(
    tmp_path: Path, chunks: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "3dshapes.h5"
    write_shapes3d(path, (1, 2, 2, 2, 3, 2), RANDOM, chunks or (1, 64, 64, 3))
    if chunks is None:
        with h5py.File(path, "r+") as file:
            pictures = np.array(file["images"])
            del file["images"]
            file["images"] = pictures  # one after another, not packed
    monkeypatch.setattr(unpacked, "unpacked", lambda *_: pytest.fail("must not be unpacked"))
    monkeypatch.setattr(shapes3d, "unpacked", lambda *_: pytest.fail("must not be unpacked"))
    with h5py.File(path) as file:
        expected = np.array(file["images"])
    indices = torch.tensor([40, 3, 3, 0, 47, 40])
    data = load("shapes3d", root=tmp_path)
    assert np.array_equal(data.images(indices).permute(0, 2, 3, 1).numpy(), expected[indices])
    assert np.abs(everything("shapes3d", root=tmp_path, size=32) - halved(expected)).max() <= 0.5
    assert data.images(indices[:0]).shape == (0, 3, 64, 64)


def test_what_was_unpacked_belongs_to_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked, "IN_MEMORY", 0)
    monkeypatch.setenv("DISENTANGLE_DATA", str(tmp_path / "cache"))
    path = tmp_path / "sets" / dsprites.FILE.name
    for seed in range(2):
        write_dsprites(path, (1, 1, 2, 2, 2, 3), np.random.default_rng(seed))
        os.utime(path, ns=(seed, seed))
        expected = np.load(path)["imgs"] * 255
        assert np.array_equal(everything("dsprites", root=path.parent)[..., 0], expected)
    # one that was left half-way is written again
    (left,) = (name for name in path.parent.iterdir() if name.name.endswith("-1.unpacked"))
    left.rename(f"{left}.part")
    os.truncate(f"{left}.part", 100)
    assert np.array_equal(everything("dsprites", root=path.parent)[..., 0], expected)
    assert sorted(p.name for p in path.parent.iterdir() if p.name.endswith(".part")) == []
    # where nothing can be written, it goes to the cache
    left.unlink()
    fails = unpacked._written

    def denied(path: Path, *rest: object) -> Path:
        if path.parent == left.parent:
            raise PermissionError(13, "Permission denied")
        return fails(path, *rest)

    monkeypatch.setattr(unpacked, "_written", denied)
    assert np.array_equal(everything("dsprites", root=path.parent)[..., 0], expected)
    assert os.listdir(tmp_path / "cache/unpacked") == [left.name]
    monkeypatch.setattr(unpacked, "_written", lambda *_: denied(left))
    with pytest.raises(UserError, match=r"cannot unpack .* beside it or in .*: Permission denied: make room"):
        load("dsprites", root=path.parent)


def test_nothing_is_unpacked_to_a_disk_without_room(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "IN_MEMORY", 0)
    monkeypatch.setenv("DISENTANGLE_DATA", str(tmp_path / "cache"))
    shutil.copy(published / "mpi3d-toy/mpi3d_toy.npz", tmp_path)
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: real._replace(free=10**6))
    with pytest.raises(UserError, match=r"cannot unpack .*mpi3d_toy.npz \(0.0 GB\) .*: 0.0 GB are free: make room"):
        load("mpi3d-toy", root=tmp_path)
    assert os.listdir(tmp_path / "cache/unpacked") == []


def test_means_are_rounded_to_the_nearest() -> None:
    pictures = RANDOM.integers(0, 256, (3, 96, 96, 2), np.uint8)
    for size in (96, 48, 32, 24, 1):
        blocks = pictures.reshape(3, size, 96 // size, size, 96 // size, 2).astype(float).mean((2, 4))
        assert np.abs(shrunk(pictures, size) - blocks).max() <= 0.5
    with pytest.raises(ValueError, match="96 is no multiple of 64"):
        shrunk(pictures, 64)


def rewritten(path: Path, **changed: object) -> None:
    """Write an ``.npz`` file again with some arrays changed, or left out where ``None``."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key != "metadata"}
    np.savez(path, **{key: array for key, array in {**arrays, **changed}.items() if array is not None})


SHUFFLED = np.random.default_rng(0).permutation(24)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"imgs": None}, "it has no array 'imgs'"),
        ({"latents_values": None}, "it has no array 'latents_values'"),
        ({"imgs": np.zeros((24, 64, 64))}, r"imgs has the shape \(24, 64, 64\) and type float64"),
        ({"imgs": np.zeros((24, 32, 32), np.uint8)}, r"imgs has the shape \(24, 32, 32\)"),
        ({"imgs": np.zeros((23, 64, 64), np.uint8)}, r"latents_classes has the shape \(24, 6\), expected \(23, 6\)"),
        ({"imgs": np.array([{}])}, "imgs is no plain array"),
        ({"imgs": np.zeros((24, 64, 64), np.uint8, order="F")}, "imgs is no plain array, row by row"),
        ({"latents_classes": np.zeros((24, 6), int)}, r"the classes have \(1, 1, 1, 1, 1, 1\) values for 24 pictures"),
        ({"latents_classes": np.zeros((24, 6))}, "its classes are not all integers"),
        ({"latents_values": np.full((24, 6), np.nan)}, ".*or its values not all finite"),
        ({"latents_classes": "shuffled"}, "the pictures are not in the published order"),
    ],
)
def test_another_npz_file_is_refused(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    path = tmp_path / dsprites.FILE.name
    write_dsprites(path, (1, 2, 2, 2, 3, 1), RANDOM)
    if isinstance(changed.get("latents_classes"), str):
        changed = {"latents_classes": np.load(path)["latents_classes"][SHUFFLED]}
    rewritten(path, **changed)
    with pytest.raises(UserError, match=rf"is damaged or another file \({said}.*data get dsprites") as caught:
        load("dsprites", root=tmp_path)
    assert "\n" not in str(caught.value)


def cut(path: Path, part: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


def flipped(path: Path) -> None:
    """Change bytes in the middle, where the pictures are."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(bytes(content))


def shorter(path: Path) -> None:
    """Leave out the last bytes of the array in an archive that is otherwise whole."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content[:-1] if name.startswith("im") else content)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("harm", [lambda path: cut(path, 0.5), lambda path: path.write_bytes(b"<html>"), flipped])
def test_damaged_files_are_named(published: Path, tmp_path: Path, name: str, harm: Callable[[Path], None]) -> None:
    (path,) = (path for path in (published / name).iterdir() if not path.name.endswith(".unpacked"))
    shutil.copy(path, tmp_path)
    harm(tmp_path / path.name)
    with pytest.raises(UserError, match=f"{path.name} is damaged .*data get {name}") as caught:
        everything(name, root=tmp_path)
    assert "\n" not in str(caught.value)


def test_arrays_cut_short_and_of_other_sizes_are_named(published: Path, tmp_path: Path) -> None:
    shutil.copy(published / "mpi3d-toy/mpi3d_toy.npz", tmp_path)
    shorter(tmp_path / "mpi3d_toy.npz")
    with pytest.raises(UserError, match="images is cut short"):
        load("mpi3d-toy", root=tmp_path)
    np.savez(tmp_path / "mpi3d_toy.npz", images=np.zeros((431, 64, 64, 3), np.uint8))
    with pytest.raises(UserError, match=r"images has the shape \(431, 64, 64, 3\)"):
        load("mpi3d-toy", root=tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("images", np.zeros((192, 64, 64, 3), np.int16), "type int16"),
        ("images", np.zeros((192, 32, 32, 3), np.uint8), r"shape \(192, 32, 32, 3\)"),
        ("labels", np.zeros((192, 6)), r"the labels have \(1, 1, 1, 1, 1, 1\) values for 192 pictures"),
        ("labels", np.zeros((191, 6)), r"labels has the shape \(191, 6\)"),
        ("labels", np.full((192, 6), np.inf), "its labels are not all finite"),
        ("labels", "reversed", "not in the published order"),
        ("labels", None, "labels"),
    ],
)
def test_another_h5_file_is_refused(tmp_path: Path, key: str, value: object, said: str) -> None:
    path = tmp_path / "3dshapes.h5"
    write_shapes3d(path, (2, 2, 2, 2, 4, 3), RANDOM, (1, 64, 64, 3))
    with h5py.File(path, "r+") as file:
        if isinstance(value, str):
            value = np.array(file[key])[::-1]
        del file[key]
        if value is not None:
            file[key] = value
    with pytest.raises(UserError, match=rf"3dshapes.h5 is damaged or another file \(.*{said}"):
        load("shapes3d", root=tmp_path)


def test_another_archive_of_cars_is_refused(tmp_path: Path, published: Path) -> None:
    path = tmp_path / cars3d.FILE.name
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "data/cars/car_001_mesh.mat", b"no MATLAB file")
    with pytest.raises(UserError, match=r"damaged or another file \(car_001_mesh.mat: "):
        load("cars3d", root=tmp_path)
    with tarfile.open(published / "cars3d" / cars3d.FILE.name) as tar:
        whole = tar.extractfile("data/cars/car_001_mesh.mat").read()
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "data/cars/car_001_mesh.mat", whole)
    with pytest.raises(UserError, match=r"it lacks car_002_mesh.mat"):
        load("cars3d", root=tmp_path)
    other = io.BytesIO()
    savemat(other, {"im": np.zeros((4, 4), np.uint8)})
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "data/cars/car_001_mesh.mat", other.getvalue())
    with pytest.raises(UserError, match=r"no array of bytes im \(128, 128, 3, 24, 4\)"):
        load("cars3d", root=tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_are_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=rf"no files of {name} in .*: it must hold .*get {name} --root {tmp_path}`"):
        load(name, root=tmp_path)
    monkeypatch.setattr("disentangle.data.files.places", lambda: [])
    with pytest.raises(UserError, match=rf"{name}' is not here: `disentangle data get {name}` fetches it; put"):
        load(name)


def test_the_extras_are_named_where_they_are_missing(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    monkeypatch.setitem(__import__("sys").modules, "python_avatars", None)
    with pytest.raises(UserError, match=r"pip install 'disentangle-svd\[h5\]'"):
        load("shapes3d", root=published / "shapes3d")
    with pytest.raises(UserError, match=r"pip install 'disentangle-svd\[faces\]'"):
        load("faces")
