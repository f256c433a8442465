"""From a mesh's coordinates to a camera's and to clip space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..runtime.devices import sent
from .camera import Camera

DIAMETER = 1.15
"""Diameter of the sphere that a normalised mesh fits into."""


class Frame(NamedTuple):
    """What normalises a mesh: ``(vertices - centre) * scale``.

    Attributes:
        centre: ``[3]``.
        scale: ``[]``.
    """

    centre: Tensor
    scale: Tensor

    def to(self, device: torch.device | str) -> Frame:
        """The same on another device."""
        return Frame(*(part.to(device) for part in self))


def normalization(vertices: Tensor) -> Frame:
    """The frame of a mesh that Hunyuan3D's cameras look at; of its finite coordinates."""
    finite = vertices.nan_to_num(0.0, 0.0, 0.0)
    centre = (finite.amax(dim=0) + finite.amin(dim=0)) / 2
    radius = (finite - centre).norm(dim=1).max()
    return Frame(centre, DIAMETER / (2 * radius).clamp(min=1e-20))


def look_frame(vertices: Tensor, cameras: Sequence[Camera], frame: Frame | None = None) -> Tensor:
    """``[B, N, 3]`` vertices in the frame each camera looks at; they share memory where all look at the same.

    ``frame`` is their :func:`normalization`, where that is known.
    """
    every = [camera.normalized for camera in cameras]
    if not any(every):
        return vertices.expand(len(cameras), -1, -1)
    centre, scale = frame or normalization(vertices)
    normalized = (vertices - centre) * scale
    if all(every):
        return normalized.expand(len(cameras), -1, -1)
    return torch.stack([normalized if one else vertices for one in every])


def to_camera(points: Tensor, cameras: Sequence[Camera], *, vectors: bool = False) -> Tensor:
    """``[B, ..., 3]`` points in the look frame to camera space: right, up, and toward the camera.

    With ``vectors`` the camera's position is left out, for normals.
    """
    flat, table = points.reshape(points.shape[0], -1, 3), sent(_poses(cameras, points.dtype), points.device)
    turned = _turned(flat if vectors else flat - table[:, 3:], table)
    return turned.transpose(1, 2).contiguous().view(points.shape)


def _poses(cameras: Sequence[Camera], dtype: torch.dtype) -> Tensor:
    """``[B, 4, 3]`` axes and position of each camera, on the CPU."""
    return torch.tensor([(*camera.axes, camera.position) for camera in cameras], dtype=dtype, device="cpu")


def _turned(points: Tensor, poses: Tensor) -> Tensor:
    """``[B, 3, N]`` of ``points [B, N, 3]``, how far they are along each axis.

    Not a matrix product: those may run in TF32 or half precision where an application has allowed it.
    """
    x, y, z = points[:, None].unbind(-1)
    one, two, three = poses[:, :3, :, None].unbind(2)
    # 0 is added as sums begin with it: -0 becomes 0.
    return (x * one + 0.0).add_(y * two).add_(z * three)


def to_clip(vertices: Tensor, cameras: Sequence[Camera], width: int, height: int, frame: Frame | None = None) -> Tensor:
    """``[B, N, 4]`` float32 clip-space vertices of ``vertices [N, 3]``, one block per camera.

    A vertex nearer than ``near`` becomes NaN, so that the faces it belongs to draw nothing instead of smearing over the
    image: the rasterizer does not clip.

    Depth has 2**18 steps. Hunyuan3D's cameras spread them from their near to their far plane, as it does; other cameras
    from the nearest to the farthest vertex they see, because a viewer's planes may lie a thousand meshes apart. The
    formulas of depth are those of OpenGL's ``glOrtho`` and ``glFrustum``.

    ``frame`` is the vertices' :func:`normalization`, where that is known.
    """
    table = sent(camera_table(cameras, width, height, vertices.dtype), vertices.device)
    poses = table[:, :12].unflatten(1, (4, 3))
    near, far, slope, shift, fitted, flat, across, down = table[:, 12:, None].unbind(1)
    x, y, toward = _turned(look_frame(vertices, cameras, frame) - poses[:, 3:], poses).unbind(1)
    distance = -toward
    seen, flat = distance >= near, flat > 0
    if not all(camera.normalized for camera in cameras):
        near, far = _fitted(distance, seen, fitted > 0, near, far)
        slope, shift = _depth_terms(near, far, flat)
    w = torch.where(flat, 1.0, distance)
    w = torch.where(seen, w, torch.nan)
    return torch.stack((x * across, y * down, distance * slope - shift, w), dim=-1).to(torch.float32)


