"""A small ray tracer: one convex object in a room, in light from one side, to the weights of its surfaces' colours.

The rays meet every surface in closed form (A. Glassner, ed., "An Introduction to Ray Tracing", 1989). Each pixel is the
mean of ``SAMPLES²`` rays, and each of these sees the lamp from another point of its disc: edges are antialiased and
shadows soft, with no noise, as all pixels use the same pattern.

World: x to the right, y away from the camera at azimuth 0, z up; the floor is z = 0 and the object stands on the
origin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, sin, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

INF = np.float32(np.inf)

SAMPLES = 4  # a side of a pixel

# The room: walls at x = ±ROOM and y = ROOM, open to the camera.
ROOM = 2.4
# The camera stands at this distance from the object's axis and at this height, and looks at a point above the floor.
DISTANCE, HEIGHT, AIM = 4.6, 2.5, 0.6
ZOOM = 0.38  # tangent of half the angle of view

LIGHT = (-0.45, -0.55, 0.9)  # towards the lamp, at distance 1
LAMP = 0.32  # the lamp's diameter, at distance 1
AMBIENT = 0.42
HIGHLIGHT = 0.45

Array = npt.NDArray[Any]  # of float32, or of bool for a mask
Vector = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Shape:
    """An object in its own coordinates, centred, for a scale of 1.

    Attributes:
        half_height: the floor is this far below the centre.
        radius: how far the object reaches to the sides.
        hit: the ray's parameter where it first meets the surface, ``inf`` where it does not; of origin and direction.
        normal: outward and of length 1, at a point of the surface.
    """

    half_height: float
    radius: float
    hit: Callable[[Vector, Vector], Array]
    normal: Callable[[Vector], Vector]


@dataclass(frozen=True)
class View:
    """The empty room from one side: what every object in it has in common. Each tensor has one value a ray.

    Attributes:
        size: height and width of the picture in pixels.
        origin: of the rays, scalars.
        direction: of the rays, ``(SAMPLES², size²)``.
        point: where they meet the room.
        on_floor: whether that is the floor.
        ambient: light there that comes from everywhere, less in the edges of the room.
        direct: light there that comes from the lamp, if nothing is in the way.
    """

    size: int
    origin: Vector
    direction: Vector
    point: Vector
    on_floor: Array
    ambient: Array
    direct: Array


def view(azimuth: float, size: int) -> View:
    """The empty room, seen from ``azimuth`` (in radians, about the vertical) in ``size`` × ``size`` pixels."""
    origin, direction = _camera(azimuth, size)
    point, on_floor, cosine = _meet_room(origin, direction, _lamp())
    ambient = np.full_like(point[0], AMBIENT)
    for distance in (ROOM - point[0], ROOM + point[0], ROOM - point[1], point[2]):
        near = 1 + np.maximum(distance, 0) * 2.5
        # A surface is at distance 0 of itself everywhere: a constant factor, the same for floor and walls.
        ambient = ambient * (1.16 - 0.36 / (near * near))
    return View(size, origin, direction, point, on_floor, ambient, (1 - AMBIENT) * cosine)


def trace(view: View, shape: str, scale: float) -> Array:
    """Put an object into the room.

    Args:
        view: the room.
        shape: a key of :data:`SHAPES`.
        scale: the object's size.

    Returns:
        Weights ``(4, size, size)``: of the floor's, the walls' and the object's colour (in linear light), and white.
    """
    thing = SHAPES[shape]
    light = _lamp()
    centre = thing.half_height * scale

    def to_object(point: Vector) -> Vector:
        return point[0] / scale, point[1] / scale, (point[2] - centre) / scale

    origin, direction = to_object(view.origin), _scaled(view.direction, 1 / scale)
    distance = thing.hit(origin, direction)
    seen = distance < INF
    lit = thing.hit(to_object(view.point), _scaled(light, 1 / scale)) == INF
    in_room = view.ambient * _open_foot(view.point, thing.radius * scale) + view.direct * lit
    floor, walls = in_room * (view.on_floor & ~seen), in_room * ~(view.on_floor | seen)

    # Only the rays that meet the object, a few of all, are followed further.
    rays = np.flatnonzero(seen)
    direction = _picked(direction, rays)
    light = _picked(tuple(np.broadcast_to(axis, seen.shape) for axis in light), rays)
    surface = _along(origin, direction, distance.ravel()[rays])
    normal = thing.normal(surface)
    cosine = np.maximum(_dot(normal, light), 0)
    above_floor = np.clip((surface[2] * scale + centre) / 0.5, 0, 1)
    ambient = AMBIENT * (0.62 + 0.38 * normal[2]) * (0.7 + 0.3 * above_floor)
    highlight = HIGHLIGHT * _highlight(normal, light, direction) * (cosine > 0)
    planes = [floor, walls]
    for value in (ambient + (1 - AMBIENT) * 1.1 * cosine, highlight):
        plane = np.zeros(seen.size, np.float32)
        plane[rays] = value
        planes.append(plane.reshape(seen.shape))
    return np.stack([_mean(plane) for plane in planes]).reshape(4, view.size, view.size)


def _camera(azimuth: float, size: int) -> tuple[Vector, Vector]:
    """Origin (scalars) and directions ``(SAMPLES², size²)`` of the rays."""
    x, y = DISTANCE * sin(azimuth), -DISTANCE * cos(azimuth)
    length = sqrt(DISTANCE**2 + (HEIGHT - AIM) ** 2)
    forward = (-x / length, -y / length, (AIM - HEIGHT) / length)
    right = (cos(azimuth), sin(azimuth), 0.0)
    up = (
        right[1] * forward[2],
        -right[0] * forward[2],
        right[0] * forward[1] - right[1] * forward[0],
    )
    place = ((np.arange(size * SAMPLES, dtype=np.float32) + 0.5) / (size * SAMPLES) * 2 - 1) * ZOOM
    # axes: sample row, sample column, pixel row, pixel column
    axes = SAMPLES, SAMPLES, size, size
    place = place.reshape(size, SAMPLES).T
    across = np.broadcast_to(place[None, :, None, :], axes).reshape(SAMPLES**2, -1)
    down = np.broadcast_to(place[:, None, :, None], axes).reshape(SAMPLES**2, -1)
    direction = [forward[i] + right[i] * across - up[i] * down for i in range(3)]
    origin = [np.full((1, 1), value, np.float32) for value in (x, y, HEIGHT)]
    return (origin[0], origin[1], origin[2]), (direction[0], direction[1], direction[2])


def _lamp() -> Vector:
    """Direction to the lamp of every sample: ``(SAMPLES², 1)``, length 1."""
    rows, columns = np.divmod(np.arange(SAMPLES**2)[:, None], SAMPLES)
    # Mixed up, so that neighbouring samples of a pixel see distant points of the lamp.
    across = ((rows * 2 + columns) % SAMPLES + 0.5) / SAMPLES - 0.5
    along = ((columns * 2 + rows // 2 + rows) % SAMPLES + 0.5) / SAMPLES - 0.5
    x, y = ((LIGHT[i] + LAMP * at).astype(np.float32) for i, at in enumerate((across, along)))
    z = np.full_like(x, LIGHT[2])
    length = np.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def _meet_room(origin: Vector, direction: Vector, light: Vector) -> tuple[Vector, Array, Array]:
    """Where the rays meet the room, whether that is the floor, and the cosine of the light's angle there."""
    with np.errstate(divide="ignore"):  # a ray along a wall meets it at infinity
        to_side = (np.copysign(np.float32(ROOM), direction[0]) - origin[0]) / direction[0]
        to_back = np.where(direction[1] > 0, (ROOM - origin[1]) / direction[1], INF)
        to_floor = np.where(direction[2] < 0, -origin[2] / direction[2], INF)
    to_wall = np.minimum(to_side, to_back)
    on_floor = to_floor < to_wall
    point = _along(origin, direction, np.minimum(to_floor, to_wall))
    on_side = np.where(direction[0] < 0, light[0], -light[0])
    lit = np.where(on_floor, light[2], np.where(to_side < to_back, on_side, -light[1]))
    return point, on_floor, np.maximum(lit, 0)


