"""Cameras, and the way from a mesh to clip space.

A mesh is right-handed and Y-up (glTF). ``azimuth`` 0 looks from the front (+Z), 90 from +X; ``elevation`` 90 from
above. Images are upright: row 0 is the top, which is why clip-space y points down here.

Hunyuan3D's cameras look at the mesh *normalised*: its bounding box centred and the mesh scaled until the farthest
vertex is 0.575 from the origin (diameter 1.15). ComfyUI's own cameras look at the mesh as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..contract.checks import is_finite

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A camera, in the frame it looks at.

    Attributes:
        position: where it stands.
        right, up, forward: its axes, of unit length and pairwise perpendicular.
        half_height: half of what an orthographic camera sees vertically, in mesh units; None for perspective.
        fov: vertical angle of a perspective camera, degrees.
        near: what is nearer is not drawn.
        far: what is farther is drawn all the same; together with ``near`` it sets the depth range, see :func:`to_clip`.
        normalized: whether it looks at the normalised mesh.
        weight: weight of this view when baking.

    Raises:
        ValueError: a number that no camera can have.
    """

    position: Vector
    right: Vector
    up: Vector
    forward: Vector
    half_height: float | None = 0.6
    fov: float = 49.13
    near: float = 0.1
    far: float = 100.0
    normalized: bool = True
    weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("position", "right", "up", "forward"):
            _check_numbers(getattr(self, name), 3, f"camera: {name}")
        for name in ("near", "far", "weight"):
            _check_number(getattr(self, name), f"camera: {name}")
        if self.half_height is not None and not (is_finite(self.half_height) and self.half_height > 0):
            raise ValueError(f"camera: half_height is {self.half_height!r}, expected more than 0, or None")
        if self.half_height is None and not (is_finite(self.fov) and 0 < self.fov < 180):
            raise ValueError(f"camera: a fov of {self.fov} degrees, expected more than 0 and less than 180")
        if not self.near < self.far or (self.half_height is None and not self.near > 0):
            raise ValueError(f"camera: near {self.near} and far {self.far}, expected near below far, and above 0")

    @property
    def axes(self) -> tuple[Vector, Vector, Vector]:
        """Of camera space: right, up, and toward the camera."""
        return self.right, self.up, _vector(-value for value in self.forward)

    @property
    def half_extent(self) -> float:
        """Half of what it sees vertically, in perspective at distance 1."""
        return self.half_height or math.tan(math.radians(self.fov) / 2)


def orbit_camera(
    azimuth: float,
    elevation: float,
    distance: float = 1.45,
    *,
    ortho_scale: float | None = 1.2,
    fov: float = 49.13,
    weight: float = 1.0,
) -> Camera:
    """Hunyuan3D's camera: on a sphere around the normalised mesh, looking at its centre.

    Args:
        azimuth, elevation: degrees.
        distance: from the centre.
        ortho_scale: width and height that an orthographic camera sees; None for perspective.
        fov: vertical angle of a perspective camera, degrees.
        weight: weight of this view when baking.

    Raises:
        ValueError: something that is no number, or that no camera can have; the text names it.
    """
    for name, value in (("azimuth", azimuth), ("elevation", elevation), ("distance", distance), ("weight", weight)):
        _check_number(value, name)
    if ortho_scale is not None and not (is_finite(ortho_scale) and ortho_scale > 0):
        raise ValueError(f"ortho_scale: is {ortho_scale!r}, expected a number above 0, or None for perspective")
    cos_a, sin_a = _cos_sin(azimuth)
    cos_e, sin_e = _cos_sin(elevation)
    return Camera(
        position=(distance * cos_e * sin_a, distance * sin_e, distance * cos_e * cos_a),
        right=(cos_a, 0.0, -sin_a),
        up=(-sin_e * sin_a, cos_e, -sin_e * cos_a),
        forward=(-cos_e * sin_a, -sin_e, -cos_e * cos_a),
        half_height=None if ortho_scale is None else ortho_scale / 2,
        fov=fov,
        near=0.1 if ortho_scale is not None else 0.01,
        weight=weight,
    )


def look_at(
    position: Vector,
    target: Vector,
    *,
    half_height: float | None = None,
    fov: float = 40.0,
    near: float = 0.01,
    far: float = 1000.0,
) -> Camera:
    """A camera at ``position`` looking at ``target`` in the mesh's own frame, Y up.

    Raises:
        ValueError: something that is no number, or that no camera can have; the text names it.
    """
    _check_numbers(position, 3, "position")
    _check_numbers(target, 3, "target")
    direction = _vector(t - p for p, t in zip(position, target, strict=True))
    length = math.hypot(*direction)
    if not length > 0 or not math.isfinite(length):
        raise ValueError(f"camera: position {position} and target {target} give no direction to look in")
    forward = _vector(value / length for value in direction)
    level = math.hypot(forward[0], forward[2])
    # Straight up or down there is no level direction: keep "right" at +X, as an orbit camera does at azimuth 0.
    right = (1.0, 0.0, 0.0) if level < 1e-9 else (-forward[2] / level, 0.0, forward[0] / level)
    up = _cross(right, forward)
    return Camera(_vector(position), right, up, forward, half_height, fov, near, far, normalized=False)


def turned(camera: Camera, quaternion: tuple[float, float, float, float]) -> Camera:
    """The camera with its axes given by a rotation ``(x, y, z, w)`` of right +X, up +Y, looking along -Z.

    The axes are columns of the quaternion's matrix (Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH
    1985).

    Raises:
        ValueError: the quaternion is zero or not finite.
    """
    _check_numbers(quaternion, 4, "quaternion")
    length = math.hypot(*quaternion)
    if not 0 < length < math.inf:
        raise ValueError(f"camera: quaternion {quaternion}, expected a rotation")
    x, y, z, w = (value / length for value in quaternion)
    right = (1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w))
    up = (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w))
    return replace(camera, right=right, up=up, forward=_cross(up, right))


def orbit_quaternion(azimuth: float, elevation: float) -> tuple[float, float, float, float]:
    """The rotation ``(x, y, z, w)`` by which :func:`turned` gives a camera the axes of :func:`orbit_camera`."""
    yaw, pitch = math.radians(azimuth) / 2, -math.radians(elevation) / 2
    across = math.sin(pitch)
    along = math.cos(pitch)
    return (math.cos(yaw) * across, math.sin(yaw) * along, -math.sin(yaw) * across, math.cos(yaw) * along)


def _vector(values: Iterable[float]) -> Vector:
    x, y, z = values
    return x, y, z


def _check_number(value: object, name: str) -> None:
    if not is_finite(value):
        raise ValueError(f"{name}: is {value!r}, expected a finite number")


def _check_numbers(values: Any, count: int, name: str) -> None:
    try:
        fits = len(values) == count and all(map(is_finite, values))
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: is {values!r}, expected {count} finite numbers")


def _cos_sin(degrees: float) -> tuple[float, float]:
    # Exact, unlike cos(pi/2).
    quarter: dict[float, tuple[float, float]] = {0: (1.0, 0.0), 90: (0.0, 1.0), 180: (-1.0, 0.0), 270: (0.0, -1.0)}
    # Small integers of NumPy know no 360.
    turned = (degrees if isinstance(degrees, (int, float)) else float(degrees)) % 360
    if turned in quarter:
        return quarter[turned]
    return math.cos(math.radians(turned)), math.sin(math.radians(turned))


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
