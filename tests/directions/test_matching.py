"""Directions that were shuffled, flipped, turned or mixed are found again."""

import math

import pytest
import torch

from disentangle.directions import match
from disentangle.directions.matching import half_stability
from tests.directions.known import made
from tests.matrices import orthogonal


def test_shuffled_flipped_and_turned_directions_find_their_partners() -> None:
    q = orthogonal(6)
    turn = math.radians(10.0)
    turned = math.cos(turn) * q[1] + math.sin(turn) * q[5]
    found = match(made(q[:4]), made(torch.stack([q[2], -turned, q[3], -q[0]])))
    assert found.pairs == ((0, 3), (1, 1), (2, 0), (3, 2))
    assert found.signs.tolist() == [-1.0, -1.0, 1.0, 1.0]
    assert found.angles.tolist() == pytest.approx([0.0, 10.0, 0.0, 0.0], abs=1e-4)
    assert found.spans.tolist() == pytest.approx([0.0, 0.0, 0.0, 10.0], abs=1e-4)
    assert found.blocks == ()
    assert found.same(5.0) == [(0, 3), (2, 0), (3, 2)]
    assert len(found.same()) == 4


def test_the_sum_decides_and_each_has_one_partner() -> None:
    # Both of a are nearest to b's first; taking it for the first costs the second more.
    a = torch.nn.functional.normalize(torch.tensor([[1.0, 0.45, 0.0], [1.0, 0.0, 0.0]]), dim=1)
    b = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1, 0.0], [0.4, 1.0, 0.0]]), dim=1)
    assert match(made(a), made(b)).pairs == ((0, 1), (1, 0))


def test_fewer_partners_than_directions() -> None:
    q = orthogonal(5)
    assert match(made(q[:4]), made(q[[3, 1]])).pairs == ((1, 1), (3, 0))
    assert match(made(q[[3, 1]]), made(q[:4])).pairs == ((0, 3), (1, 1))
    with pytest.raises(ValueError, match="sizes 5 and 4"):
        match(made(q), made(torch.eye(4)))


def test_a_repeated_value_is_matched_by_its_plane() -> None:
    q, turn = orthogonal(6), math.radians(40.0)
    mixed = torch.stack([math.cos(turn) * q[1] + math.sin(turn) * q[2], math.cos(turn) * q[2] - math.sin(turn) * q[1]])
    values = [5.0, 2.0, 2.0, 1.0]
    found = match(made(q[:4], values), made(torch.cat([q[:1], mixed, q[3:4]]), values))
    assert found.angles.tolist() == pytest.approx([0.0, 40.0, 40.0, 0.0], abs=1e-4)
    assert [block.members for block in found.blocks] == [(1, 2)]
    assert found.blocks[0].angle < 1e-4
    assert len(found.same(1.0)) == 4
    tilted = match(made(q[:4], values), made(torch.cat([q[:1], q[1:2], q[4:5], q[3:4]]), values))
    assert tilted.blocks[0].angle == pytest.approx(90.0)
    assert tilted.same(1.0) == [(0, 0), (3, 3)]


def test_blocks_are_of_one_layer_and_one_value() -> None:
    q, layers = orthogonal(6), ("a", "b", "a", "a", "a", "b")
    gaps = torch.tensor([0.0, 0.5, 0.0, 0.0, 0.0, 0.5])
    found = match(made(q, [5.0, 5.0, 5.0, 2.0, 2.0, 1.0], layers=layers, gaps=gaps), made(q))
    assert [block.members for block in found.blocks] == [(0, 2), (3, 4)]


def test_what_a_half_does_not_have_is_not_stable() -> None:
    q = orthogonal(4)
    assert half_stability(q[:3], q[[1, 0, 2]], -q[[2, 0]]).tolist() == pytest.approx([0.0, 90.0, 0.0], abs=1e-9)
    # Their partners are those of the whole, not of one another.
    turn = math.radians(20.0)
    halves = [math.cos(t) * q[0] + math.sin(t) * q[1] for t in (turn, -turn)]
    assert half_stability(q[:1], halves[0][None], halves[1][None]).item() == pytest.approx(40.0)