def _open_foot(point: Vector, radius: float) -> Array:
    """How much of the ambient light reaches the room about the foot of an object."""
    near = (point[0] * point[0] + point[1] * point[1] + point[2] * point[2]) / (radius * radius)
    openness: Array = 1 - 0.45 / (1 + near * near * 0.5)
    return openness


def _highlight(normal: Vector, light: Vector, direction: Vector) -> Array:
    """Blinn's highlight: the cosine between normal and half-way vector, to the 32nd."""
    length = np.sqrt(_dot(direction, direction))
    half = light[0] - direction[0] / length, light[1] - direction[1] / length, light[2] - direction[2] / length
    cosine = np.maximum(_dot(normal, half) / np.sqrt(_dot(half, half)), 0)
    for _ in range(5):  # products only: a power function may round in other ways elsewhere
        cosine = cosine * cosine
    return cosine


def _mean(samples: Array) -> Array:
    """Mean over the samples of each pixel, added one after the other: ``(SAMPLES², pixels)`` to ``(pixels,)``."""
    total = samples[0]
    for sample in samples[1:]:
        total = total + sample
    mean: Array = total / SAMPLES**2
    return mean


def _along(origin: Vector, direction: Vector, parameter: Array) -> Vector:
    x, y, z = (origin[i] + direction[i] * parameter for i in range(3))
    return x, y, z


def _picked(vector: tuple[Array, ...], rays: npt.NDArray[np.intp]) -> Vector:
    x, y, z = (axis.ravel()[rays] for axis in vector)
    return x, y, z


