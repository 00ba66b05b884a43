"""A small ray tracer: one convex object in a room, in light from one side, to the weights of its surfaces' colours.

The rays meet every surface in closed form (A. Glassner, ed., "An Introduction to Ray Tracing", 1989). Each pixel is the mean
of ``SAMPLES²`` rays, and each of these sees the lamp from another point of its disc: edges are antialiased and shadows soft,
with no noise, as all pixels use the same pattern.

World: x to the right, y away from the camera at azimuth 0, z up; the floor is z = 0 and the object stands on the origin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, inf, sin, sqrt

import torch
from torch import Tensor

SAMPLES = 4  # a side of a pixel

# The room: walls at x = ±ROOM and y = ROOM, open to the camera.
ROOM = 2.6
# The camera stands at this distance from the object's axis and at this height, and looks at a point above the floor.
DISTANCE, HEIGHT, AIM = 4.6, 2.5, 0.55
VIEW = 0.42  # tangent of half the angle of view

LIGHT = (-0.45, -0.55, 0.9)  # towards the lamp, at distance 1
LAMP = 0.32  # the lamp's diameter, at distance 1
AMBIENT = 0.42
HIGHLIGHT = 0.45

Vector = tuple[Tensor, Tensor, Tensor]


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
    hit: Callable[[Vector, Vector], Tensor]
    normal: Callable[[Vector], Vector]


def trace(shape: str, scale: float, azimuth: float, size: int) -> Tensor:
    """Trace one geometry.

    Args:
        shape: a key of :data:`SHAPES`.
        scale: the object's size.
        azimuth: of the camera about the vertical, in radians.
        size: height and width in pixels.

    Returns:
        Weights ``(4, size, size)``: of the floor's, the walls' and the object's colour (in linear light), and white.
    """
    thing = SHAPES[shape]
    origin, direction = _camera(azimuth, size)
    light = _lamp(size * size)
    centre = thing.half_height * scale

    def to_object(point: Vector) -> Vector:
        return point[0] / scale, point[1] / scale, (point[2] - centre) / scale

    local_origin, local_direction = to_object(origin), _scaled(direction, 1 / scale)
    to_thing = thing.hit(local_origin, local_direction)
    seen = to_thing < inf

    point, on_floor, lit = _room(origin, direction, light)
    shadow = thing.hit(to_object(point), _scaled(light, 1 / scale)) < inf
    light_on_room = _room_ambient(point, thing.radius * scale) + (1 - AMBIENT) * lit * ~shadow
    floor = light_on_room * (on_floor & ~seen)
    walls = light_on_room * (~on_floor & ~seen)

    # Where the object is not hit, any finite parameter will do: the result is not used.
    surface = _along(local_origin, local_direction, torch.where(seen, to_thing, 0.0))
    normal = thing.normal(surface)
    lit = _dot(normal, light).clamp(min=0)
    from_floor = ((surface[2] * scale + centre) / 0.5).clamp(0, 1)
    ambient = AMBIENT * (0.62 + 0.38 * normal[2]) * (0.7 + 0.3 * from_floor)
    thing_light = (ambient + (1 - AMBIENT) * 1.1 * lit) * seen
    highlight = HIGHLIGHT * _highlight(normal, light, direction) * (lit > 0) * seen

    weights = [_mean(plane, size) for plane in (floor, walls, thing_light, highlight)]
    return torch.stack(weights)


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
    place = ((torch.arange(size * SAMPLES) + 0.5) / (size * SAMPLES) * 2 - 1) * VIEW
    # axes: sample row, sample column, pixel row, pixel column
    place = place.view(size, SAMPLES).mT
    across = place[None, :, None, :].expand(SAMPLES, SAMPLES, size, size).reshape(SAMPLES**2, -1)
    down = place[:, None, :, None].expand(SAMPLES, SAMPLES, size, size).reshape(SAMPLES**2, -1)
    direction = [forward[i] + right[i] * across - up[i] * down for i in range(3)]
    origin = [torch.tensor(value, dtype=torch.float32) for value in (x, y, HEIGHT)]
    return (origin[0], origin[1], origin[2]), (direction[0], direction[1], direction[2])


def _lamp(pixels: int) -> Vector:
    """Direction to the lamp of every sample: ``(SAMPLES², 1)``, length 1."""
    rows, columns = torch.meshgrid(torch.arange(SAMPLES), torch.arange(SAMPLES), indexing="ij")
    # Mixed up, so that neighbouring samples of a pixel see distant points of the lamp.
    across = (((rows * 2 + columns) % SAMPLES + 0.5) / SAMPLES - 0.5) * LAMP
    along = (((columns * 2 + rows // 2 + rows) % SAMPLES + 0.5) / SAMPLES - 0.5) * LAMP
    x, y, z = LIGHT[0] + across.view(-1, 1), LIGHT[1] + along.view(-1, 1), torch.tensor(LIGHT[2])
    length = (x * x + y * y + z * z).sqrt()
    return x / length, y / length, z / length


def _room(origin: Vector, direction: Vector, light: Vector) -> tuple[Vector, Tensor, Tensor]:
    """Where the rays meet the room, whether that is the floor, and the cosine of the light's angle there."""
    to_side = (torch.where(direction[0] < 0, -ROOM, ROOM) - origin[0]) / direction[0]
    to_back = torch.where(direction[1] > 0, (ROOM - origin[1]) / direction[1], inf)
    to_floor = torch.where(direction[2] < 0, -origin[2] / direction[2], inf)
    to_wall = torch.minimum(to_side, to_back)
    on_floor = to_floor < to_wall
    point = _along(origin, direction, torch.minimum(to_floor, to_wall))
    on_side = torch.where(direction[0] < 0, light[0], -light[0])
    lit = torch.where(on_floor, light[2], torch.where(to_side < to_back, on_side, -light[1]))
    return point, on_floor, lit.clamp(min=0)


