"""Sets with classes, one factor as the class, and the split that is always the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from disentangle.data import ClassLabels, load, split_indices
from disentangle.data.classes import ClassSet
from disentangle.data.memory import MemorySet
from disentangle.errors import UserError

PLAIN = MemorySet("mine", torch.zeros(3, 1, 4, 4, dtype=torch.uint8), 1)


def test_a_class_set_is_its_pictures_and_labels() -> None:
    pictures = MemorySet("mine", torch.arange(48, dtype=torch.uint8).view(3, 1, 4, 4), 3)
    data = ClassSet(pictures, {"a": ("x", "y"), "b": ["u", "v", "w"]}, torch.tensor([[0, 2], [1, 0], [1, 1]]))
    assert (data.name, data.size, data.channels, len(data)) == ("mine", 4, 3, 3)
    assert data.factor_names == ("a", "b")
    assert data.factor_sizes == (2, 3)
    assert data.factor_values == (("x", "y"), ("u", "v", "w"))
    indices = torch.tensor([2, 0])
    assert torch.equal(data.images(indices), pictures.images(indices))
    assert data.factors(indices).tolist() == [[1, 1], [0, 2]]
    with pytest.raises(IndexError, match="index 3 is out of range"):
        data.factors(torch.tensor([3]))


@pytest.mark.parametrize("labels", [torch.zeros(2, 1), torch.zeros(3), torch.zeros(3, 2)])
def test_labels_that_do_not_belong_to_the_pictures_are_refused(labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"3 pictures with 1 factors need labels of shape \(3, 1\), got"):
        ClassSet(PLAIN, {"a": ("x", "y")}, labels.long())


@pytest.mark.parametrize("bad", [-1, 2])
def test_labels_without_a_name_are_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=r"labels of the factor 'a' must lie in 0 … 1, got (-1 … 1|0 … 2)"):
        ClassSet(PLAIN, {"a": ("x", "y")}, torch.tensor([[0], [bad], [1]]))


def test_the_only_factor_is_the_class() -> None:
    digits = load("digits")
    labels = ClassLabels(digits)
    assert (labels.factor, labels.count, labels.names) == ("digit", 10, tuple("0123456789"))
    indices = torch.tensor([5, 1796, 0])
    assert labels(indices).dtype == torch.int64
    assert torch.equal(labels(indices), digits.factors(indices)[:, 0])


def test_of_several_factors_the_class_or_the_named_one_is_taken() -> None:
    values = {"style": ("x", "y"), "class": ("u", "v", "w")}
    data = ClassSet(PLAIN, values, torch.tensor([[0, 2], [1, 0], [1, 1]]))
    assert ClassLabels(data)(torch.arange(3)).tolist() == [2, 0, 1]
    assert ClassLabels(data).names == ("u", "v", "w")
    assert ClassLabels(data, "style")(torch.arange(3)).tolist() == [0, 1, 1]
    sprites = load("sprites")
    assert ClassLabels(sprites, "x")(torch.tensor([0, 32, 64])).tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="'sprites' has several factors: name the one that is the class: shape, scale"):
        ClassLabels(sprites)


def test_what_has_no_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"'mine' has no labels, and a classifier needs them: .*'class-folder'"):
        ClassLabels(PLAIN)
    with pytest.raises(UserError, match="unknown factor of the data set 'digits' 'digits': did you mean digit"):
        ClassLabels(load("digits"), "digits")
    one = ClassSet(PLAIN, {"a": ("x",)}, torch.zeros(3, 1, dtype=torch.int64))
    with pytest.raises(UserError, match=r"the factor 'a' of the data set 'mine' has 1 class: .* two or more"):
        ClassLabels(one)


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(0, 3))
def test_a_split_has_every_picture_once_and_a_sixth_of_every_class(values: list[int], seed: int) -> None:
    labels = torch.tensor(values, dtype=torch.int64)
    train, test = split_indices(labels, seed)
    assert train.dtype == test.dtype == torch.int64
    assert sorted(train.tolist() + test.tolist()) == list(range(len(values)))
    assert train.tolist() == sorted(train.tolist())
    assert test.tolist() == sorted(test.tolist())
    for value in set(values):
        count, tested = values.count(value), int((labels[test] == value).sum())
        assert tested == (round(count / 6) or min(1, count - 1))


def test_a_split_is_always_the_same_and_random() -> None:
    labels = torch.arange(600) % 3
    test = split_indices(labels)[1]
    assert torch.equal(test, split_indices(labels.clone(), 0)[1])
    # written down, so that no machine and no version trains on what another tests with
    assert test[:10].tolist() == EXPECTED
    others = split_indices(labels, 1)[1]
    assert len(others) == len(test) == 99
    assert 5 < len(set(others.tolist()) & set(test.tolist())) < 35  # 99/6 by chance
    assert abs(float(test.double().mean()) - 299.5) < 60
    # which values the classes have does not matter
    assert torch.equal(split_indices(labels * 7 - 3)[1], test)


EXPECTED = [0, 4, 10, 15, 23, 27, 29, 30, 33, 44]


def test_a_set_is_split_by_its_class() -> None:
    digits = load("digits")
    whole = ClassLabels(digits)(torch.arange(len(digits)))
    for ours, expected in zip(split_indices(digits), split_indices(whole), strict=True):
        assert torch.equal(ours, expected)


def test_what_is_no_label_is_refused() -> None:
    with pytest.raises(TypeError, match=r"labels must be integers, got torch\.float32"):
        split_indices(torch.zeros(3))
    with pytest.raises(ValueError, match=r"labels must have shape \(n,\), got \(3, 1\)"):
        split_indices(torch.zeros(3, 1, dtype=torch.int64))
    with pytest.raises(UserError, match="seed must lie between"):
        split_indices(torch.zeros(3, dtype=torch.int64), -1)
