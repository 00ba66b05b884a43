"""The digits are scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from disentangle.data import load
from disentangle.errors import UserError

ALL = torch.arange(1797)


def test_at_size_8_the_pixels_are_those_of_the_source() -> None:
    data, source = load("digits", size=8), load_digits()
    assert len(data) == 1797
    assert np.array_equal(data.images(ALL)[:, 0].numpy(), np.round(source.images * 255 / 16))
    assert np.array_equal(data.factors(ALL)[:, 0].numpy(), source.target)
    assert data.factor_names == ("digit",)
    assert data.factor_values == (tuple("0123456789"),)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_larger_ones_keep_their_grey_and_use_the_whole_range(size: int) -> None:
    small, large = (load("digits", size=s).images(ALL).float() for s in (8, size))
    assert large.shape == (1797, 1, size, size)
    assert large.min() == 0
    assert large.max() == 255
    # means over blocks of one old pixel; clipping and the smoothness of the bicubic take some
    blocks = torch.nn.functional.avg_pool2d(large, size // 8)
    assert float((blocks - small).abs().mean()) < 12
    correlation = torch.corrcoef(torch.stack([blocks.flatten(), small.flatten()]))[0, 1]
    assert float(correlation) > 0.98


def test_its_own_size_is_32() -> None:
    assert load("digits").size == 32


def test_both_parts_together_are_all_and_each_has_its_sixth_of_every_digit() -> None:
    whole, train, test = (load("digits", size=8, split=split) for split in (None, "train", "test"))
    assert (len(train), len(test)) == (1498, 299)
    both = torch.cat([part.images(torch.arange(len(part))) for part in (train, test)]).flatten(1)
    assert torch.equal(both.unique(dim=0), whole.images(ALL).flatten(1).unique(dim=0))
    counts = whole.factors(ALL)[:, 0].bincount()
    assert torch.equal(test.factors(ALL[: len(test)])[:, 0].bincount(), (counts / 6).round().long())
    # pictures and labels stay together
    known = {picture.numpy().tobytes(): int(label) for picture, label in zip(whole.images(ALL), whole.factors(ALL))}
    for picture, label in zip(test.images(ALL[: len(test)]), test.factors(ALL[: len(test)])):
        assert known[picture.numpy().tobytes()] == int(label)


def test_it_has_no_other_parts() -> None:
    with pytest.raises(UserError, match="unknown split 'tests': did you mean test"):
        load("digits", split="tests")