def _room_ambient(point: Vector, radius: float) -> Tensor:
    """Ambient light in the room: less in its edges and about the foot of the object."""
    x, y, z = point
    ambient = torch.tensor(AMBIENT)
    for distance in (ROOM - x, ROOM + x, ROOM - y, z):
        near = 1 + distance.clamp(min=0) * 2.5
        # A surface is at distance 0 of itself everywhere: a constant factor, the same for floor and walls.
        ambient = ambient * (1.16 - 0.36 / (near * near))
    foot = (x * x + y * y + z * z) / (radius * radius)
    return ambient * (1 - 0.45 / (1 + foot * foot * 0.5))


def _highlight(normal: Vector, light: Vector, direction: Vector) -> Tensor:
    """Blinn's highlight: the cosine between normal and half-way vector, to the 32nd."""
    length = _dot(direction, direction).sqrt()
    half = tuple(light[i] - direction[i] / length for i in range(3))
    cosine = (_dot(normal, (half[0], half[1], half[2])) / _dot(half, half).sqrt()).clamp(min=0)  # type: ignore[arg-type]
    for _ in range(5):  # products only: a power function may round in other ways elsewhere
        cosine = cosine * cosine
    return cosine


def _mean(samples: Tensor, size: int) -> Tensor:
    """Mean over the samples of a pixel, added one after the other: ``(SAMPLES², size²)`` to ``(size, size)``."""
    total = samples[0]
    for sample in samples[1:]:
        total = total + sample
    return (total / SAMPLES**2).view(size, size)


def _along(origin: Vector, direction: Vector, parameter: Tensor) -> Vector:
    x, y, z = (origin[i] + direction[i] * parameter for i in range(3))
    return x, y, z


def _scaled(vector: Vector, factor: float) -> Vector:
    return vector[0] * factor, vector[1] * factor, vector[2] * factor


def _dot(a: Vector, b: Vector) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


# Surfaces. A ray o + t d enters a convex body where it has entered all of the slabs and quadrics that bound it.


def _entry(near: Tensor, far: Tensor) -> Tensor:
    """``near`` where the ray is inside between ``near`` and ``far`` ahead of its origin, else ``inf``; NaN is a miss."""
    return torch.where((near < far) & (near > 0), near, inf)


