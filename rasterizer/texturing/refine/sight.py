"""Which texels each pixel of a view shows, and how much it counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...meshes.mesh import Mesh
from ...pictures.sampling import by_pixel, corners
from ...rendering.raster import Raster, rasterize_mesh
from ..bake.vectors import columns, unit
from ..bake.view import Lens
from .sampling import Rows, merged

SAMPLES = 3
"""Points along each side of a pixel whose mean it is: enough while a pixel is less than some six texels wide, since
bilinear look-ups at points of a grid two texels wide leave none out."""

_AT_ONCE = 1 << 22  # look-ups of texels
_RINGS = 2  # of texels beyond the painted ones that look-ups may touch


def pixel_weights(
    raster: Raster, lenses: Sequence[Lens], cameras: Sequence[Camera], limit: float, exponent: float
) -> Tensor:
    """``[V, H, W]``: each view's weight by the cosine between surface and view, 0 below the cosine ``limit``."""
    normals = raster.mesh.vertex_normals()
    found = []
    for number, (lens, camera) in enumerate(zip(lenses, cameras, strict=True)):
        view = raster.view(number)
        points = columns(view.interpolate(raster.mesh.vertices).view(-1, 3))
        smooth = unit(columns(view.interpolate(normals).view(-1, 3)))
        shown = view.findices[0, 0] > 0
        cosine = lens.cosine(points, smooth).view_as(shown)
        trust = cosine.clamp(min=0).pow_(exponent).mul_(float(camera.weight))
        found.append(torch.where(shown & (cosine > limit), trust, 0.0))
    return torch.stack(found)


def stand_ins(painted: Tensor) -> tuple[Tensor, Tensor]:
    """For each texel the painted one whose colour it has, to begin with.

    Look-ups at the border of what is painted also touch texels beyond it, which filling gives the colour of their
    neighbours.

    Returns:
        ``[H, W]`` int32 numbers of painted texels, row by row, -1 elsewhere; and the same with the nearest ones in the
        first rings around them.
    """
    numbers = painted.view(-1).cumsum(0, dtype=torch.int32).view_as(painted).sub_(1)
    numbers = torch.where(painted, numbers, -1)
    near = numbers
    for _ in range(_RINGS):
        grown = near
        for offset in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            grown = torch.where(grown < 0, near.roll(offset, (0, 1)), grown)
        near = grown
    return numbers, near


def look_ups(
    mesh: Mesh, camera: Camera, size: tuple[int, int], pixels: Tensor, near: Tensor, samples: int = SAMPLES
) -> tuple[Tensor, Rows]:
    """What pixels show of a texture, each the mean over ``samples x samples`` points of its area.

    Args:
        mesh: with UVs.
        camera: of the view.
        size: ``(height, width)`` of the picture.
        pixels: ``[P]`` int64, ``row * width + column``.
        near: ``[H, W]`` int32, of :func:`stand_ins`.
        samples: points along each side of a pixel.

    Returns:
        ``[P]`` bool, pixels that show nothing but what is painted; and a row for each pixel.
    """
    height, width = size
    raster = rasterize_mesh(mesh, [_finer(camera, height, samples)], (samples * height, samples * width))
    inside = by_pixel(raster.findices[0, 0, ..., None] > 0, samples)[..., 0]
    places = by_pixel(raster.interpolate(mesh.require_uvs())[0, 0], samples)
    parts, whole = [], []
    for some in pixels.split(max(1, _AT_ONCE // (4 * samples**2))):
        texels, weights = _corners(places.index_select(0, some), near)
        whole.append((texels >= 0).all(1) & inside.index_select(0, some).all(1))
        parts.append(merged(texels.clamp_(min=0), weights))
    return torch.cat(whole), Rows.joined(parts)


def _finer(camera: Camera, height: int, samples: int) -> Camera:
    """The camera that sees ``samples x samples`` points in the area of each pixel that ``camera`` sees.

    Centres of border pixels lie on the edge of what a camera sees, the outer points of these pixels beyond it.
    """
    wider = max(samples * height - 1, 1) / (samples * max(height - 1, 1))
    if camera.half_height is not None:
        return replace(camera, half_height=camera.half_height * wider)
    return replace(camera, fov=math.degrees(2 * math.atan(camera.half_extent * wider)))


def _corners(uv: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """Texels ``[P, 4 * N]`` and weights of the mean of bilinear look-ups at ``uv [P, N, 2]``."""
    places, fx, fy = corners(uv, *near.shape)
    texels = torch.cat(places, dim=1)
    weights = torch.cat(((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy), dim=1)
    found = near.view(-1).index_select(0, texels.view(-1)).view_as(texels)
    return found, weights / uv.shape[1]
