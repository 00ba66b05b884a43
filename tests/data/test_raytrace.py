"""Where rays meet the objects, against signed distances to them, which are written here in another way."""

from collections.abc import Callable

import numpy as np
import pytest

from disentangle.data.raytrace import CAPSULE, CUBE, CYLINDER, INF, SHAPES, SPHERE

Array = np.ndarray


def cube(p: Array) -> Array:
    q = np.abs(p) - CUBE
    return np.linalg.norm(np.maximum(q, 0), axis=0) + np.minimum(q.max(0), 0)


def cylinder(p: Array) -> Array:
    q = np.stack([np.hypot(p[0], p[1]) - CYLINDER[0], np.abs(p[2]) - CYLINDER[1]])
    return np.linalg.norm(np.maximum(q, 0), axis=0) + np.minimum(q.max(0), 0)


def sphere(p: Array) -> Array:
    return np.linalg.norm(p, axis=0) - SPHERE


def capsule(p: Array) -> Array:
    nearest = np.clip(p[2], -CAPSULE[1], CAPSULE[1])
    return np.linalg.norm(np.stack([p[0], p[1], p[2] - nearest]), axis=0) - CAPSULE[0]


DISTANCES: dict[str, Callable[[Array], Array]] = {
    "cube": cube,
    "cylinder": cylinder,
    "sphere": sphere,
    "capsule": capsule,
}


def rays(n: int = 4000) -> tuple[Array, Array]:
    """Origins at distance 4 and directions towards points near the object, ``(3, n)``; half are parallel to an axis."""
    random = np.random.default_rng(0)
    origin = random.normal(size=(3, n))
    origin *= 4 / np.linalg.norm(origin, axis=0)
    direction = random.uniform(-1.3, 1.3, (3, n)) - origin
    for axis in range(3):
        those = slice(axis * n // 6, (axis + 1) * n // 6)
        direction[:, those] = 0
        direction[axis, those] = -np.sign(origin[axis, those])
        origin[:, those] = random.uniform(-1.2, 1.2, origin[:, those].shape)
        origin[axis, those] = -4 * direction[axis, those]
    return origin.astype(np.float32), direction.astype(np.float32)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_ray_meets_the_surface_where_it_first_enters(name: str) -> None:
    origin, direction = rays()
    reached = SHAPES[name].hit(tuple(origin), tuple(direction))
    hit = reached < INF
    assert 0.2 < hit.mean() < 0.8
    origin, direction = origin.astype(float), direction.astype(float)
    point = origin + direction * np.where(hit, reached, 0)
    assert np.abs(DISTANCES[name](point[:, hit])).max() < 1e-5
    # walk along every ray: before the hit, and where there is none, it is never inside
    last = np.where(hit, reached, 12 / np.linalg.norm(direction, axis=0))
    for part in np.linspace(0, 0.999, 300):
        assert DISTANCES[name](origin + direction * last * part).min() > -2e-3


@pytest.mark.parametrize("name", DISTANCES)
def test_nothing_behind_the_origin_is_met(name: str) -> None:
    origin, direction = rays()
    away = SHAPES[name].hit(tuple(origin), tuple(-direction))
    assert (away == INF).all()


@pytest.mark.parametrize("name", DISTANCES)
def test_normals_are_the_gradient_of_the_distance(name: str) -> None:
    origin, direction = rays()
    reached = SHAPES[name].hit(tuple(origin), tuple(direction))
    hit = reached < INF
    point = (origin + direction * np.where(hit, reached, 0))[:, hit]
    normal = np.stack(SHAPES[name].normal(tuple(point))).astype(float)
    assert np.linalg.norm(normal, axis=0) == pytest.approx(1, abs=1e-5)
    outside = point.astype(float) + 1e-3 * normal
    step = 1e-6
    gradient = np.stack(
        [
            DISTANCES[name](outside + step * unit[:, None]) - DISTANCES[name](outside - step * unit[:, None])
            for unit in np.eye(3)
        ]
    ) / (2 * step)
    agree = (normal * gradient).sum(0)
    assert (agree > 0.999).mean() > 0.99  # but for the few points on an edge, where two normals are as good
    assert agree.min() > 0.6


@pytest.mark.parametrize("name", DISTANCES)
def test_the_object_stands_on_the_floor_and_is_as_wide_as_it_says(name: str) -> None:
    foot = np.array([[0.0], [0.0], [-SHAPES[name].half_height]])
    side = np.array([[SHAPES[name].radius], [0.0], [0.0]])
    assert DISTANCES[name](foot) == pytest.approx(0, abs=1e-9)
    assert DISTANCES[name](side) == pytest.approx(0, abs=1e-9)