def _scaled(vector: Vector, factor: float) -> Vector:
    return vector[0] * factor, vector[1] * factor, vector[2] * factor


def _dot(a: Vector, b: Vector) -> Array:
    product: Array = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


# Surfaces. A ray o + t d enters a convex body where it has entered all of the slabs and quadrics that bound it.


def _entry(near: Array, far: Array) -> Array:
    """``near`` where the ray is inside between ``near`` and ``far`` ahead of its origin, else ``inf``."""
    return np.where((near < far) & (near > 0), near, INF)


def _slab(origin: Array, direction: Array, half: float) -> tuple[Array, Array]:
    # a ray along the slab would divide by zero
    direction = np.where(np.abs(direction) < 1e-9, 1e-9, direction)
    middle, reach = -origin / direction, half / np.abs(direction)
    return middle - reach, middle + reach


def _quadric(a: Array, half_b: Array, c: Array) -> tuple[Array, Array]:
    """Roots of a t² + 2 b t + c; equal ones, which bound nothing, where there are none."""
    root = np.sqrt(np.maximum(half_b * half_b - a * c, 0))
    return (-half_b - root) / a, (-half_b + root) / a


def _pillar(o: Vector, d: Vector, radius: float) -> tuple[Array, Array]:
    """An endless vertical cylinder."""
    # a ray along the pillar would divide by zero; with this it enters far behind and leaves far ahead
    squared = np.maximum(d[0] * d[0] + d[1] * d[1], 1e-12)
    return _quadric(squared, o[0] * d[0] + o[1] * d[1], o[0] * o[0] + o[1] * o[1] - radius * radius)


def _ball(o: Vector, d: Vector, radius: float, above: float = 0.0) -> tuple[Array, Array]:
    o = (o[0], o[1], o[2] - above)
    return _quadric(_dot(d, d), _dot(o, d), _dot(o, o) - radius * radius)


CUBE = 0.62  # half an edge
CYLINDER = (0.62, 0.72)  # radius, half the height
SPHERE = 0.8
CAPSULE = (0.52, 0.45)  # radius, half the height of its straight part


def _hit_cube(o: Vector, d: Vector) -> Array:
    slabs = [_slab(o[i], d[i], CUBE) for i in range(3)]
    near = np.maximum(np.maximum(slabs[0][0], slabs[1][0]), slabs[2][0])
    far = np.minimum(np.minimum(slabs[0][1], slabs[1][1]), slabs[2][1])
    return _entry(near, far)


def _normal_cube(p: Vector) -> Vector:
    x, y, z = np.abs(p[0]), np.abs(p[1]), np.abs(p[2])
    on_z = (z >= x) & (z >= y)
    on_x = (x >= y) & ~on_z
    on_y = ~on_x & ~on_z
    return on_x * np.sign(p[0]), on_y * np.sign(p[1]), on_z * np.sign(p[2])


def _hit_cylinder(o: Vector, d: Vector) -> Array:
    side, flat = _pillar(o, d, CYLINDER[0]), _slab(o[2], d[2], CYLINDER[1])
    return _entry(np.maximum(side[0], flat[0]), np.minimum(side[1], flat[1]))


def _normal_cylinder(p: Vector) -> Vector:
    on_flat = np.abs(p[2]) >= CYLINDER[1] * 0.9999
    on_side = ~on_flat
    return on_side * p[0] / CYLINDER[0], on_side * p[1] / CYLINDER[0], on_flat * np.sign(p[2])


def _hit_sphere(o: Vector, d: Vector) -> Array:
    return _entry(*_ball(o, d, SPHERE))


def _normal_sphere(p: Vector) -> Vector:
    return p[0] / SPHERE, p[1] / SPHERE, p[2] / SPHERE


def _hit_capsule(o: Vector, d: Vector) -> Array:
    radius, half = CAPSULE
    side, flat = _pillar(o, d, radius), _slab(o[2], d[2], half)
    straight = _entry(np.maximum(side[0], flat[0]), np.minimum(side[1], flat[1]))
    ends = [_entry(*_ball(o, d, radius, above)) for above in (half, -half)]
    return np.minimum(np.minimum(ends[0], ends[1]), straight)


def _normal_capsule(p: Vector) -> Vector:
    radius, half = CAPSULE
    return p[0] / radius, p[1] / radius, (p[2] - np.clip(p[2], -half, half)) / radius


SHAPES: dict[str, Shape] = {
    "cube": Shape(CUBE, CUBE, _hit_cube, _normal_cube),
    "cylinder": Shape(CYLINDER[1], CYLINDER[0], _hit_cylinder, _normal_cylinder),
    "sphere": Shape(SPHERE, SPHERE, _hit_sphere, _normal_sphere),
    "capsule": Shape(CAPSULE[0] + CAPSULE[1], CAPSULE[0], _hit_capsule, _normal_capsule),
}