def _slab(origin: Tensor, direction: Tensor, half: float) -> tuple[Tensor, Tensor]:
    # a ray along the slab would divide by zero
    direction = torch.where(direction.abs() < 1e-9, 1e-9, direction)
    middle, reach = -origin / direction, half / direction.abs()
    return middle - reach, middle + reach


def _quadric(a: Tensor, half_b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Roots of a t² + 2 b t + c, NaN where there is none."""
    root = (half_b * half_b - a * c).sqrt()
    return (-half_b - root) / a, (-half_b + root) / a


def _pillar(o: Vector, d: Vector, radius: float) -> tuple[Tensor, Tensor]:
    """An endless vertical cylinder."""
    return _quadric(d[0] * d[0] + d[1] * d[1], o[0] * d[0] + o[1] * d[1], o[0] * o[0] + o[1] * o[1] - radius * radius)


def _ball(o: Vector, d: Vector, radius: float, above: float = 0.0) -> tuple[Tensor, Tensor]:
    o = (o[0], o[1], o[2] - above)
    return _quadric(_dot(d, d), _dot(o, d), _dot(o, o) - radius * radius)


CUBE = 0.62  # half an edge
CYLINDER = (0.62, 0.78)  # radius, half the height
SPHERE = 0.8
CAPSULE = (0.52, 0.56)  # radius, half the height of its straight part


def _hit_cube(o: Vector, d: Vector) -> Tensor:
    slabs = [_slab(o[i], d[i], CUBE) for i in range(3)]
    near = torch.maximum(torch.maximum(slabs[0][0], slabs[1][0]), slabs[2][0])
    far = torch.minimum(torch.minimum(slabs[0][1], slabs[1][1]), slabs[2][1])
    return _entry(near, far)


def _normal_cube(p: Vector) -> Vector:
    x, y, z = p[0].abs(), p[1].abs(), p[2].abs()
    on_z = (z >= x) & (z >= y)
    on_x = (x >= y) & ~on_z
    on_y = ~on_x & ~on_z
    return on_x * p[0].sign(), on_y * p[1].sign(), on_z * p[2].sign()


def _hit_cylinder(o: Vector, d: Vector) -> Tensor:
    side, flat = _pillar(o, d, CYLINDER[0]), _slab(o[2], d[2], CYLINDER[1])
    return _entry(torch.maximum(side[0], flat[0]), torch.minimum(side[1], flat[1]))


def _normal_cylinder(p: Vector) -> Vector:
    on_flat = p[2].abs() >= CYLINDER[1] * 0.9999
    on_side = ~on_flat
    return on_side * p[0] / CYLINDER[0], on_side * p[1] / CYLINDER[0], on_flat * p[2].sign()


def _hit_sphere(o: Vector, d: Vector) -> Tensor:
    return _entry(*_ball(o, d, SPHERE))


def _normal_sphere(p: Vector) -> Vector:
    return p[0] / SPHERE, p[1] / SPHERE, p[2] / SPHERE


def _hit_capsule(o: Vector, d: Vector) -> Tensor:
    radius, half = CAPSULE
    side, flat = _pillar(o, d, radius), _slab(o[2], d[2], half)
    straight = _entry(torch.maximum(side[0], flat[0]), torch.minimum(side[1], flat[1]))
    ends = [_entry(*_ball(o, d, radius, above)) for above in (half, -half)]
    return torch.minimum(torch.minimum(ends[0], ends[1]), straight)


def _normal_capsule(p: Vector) -> Vector:
    radius, half = CAPSULE
    return p[0] / radius, p[1] / radius, (p[2] - p[2].clamp(-half, half)) / radius


SHAPES: dict[str, Shape] = {
    "cube": Shape(CUBE, CUBE, _hit_cube, _normal_cube),
    "cylinder": Shape(CYLINDER[1], CYLINDER[0], _hit_cylinder, _normal_cylinder),
    "sphere": Shape(SPHERE, SPHERE, _hit_sphere, _normal_sphere),
    "capsule": Shape(CAPSULE[0] + CAPSULE[1], CAPSULE[0], _hit_capsule, _normal_capsule),
}
