"""A data set is known by what it holds."""

import torch
from torch import Tensor

from disentangle.data.identity import SEEN, content_of, describe
from disentangle.data.memory import MemorySet


class Labelled(MemorySet):
    """Grey pictures with one factor, which they do not show."""

    factor_names, factor_sizes, factor_values = ("shade",), (2,), (("dark", "bright"),)

    def __init__(self, pictures: Tensor, values: Tensor) -> None:
        super().__init__("plain", pictures, 1)
        self.values = values

    def factors(self, indices: Tensor) -> Tensor:
        return self.values[indices, None]


def test_the_content_is_that_of_pictures_and_of_factors() -> None:
    pictures, values = torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0])
    data = Labelled(pictures, values)
    assert content_of(data) == content_of(Labelled(pictures.clone(), values.clone()))
    assert content_of(data) != content_of(Labelled(pictures, 1 - values)), "the same pictures, otherwise labelled"
    changed = pictures.clone()
    changed[-1, 0, -1, -1] = 1
    assert content_of(data) != content_of(Labelled(changed, values))
    plain = MemorySet("plain", pictures, 1)
    assert content_of(plain) != content_of(data)
    assert (describe(plain)["factors"], describe(data)["factors"]) == (None, ["shade"])


def test_of_many_pictures_some_from_first_to_last_are_looked_at() -> None:
    pictures = torch.zeros(10 * SEEN, 1, 1, 1, dtype=torch.uint8)
    plain = content_of(MemorySet("plain", pictures, 1))
    for place, seen in ((0, True), (-1, True), (1, False)):
        changed = pictures.clone()
        changed[place] = 1
        assert (content_of(MemorySet("plain", changed, 1)) != plain) is seen
