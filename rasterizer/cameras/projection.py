"""From a mesh's coordinates to a camera's and to clip space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .camera import Camera

DIAMETER = 1.15
"""Diameter of the sphere that a normalised mesh fits into."""


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
    axes = points.new_tensor([camera.axes for camera in cameras])
    flat = points.reshape(points.shape[0], -1, 3)
    if not vectors:
        flat = flat - points.new_tensor([camera.position for camera in cameras])[:, None]
    # Not a matrix product: those may run in TF32 or half precision where an application has allowed it.
    return torch.stack([(flat * axes[:, None, k]).sum(dim=-1) for k in range(3)], dim=-1).view(points.shape)


def to_clip(vertices: Tensor, cameras: Sequence[Camera], width: int, height: int) -> Tensor:
    """``[B, N, 4]`` float32 clip-space vertices of ``vertices [N, 3]``, one block per camera.

    A vertex nearer than ``near`` becomes NaN, so that the faces it belongs to draw nothing instead of smearing over the
    image: the rasterizer does not clip.

    Depth has 2**18 steps. Hunyuan3D's cameras spread them from their near to their far plane, as it does; other cameras
    from the nearest to the farthest vertex they see, because a viewer's planes may lie a thousand meshes apart. The
    formulas of depth are those of OpenGL's ``glOrtho`` and ``glFrustum``.
    """
    # NDC -1 and +1 are the centres of the outermost pixels, so square pixels need the ratio of the gaps between pixels.
    aspect = max(width - 1, 1) / max(height - 1, 1)
    x, y, toward = to_camera(look_frame(vertices, cameras), cameras).unbind(-1)
    distance = -toward

    def column(values: list[float]) -> Tensor:
        return distance.new_tensor(values)[:, None]

    cut = column([camera.near for camera in cameras])
    near, far = cut, column([camera.far for camera in cameras])
    fitted = column([not camera.normalized for camera in cameras]) > 0
    seen = distance >= cut
    nearest = torch.where(seen, distance, torch.inf).amin(dim=1, keepdim=True)
    farthest = torch.where(seen, distance, -torch.inf).amax(dim=1, keepdim=True)
    margin = (farthest - nearest) * 0.01 + farthest.abs() * 1e-4
    fitted = fitted & torch.isfinite(margin)
    near = torch.where(fitted, torch.maximum(nearest - margin, nearest * 0.5), near)
    far = torch.where(fitted, farthest + margin, far)

    flat = column([camera.half_height is not None for camera in cameras]) > 0
    scale = column([1 / camera.half_extent for camera in cameras])
    depth = torch.where(
        flat,
        distance * (2 / (far - near)) - (far + near) / (far - near),
        distance * ((far + near) / (far - near)) - 2 * far * near / (far - near),
    )
    w = torch.where(flat, torch.ones_like(distance), distance)
    w = torch.where(seen, w, torch.nan)
    return torch.stack((x * (scale / aspect), y * -scale, depth, w), dim=-1).to(torch.float32)
