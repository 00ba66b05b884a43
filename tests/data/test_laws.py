"""What holds for every data set."""

import hashlib
import os
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest
import torch
from PIL import Image

from disentangle.data import GridSet, ImageSet, LabelledSet, load

CASES = ["sprites-32", "sprites-64", "scenes-32", "scenes-64", "digits-32", "fashion-mnist-32", "cifar-10-32"]
CASES += ["cifar-100-64", "folder-16", "class-folder-16", "faces-64", "dsprites-64", "shapes3d-64", "mpi3d-toy-32"]
CASES += ["mpi3d-complex-32", "cars3d-64", "smallnorb-64", "mnist-28", "celeba-32", "ffhq-16"]
GRIDS = ("sprites", "scenes", "faces", "dsprites", "shapes3d", "mpi3d-toy", "mpi3d-complex", "cars3d")


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def arguments(
    case: str, small_fashion: Path, small_cifar: Path, published: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    name, size = case.rsplit("-", 1)
    found: dict[str, object] = {"name": name, "size": int(size)}
    if name == "fashion-mnist":
        found["root"] = small_fashion
    if (published / name).exists():
        found["root"] = published / name
    if name.startswith("cifar"):
        found["root"] = small_cifar
    if name.endswith("folder"):
        found["root"] = tmp_path_factory.mktemp("pictures")
        for i in range(25):
            path = found["root"] / f"class {i % 3}" / f"{i:02}.png"
            path.parent.mkdir(exist_ok=True)
            Image.effect_noise((20 + i, 30), 80).save(path)
    return found


@pytest.fixture(scope="module")
def data(arguments: dict[str, object]) -> ImageSet:
    return load(**arguments)


def some(data: ImageSet, n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(len(data), (n,), generator=torch.Generator().manual_seed(seed))


def test_pictures_have_the_promised_type_and_shape(data: ImageSet, arguments: dict[str, object]) -> None:
    assert isinstance(data, ImageSet)
    assert (data.name, data.size) == (arguments["name"], arguments["size"])
    pictures = data.images(some(data, 5))
    assert pictures.dtype == torch.uint8
    assert pictures.shape == (5, data.channels, data.size, data.size)
    assert pictures.is_contiguous()
    assert pictures.float().std() > 10


def test_a_picture_is_the_same_alone_and_in_any_batch(data: ImageSet) -> None:
    indices = some(data, 37)
    together = data.images(indices)
    alone = torch.cat([data.images(index[None]) for index in indices])
    assert torch.equal(together, alone)
    assert torch.equal(data.images(indices.flip(0)), together.flip(0))
    assert torch.equal(data.images(indices[3:22]), together[3:22])
    assert torch.equal(data.images(indices[:1].expand(9)), together[:1].expand(9, -1, -1, -1))


def test_a_fresh_set_has_the_same_pictures(data: ImageSet, arguments: dict[str, object]) -> None:
    indices = some(data, 20, seed=1)
    assert torch.equal(load(**arguments).images(indices.flip(0)).flip(0), data.images(indices))


def test_the_caller_may_write_on_pictures(data: ImageSet) -> None:
    indices = some(data, 3)
    first = data.images(indices)
    before = first.clone()
    first.fill_(7)
    assert torch.equal(data.images(indices), before)


def test_no_indices_give_no_pictures(data: ImageSet) -> None:
    assert data.images(torch.zeros(0, dtype=torch.int64)).shape == (0, data.channels, data.size, data.size)


def test_the_ends_are_in_and_what_is_beyond_is_not(data: ImageSet) -> None:
    assert len(data.images(torch.tensor([0, len(data) - 1]))) == 2
    for beyond in (-1, len(data)):
        with pytest.raises(IndexError, match=f"index {beyond} is out of range"):
            data.images(torch.tensor([0, beyond]))
    with pytest.raises(TypeError, match="integers"):
        data.images(torch.tensor([0.0]))


def test_factors_are_in_their_ranges(data: ImageSet) -> None:
    if data.name in ("folder", "ffhq"):
        assert not isinstance(data, LabelledSet)
        return
    assert isinstance(data, LabelledSet)
    assert isinstance(data, GridSet) == (data.name in GRIDS)
    assert len(data.factor_names) == len(data.factor_sizes) == len(data.factor_values)
    factors = data.factors(some(data, 500))
    assert factors.dtype == torch.int64
    assert factors.shape == (500, len(data.factor_names))
    assert factors.min() == 0
    assert factors.amax(0).tolist() == [size - 1 for size in data.factor_sizes]
    with pytest.raises(IndexError):
        data.factors(torch.tensor([len(data)]))


def test_a_grid_finds_a_picture_by_its_factors(data: ImageSet) -> None:
    if isinstance(data, GridSet):
        indices = some(data, 50)
        assert torch.equal(data.index(data.factors(indices)), indices)
        assert len(data) == prod(data.factor_sizes)


def test_grey_pictures_come_in_three_equal_channels_if_asked(data: ImageSet, arguments: dict[str, object]) -> None:
    if data.channels == 3:
        return
    assert data.channels == 1
    indices = some(data, 4)
    coloured = load(**arguments, channels=3).images(indices)
    assert torch.equal(coloured, data.images(indices).expand(-1, 3, -1, -1))
    assert coloured.is_contiguous()


SCRIPT = """
import hashlib, torch
from disentangle.data import load
for name in ("sprites", "scenes", "faces"):
    data = load(name, size=32)
    print(hashlib.sha256(data.images(torch.arange(0, len(data), len(data) // 7)).numpy().tobytes()).hexdigest())
"""


def test_another_process_draws_the_same_bits(root: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    here = []
    for name in ("sprites", "scenes", "faces"):
        data = load(name, size=32)
        pictures = data.images(torch.arange(0, len(data), len(data) // 7))
        here.append(hashlib.sha256(pictures.numpy().tobytes()).hexdigest())
    assert done.stdout.split() == here