def camera_table(cameras: Sequence[Camera], width: int, height: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """``[B, 20]`` on the CPU, all that :func:`to_clip` knows of cameras, to travel to a GPU at once.

    Each row is the axes and the position (12 numbers), near, far, slope and shift of depth, whether near and far are to
    be fitted, which is so where the mesh is not normalised, whether the view is orthographic, and what x and y are
    multiplied by.
    """
    # NDC -1 and +1 are the centres of the outermost pixels, so square pixels need the ratio of the gaps between pixels.
    aspect = max(width - 1, 1) / max(height - 1, 1)
    rows = [
        (camera.near, camera.far, not camera.normalized, camera.half_height is not None, 1 / camera.half_extent)
        for camera in cameras
    ]
    near, far, fitted, flat, scale = torch.tensor(rows, dtype=dtype, device="cpu").unbind(1)
    numbers = (near, far, *_depth_terms(near, far, flat), fitted, flat, scale / aspect, -scale)
    return torch.cat((_poses(cameras, dtype).flatten(1), torch.stack(numbers, dim=1)), dim=1)


def _fitted(distance: Tensor, seen: Tensor, fitted: Tensor, near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """Near and far planes ``[B, 1]``, those that are to be ``fitted`` about what cameras see; of their ``distance [B,
    N]`` vertices those that are ``seen``."""
    nearest = torch.where(seen, distance, torch.inf).amin(dim=1, keepdim=True)
    farthest = torch.where(seen, distance, -torch.inf).amax(dim=1, keepdim=True)
    margin = (farthest - nearest) * 0.01 + farthest.abs() * 1e-4
    fitted = fitted & torch.isfinite(margin)
    near = torch.where(fitted, torch.maximum(nearest - margin, nearest * 0.5), near)
    return near, torch.where(fitted, farthest + margin, far)


def _depth_terms(near: Tensor, far: Tensor, flat: Tensor) -> tuple[Tensor, Tensor]:
    """What distance is multiplied by, and what is taken from it then, for depth times w; shaped as these."""
    span, middle = far - near, (far + near) / (far - near)
    flat = flat > 0
    return torch.where(flat, 2 / span, middle), torch.where(flat, middle, 2 * far * near / span)


def clip_matrices(
    positions: Tensor, scale: float, centre: Sequence[float], cameras: Sequence[Camera], width: int, height: int
) -> Tensor:
    """``[B, 4, 4]`` float32 matrices that do to integers what :func:`to_clip` does to vertices, one for each camera.

    They are composed in float64 and rounded once; clip space so differs from :func:`to_clip`'s by its rounding.

    Args:
        positions: ``[N, 3]`` of any dtype; vertices are ``positions * scale + centre``.
        scale, centre: as said.
        cameras, width, height: as there.
    """
    aspect = max(width - 1, 1) / max(height - 1, 1)
    middle = torch.tensor(centre, dtype=torch.float64)
    frame = _integer_frame(positions, scale, middle) if any(camera.normalized for camera in cameras) else None
    made = []
    for camera in cameras:
        axes, place = (torch.tensor(part, dtype=torch.float64) for part in (camera.axes, camera.position))
        size, shift = scale, middle
        if camera.normalized and frame is not None:
            size, shift = scale * float(frame.scale), (middle - frame.centre) * frame.scale
        rows = torch.cat((axes * size, (axes @ (shift - place))[:, None]), dim=1)
        near, far, flat = camera.near, camera.far, camera.half_height is not None
        limits = [torch.tensor([[value]], dtype=torch.float64) for value in (near, far, flat)]
        if not camera.normalized:
            ends = _ends(positions, -rows[2], near)[None]
            limits[:2] = _fitted(ends, ends.isfinite(), torch.tensor([[True]]), *limits[:2])
        slope, offset = _depth_terms(*limits)
        last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
        depth = -rows[2] * slope[0] - last * offset[0]
        extent = 1 / camera.half_extent
        made.append(torch.stack((rows[0] * extent / aspect, -rows[1] * extent, depth, last if flat else -rows[2])))
    return torch.stack(made).to(torch.float32).to(positions.device)


_ROWS = 1 << 20  # vertices that are looked at together


def _integer_frame(positions: Tensor, scale: float, centre: Tensor) -> Frame:
    """The :func:`normalization` of integers, in float64 on the CPU."""
    low, high = (bound.cpu().double() for bound in (positions.amin(0), positions.amax(0)))
    middle = (low + high) / 2
    near = middle.to(torch.float32).to(positions.device)
    radius = max(float((part.to(torch.float32) - near).norm(dim=1).max()) for part in positions.split(_ROWS))
    return Frame(middle * scale + centre, torch.tensor(DIAMETER / max(2 * radius * scale, 1e-20), dtype=torch.float64))


def _ends(positions: Tensor, row: Tensor, near: float) -> Tensor:
    """``[2]`` the least and the greatest distance, of those that are ``near`` or more."""
    steps = row.to(torch.float32).to(positions.device)
    least, most = torch.inf, -torch.inf
    for part in positions.split(_ROWS):
        x, y, z = part.to(torch.float32).unbind(1)
        distance = ((x * steps[0] + y * steps[1]) + z * steps[2]) + steps[3]
        seen = distance >= near
        least = min(least, float(torch.where(seen, distance, torch.inf).min()))
        most = max(most, float(torch.where(seen, distance, -torch.inf).max()))
    return torch.tensor([least, most], dtype=torch.float64)
