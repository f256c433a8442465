"""Which texels each pixel of a view shows, and how much it counts."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ...cameras.camera import Camera
from ...meshes.mesh import Mesh
from ...rendering.raster import rasterize_mesh
from .operator import Rows, merged

_AT_ONCE = 1 << 22  # look-ups of texels


def finer(camera: Camera, size: tuple[int, int], samples: int) -> Camera:
    """The camera that sees ``samples x samples`` points in the area of each pixel that ``camera`` sees.

    Pixel centres at the border lie on the edge of what a camera sees; the outer points of these pixels lie beyond.
    """
    height = size[0]
    wider = max(samples * height - 1, 1) / (samples * max(height - 1, 1))
    if camera.half_height is not None:
        return replace(camera, half_height=camera.half_height * wider)
    return replace(camera, fov=math.degrees(2 * math.atan(camera.half_extent * wider)))


def look_ups(
    mesh: Mesh, camera: Camera, size: tuple[int, int], pixels: Tensor, samples: int, stand_ins: Tensor
) -> tuple[Tensor, Rows]:
    """What pixels show of a texture, each the mean over ``samples x samples`` points of its area.

    Args:
        mesh: with UVs.
        camera: of the view.
        size: ``(height, width)`` of the picture.
        pixels: ``[P]`` int64, ``row * width + column``.
        samples: points along each side of a pixel.
        stand_ins: ``[H, W]`` int32, for each texel the one whose colour it has; -1 where that is not known.

    Returns:
        ``[P]`` bool, pixels that show nothing but the mesh, and of it known texels only; and a row for each pixel.
    """
    height, width = size
    raster = rasterize_mesh(mesh, [finer(camera, size, samples)], (samples * height, samples * width))
    inside = _by_pixel(raster.findices[0, 0, ..., None] > 0, samples)[..., 0]
    places = _by_pixel(raster.interpolate(mesh.require_uvs())[0, 0], samples)
    parts, whole = [], []
    chunk = max(1, _AT_ONCE // (4 * samples**2))
    for some in pixels.split(chunk):
        texels, weights = _corners(places.index_select(0, some), stand_ins)
        known = (texels >= 0).all(1) & inside.index_select(0, some).all(1)
        parts.append(merged(texels.clamp_(min=0), weights))
        whole.append(known)
    return torch.cat(whole), Rows.joined(parts)


def _by_pixel(fine: Tensor, samples: int) -> Tensor:
    """``[H * S, W * S, C]`` to ``[H * W, S * S, C]``."""
    height, width, channels = fine.shape
    parts = fine.view(height // samples, samples, width // samples, samples, channels).transpose(1, 2)
    return parts.reshape(-1, samples**2, channels)


def _corners(uv: Tensor, stand_ins: Tensor) -> tuple[Tensor, Tensor]:
    """Texels ``[P, 4 * N]`` and weights of bilinear look-ups at ``uv [P, N, 2]``, as
    :func:`~rasterizer.pictures.sampling.sample_texture` has them."""
    height, width = stand_ins.shape
    x, y = uv[..., 0] * width - 0.5, uv[..., 1] * height - 0.5
    x0, y0 = torch.floor(x), torch.floor(y)
    fx, fy = x - x0, y - y0
    left, top = x0.long() % width, y0.long() % height
    right, bottom = (left + 1) % width, (top + 1) % height
    texels = torch.cat((top * width + left, top * width + right, bottom * width + left, bottom * width + right), dim=1)
    weights = torch.cat(((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy), dim=1)
    found = stand_ins.view(-1).index_select(0, texels.view(-1)).view_as(texels)
    return found, weights / uv.shape[1]
