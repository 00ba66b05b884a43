"""Index ↔ factors, and the words for what is out of range."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from disentangle.data import SETS, FactorGrid, GridSet, ImageSet, LabelledSet, load
from disentangle.data.base import check_indices
from disentangle.data.classes import ClassSet
from disentangle.data.memory import MemorySet
from disentangle.errors import UserError


def grid_of(sizes: list[int]) -> FactorGrid:
    return FactorGrid(
        names=tuple(f"factor {i}" for i in range(len(sizes))),
        values=tuple(tuple(map(str, range(size))) for size in sizes),
    )


sizes = st.lists(st.integers(1, 7), min_size=1, max_size=5)


@given(sizes)
def test_factors_count_up_with_the_last_one_fastest(sizes: list[int]) -> None:
    grid = grid_of(sizes)
    expected = torch.cartesian_prod(*(torch.arange(size) for size in sizes)).view(-1, len(sizes))
    assert len(grid) == len(expected)
    assert grid.sizes == tuple(sizes)
    factors = grid.factors(torch.arange(len(grid)))
    assert factors.dtype == torch.int64
    assert torch.equal(factors, expected)


@given(sizes, st.data())
def test_index_inverts_factors(sizes: list[int], data: st.DataObject) -> None:
    grid = grid_of(sizes)
    indices = torch.tensor(data.draw(st.lists(st.integers(0, len(grid) - 1))), dtype=torch.int64)
    back = grid.index(grid.factors(indices))
    assert back.dtype == torch.int64
    assert torch.equal(back, indices)


@pytest.mark.parametrize(
    ("name", "names", "sizes"),
    [
        ("sprites", ("shape", "scale", "orientation", "x", "y"), (3, 6, 40, 32, 32)),
        ("scenes", ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation"), (10, 10, 10, 8, 4, 15)),
    ],
)
def test_generated_sets_have_the_published_grid(name: str, names: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    data = load(name)
    assert isinstance(data, GridSet)
    assert data.factor_names == names
    assert data.factor_sizes == sizes
    assert tuple(map(len, data.factor_values)) == sizes
    assert len(data) == {"sprites": 737_280, "scenes": 480_000}[name]
    factors = torch.tensor([[size - 1 - i % 2 for i, size in enumerate(sizes)]])
    expected = 0
    for value, size in zip(factors[0].tolist(), sizes, strict=True):
        expected = expected * size + value
    assert data.index(factors).tolist() == [expected]
    assert torch.equal(data.factors(torch.tensor([expected])), factors)


@pytest.mark.parametrize("bad", [-1, 24])
def test_an_index_out_of_range_is_an_index_error(bad: int) -> None:
    with pytest.raises(IndexError, match=f"index {bad} is out of range: the set has pictures 0 … 23"):
        grid_of([2, 3, 4]).factors(torch.tensor([0, bad]))


@pytest.mark.parametrize("bad", [-1, 3])
def test_a_factor_out_of_range_is_a_value_error(bad: int) -> None:
    with pytest.raises(ValueError, match=f"factor 'factor 1' must lie in 0 … 2, got {bad}"):
        grid_of([2, 3, 4]).index(torch.tensor([[0, 0, 0], [1, bad, 3]]))


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 3, 1)])
def test_factors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(n, 3\)"):
        grid_of([2, 3, 4]).index(torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_what_is_no_integer_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="integers"):
        check_indices(torch.zeros(2, dtype=dtype), 5)
    with pytest.raises(TypeError, match="integers"):
        grid_of([2, 3]).index(torch.zeros(1, 2, dtype=dtype))


def test_indices_in_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(n,\), got \(2, 1\)"):
        check_indices(torch.zeros(2, 1, dtype=torch.int64), 5)


def test_sets_say_what_they_can() -> None:
    plain = MemorySet("mine", torch.zeros(2, 1, 4, 4, dtype=torch.uint8), 1)
    classes = ClassSet(plain, {"digit": ("0", "1")}, torch.tensor([[0], [1]]))
    kinds = (ImageSet, LabelledSet, GridSet)
    assert [isinstance(plain, kind) for kind in kinds] == [True, False, False]
    assert [isinstance(classes, kind) for kind in kinds] == [True, True, False]
    assert [isinstance(load("sprites"), kind) for kind in kinds] == [True, True, True]


def test_a_memory_set_refuses_what_does_not_belong_together() -> None:
    pictures = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="uint8"):
        MemorySet("mine", pictures.float(), 1)
    with pytest.raises(ValueError, match="3 channels cannot be given with 1"):
        MemorySet("mine", pictures.expand(-1, 3, -1, -1), 1)


def test_an_unknown_set_gets_near_misses() -> None:
    with pytest.raises(UserError, match=r"unknown data set 'sprite': did you mean sprites.*possible: .*scenes"):
        load("sprite")


@pytest.mark.parametrize(
    ("name", "size"), [("sprites", 48), ("scenes", 128), ("faces", 48), ("digits", 7), ("fashion-mnist", 30)]
)
def test_an_impossible_size_is_refused_with_the_possible_ones(name: str, size: int) -> None:
    with pytest.raises(UserError, match=f"size {size} is not possible .*choose "):
        load(name, size=size)


def test_impossible_channels_are_refused() -> None:
    with pytest.raises(UserError, match="channels 1 is not possible for the data set 'scenes': choose 3"):
        load("scenes", channels=1)
    with pytest.raises(UserError, match="channels 2 is not possible for the data set 'sprites': choose 1 or 3"):
        load("sprites", channels=2)


@pytest.mark.parametrize("name", ["sprites", "scenes", "digits"])
def test_a_set_without_files_takes_no_root(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' takes no root, got 'here'"):
        load(name, root="here")


@pytest.mark.parametrize("name", ["sprites", "scenes", "faces", "dsprites", "shapes3d", "mpi3d-real", "cars3d"])
def test_a_whole_grid_takes_no_split(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' takes no split, got 'test': it is a whole grid.*such as digits"):
        load(name, split="test")


def test_every_set_is_listed_under_its_name() -> None:
    assert list(SETS) == [
        "sprites",
        "scenes",
        "faces",
        "dsprites",
        "shapes3d",
        "mpi3d-toy",
        "mpi3d-realistic",
        "mpi3d-real",
        "mpi3d-complex",
        "cars3d",
        "smallnorb",
        "digits",
        "mnist",
        "fashion-mnist",
        "cifar-10",
        "cifar-100",
        "celeba",
        "lsun-church",
        "ffhq",
        "anime-face",
        "folder",
        "class-folder",
    ]
    for name, description in SETS.items():
        assert description.name == name
        assert description.where(None)
