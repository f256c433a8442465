"""Cameras, and the way from a mesh to clip space.

A mesh is right-handed and Y-up (glTF). ``azimuth`` 0 looks from the front (+Z), 90 from +X; ``elevation`` 90 from
above. Images are upright: row 0 is the top, which is why clip-space y points down here.

Hunyuan3D's cameras look at the mesh *normalised*: its bounding box centred and the mesh scaled until the farthest
vertex is 0.575 from the origin (diameter 1.15). ComfyUI's own cameras look at the mesh as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DIAMETER = 1.15
"""Diameter of the sphere that a normalised mesh fits into."""

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A camera. All vectors are unit length and in the frame the camera looks at.

    Attributes:
        position: where it stands.
        right, up, forward: its axes, pairwise perpendicular.
        half_height: half of what an orthographic camera sees vertically, in mesh units; None for perspective.
        fov: vertical angle of a perspective camera, degrees.
        near, far: distances that map to NDC depth -1 and +1. What is nearer than ``near`` is not drawn.
        normalized: whether it looks at the normalised mesh.
        weight: weight of this view when baking.
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
    """
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
    """A camera at ``position`` looking at ``target`` in the mesh's own frame, Y up."""
    direction = tuple(t - p for p, t in zip(position, target, strict=True))
    length = math.hypot(*direction)
    if not length > 0 or not math.isfinite(length):
        raise ValueError(f"camera: position {position} and target {target} give no direction to look in")
    forward = tuple(value / length for value in direction)
    level = math.hypot(forward[0], forward[2])
    # Straight up or down there is no level direction: keep "right" at +X, as an orbit camera does at azimuth 0.
    right = (1.0, 0.0, 0.0) if level < 1e-9 else (-forward[2] / level, 0.0, forward[0] / level)
    up = _cross(right, forward)
    return Camera(tuple(position), right, up, forward, half_height, fov, near, far, normalized=False)


def normalization(vertices: Tensor) -> tuple[Tensor, Tensor]:
    """Centre ``[3]`` and scale ``[]`` that normalise a mesh: ``(vertices - centre) * scale``."""
    finite = torch.where(torch.isfinite(vertices), vertices, torch.zeros_like(vertices))
    centre = (finite.amax(dim=0) + finite.amin(dim=0)) / 2
    radius = (finite - centre).norm(dim=1).max()
    return centre, DIAMETER / (2 * radius).clamp(min=1e-20)


def look_frame(vertices: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """``[B, N, 3]`` vertices in the frame each camera looks at."""
    centre, scale = normalization(vertices)
    normalized = (vertices - centre) * scale
    return torch.stack([normalized if camera.normalized else vertices for camera in cameras])


def to_camera(points: Tensor, cameras: Sequence[Camera], *, vectors: bool = False) -> Tensor:
    """``[B, ..., 3]`` points in the look frame to camera space: right, up, and toward the camera.

    With ``vectors`` the camera's position is left out, for normals.
    """
    axes = points.new_tensor([[camera.right, camera.up, [-f for f in camera.forward]] for camera in cameras])
    flat = points.reshape(points.shape[0], -1, 3)
    if not vectors:
        flat = flat - points.new_tensor([camera.position for camera in cameras])[:, None]
    # Not a matrix product: those may run in TF32 or half precision where an application has allowed it.
    return torch.stack([(flat * axes[:, None, k]).sum(dim=-1) for k in range(3)], dim=-1).view(points.shape)


def to_clip(vertices: Tensor, cameras: Sequence[Camera], width: int, height: int) -> Tensor:
    """``[B, N, 4]`` float32 clip-space vertices of ``vertices [N, 3]``, one block per camera.

    A vertex nearer than ``near`` becomes NaN, so that the faces it belongs to draw nothing instead of smearing over the
    image: the rasterizer does not clip.
    """
    # NDC -1 and +1 are the centres of the outermost pixels, so square pixels need the ratio of the gaps between pixels.
    aspect = max(width - 1, 1) / max(height - 1, 1)
    x, y, toward = to_camera(look_frame(vertices, cameras), cameras).unbind(-1)
    distance = -toward
    planes = []
    for camera in cameras:
        near, far = camera.near, camera.far
        if camera.half_height is not None:
            up = 1 / camera.half_height
            planes.append((up / aspect, -up, 2 / (far - near), -(far + near) / (far - near), 0.0, 1.0))
        else:
            up = 1 / math.tan(math.radians(camera.fov) / 2)
            planes.append((up / aspect, -up, (far + near) / (far - near), -2 * far * near / (far - near), 1.0, 0.0))
    scale_x, scale_y, z_scale, z_shift, w_scale, w_shift = x.new_tensor(planes).t()[:, :, None]
    near = x.new_tensor([camera.near for camera in cameras])[:, None]
    z = distance * z_scale + z_shift
    w = torch.where(distance >= near, distance * w_scale + w_shift, torch.nan)
    return torch.stack((x * scale_x, y * scale_y, z, w), dim=-1).to(torch.float32)


def _cos_sin(degrees: float) -> tuple[float, float]:
    quarter = {0: (1.0, 0.0), 90: (0.0, 1.0), 180: (-1.0, 0.0), 270: (0.0, -1.0)}  # exact, unlike cos(pi/2)
    turned = degrees % 360
    if turned in quarter:
        return quarter[turned]
    return math.cos(math.radians(turned)), math.sin(math.radians(turned))


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
