"""Which factors are ordered numbers."""

import pytest
import torch

from disentangle.data import load
from disentangle.data.base import LabelledSet
from disentangle.data.scales import scale_of


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("0.5", "0.6", "1.0"), [0.0, 0.2, 1.0]),
        (("16.5/64", "17.5/64", "18.5/64"), [0.0, 0.5, 1.0]),
        (("30.0°", "0.0°", "-30.0°"), [0.0, 0.5, 1.0]),
        (("0°", "90°", "180°", "270°"), None),
        (("0°", "120°", "240°", "360°"), None),
        (("square", "ellipse"), None),
        (("car 1", "car 2"), None),
        (("1 m", "2 cm"), None),
        (("1", "3", "2"), None),
        (("1", "1"), None),
        (("1",), None),
    ],
)
def test_numbers_of_one_unit_that_rise_or_fall(values: tuple[str, ...], expected: list[float] | None) -> None:
    found = scale_of(values)
    if expected is None:
        assert found is None
    else:
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(("name", "ordered"), [("sprites", {"scale", "x", "y"}), ("scenes", {"scale", "orientation"})])
def test_of_the_sets_that_are_drawn_here(name: str, ordered: set[str]) -> None:
    data = load(name)
    assert isinstance(data, LabelledSet)
    scales = dict(zip(data.factor_names, map(scale_of, data.factor_values)))
    assert {factor for factor, scale in scales.items() if scale is not None} == ordered
