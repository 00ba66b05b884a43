"""Precision, recall, density and coverage: published values, the definition literally, any block."""

import numpy as np
import pytest

from disentangle.metrics import precision_recall

PARTS = ("precision", "recall", "density", "coverage")


def values(result):
    return [getattr(result, part) for part in PARTS]


def test_published_values():
    rng = np.random.default_rng(3)
    rng.standard_normal((60, 16)), rng.standard_normal((50, 16))
    x, y = rng.standard_normal((300, 4)), rng.standard_normal((250, 4)) * 1.3 + 0.4
    # prdc 0.2's compute_prdc with y as the real features
    for k, expected in (
        (3, [0.9866666666666667, 0.804, 1.181111111111111, 0.82]),
        (5, [0.9966666666666667, 0.876, 1.1626666666666667, 0.912]),
    ):
        for block in (1024, 7, 1):
            assert values(precision_recall(x, y, k, block=block)) == pytest.approx(expected, rel=1e-12)
    # far from the origin, and for another order of the samples, too
    assert values(precision_recall(x[::-1] + 1e4, y[::-1] + 1e4, 5)) == pytest.approx(expected, rel=1e-12)


def test_four_points_on_a_line():
    # Real 0, 1, 3, 7 with k = 1: radii 1, 1, 2, 4. Generated 0.5, 4, 20: radii 3.5, 3.5, 16.
    result = precision_recall(np.array([[0.5], [4], [20]]), np.array([[0.0], [1], [3], [7]]), 1)
    # 0.5 lies in the balls of 0 and 1, 4 in those of 3 and 7, 20 in none
    assert values(result) == pytest.approx([2 / 3, 1, 4 / 3, 1])


def test_edges():
    x = np.random.default_rng(0).standard_normal((20, 3))
    same = precision_recall(x, x, 3)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    far = precision_recall(x + 100, x, 3)
    assert values(far) == [0, 0, 0, 0]
    constant = precision_recall(np.ones((5, 2)), np.ones((6, 2)))
    assert values(constant) == [0, 0, 0, 0]  # balls of radius 0 hold nothing
    assert constant.k == 4
    repeated = precision_recall(x, np.repeat(x, 4, axis=0) + 1 / 3, 3)
    assert (repeated.precision, repeated.coverage) == (0, 0)
    assert precision_recall(x[:2], x[:2], 1).k == 1


def test_interval():
    rng = np.random.default_rng(1)
    result = precision_recall(rng.standard_normal((400, 2)), rng.standard_normal((400, 2)) + 1)
    low, high = result.interval_of("coverage")
    assert 0 < low < result.coverage < high <= 1
    assert high - low < 0.3
    assert result.interval_of("density")[1] > result.density
    assert precision_recall(np.eye(3), np.eye(3)).interval == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(3), np.ones((3, 2))), "3 and 2"),
        ((np.eye(3)[:1], np.eye(3)), "got 1, 5"),
        ((np.eye(3), np.eye(3), 0), "got 3, 0"),
        ((np.full((3, 3), np.inf), np.eye(3)), "x must be finite"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        precision_recall(*arguments)
