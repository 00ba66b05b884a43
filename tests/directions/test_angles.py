"""Principal angles: closed forms, scipy's, tiny angles, and whatever basis."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from disentangle.directions import principal_angles
from disentangle.directions.angles import angles_between
from tests.directions.known import made
from tests.matrices import gaussian, orthogonal


def test_two_planes_turned_by_known_angles() -> None:
    turns = [1e-12, 0.3, math.pi / 2]
    q = orthogonal(7)
    first = q[:3]
    second = torch.stack([math.cos(t) * q[i] + math.sin(t) * q[3 + i] for i, t in enumerate(turns)])
    mixed = gaussian(3, 3, seed=3) @ second  # another basis of the same
    found = principal_angles(first, mixed)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(turns, rel=1e-4, abs=1e-15)
    assert principal_angles(made(first), first.float()).max() < 1e-6


@pytest.mark.parametrize(("k", "m"), [(1, 1), (2, 5), (5, 2), (4, 4), (6, 6)])
def test_as_scipy(k: int, m: int) -> None:
    a, b = gaussian(k, 6, seed=k), gaussian(m, 6, seed=10 + m)
    expected = np.sort(scipy.linalg.subspace_angles(a.numpy().T, b.numpy().T))
    assert principal_angles(a, b).tolist() == pytest.approx(expected.tolist(), abs=1e-7)  # its own zeros are 2e-8


def test_what_depends_on_others_spans_nothing_more() -> None:
    e = torch.eye(4)
    assert principal_angles(torch.stack([e[0], 2 * e[0]]), torch.stack([e[0], e[1]])).tolist() == [0.0]
    assert principal_angles(e[0], e[1]).tolist() == [math.pi / 2]


def test_bad_bases() -> None:
    with pytest.raises(ValueError, match="same size, got 3 and 4"):
        principal_angles(torch.eye(3), torch.eye(4))
    for bad in (torch.zeros(2, 3), torch.zeros(0, 3), torch.tensor([[math.nan, 1.0, 0.0]]), torch.ones(1, 2, 3)):
        with pytest.raises(ValueError, match="expected a basis"):
            principal_angles(bad, torch.eye(3))


def test_angles_between_lines() -> None:
    turns = torch.tensor([0.0, 1e-9, 0.4, math.pi / 2], dtype=torch.float64)
    first = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(4, 2)
    second = torch.stack([turns.cos(), turns.sin()], dim=1) * torch.tensor([[1.0], [-1.0], [-1.0], [1.0]])
    assert angles_between(first, second).tolist() == pytest.approx(torch.rad2deg(turns).tolist(), rel=1e-9, abs=1e-15)
