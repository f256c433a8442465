"""ComfyUI's bake as its open pull request 15020 has it, from a description of it: every pixel splatted to its texel."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ...cameras.views import View
from ...meshes.mesh import Mesh
from ...rendering.raster import rasterize_mesh
from ...texturing import spread
from .hunyuan3d import PeerBake

_LEAST_COSINE = math.cos(math.radians(75))
_RINGS = 8  # dilations


def splat(mesh: Mesh, images: Tensor, views: Sequence[View], size: int) -> PeerBake:
    """Each pixel's colour goes to the four texels around its place in the texture, bilinearly, by cosine to the fourth
    and the weight of its view; then eight dilations and a push-pull pyramid in the plane.

    Holes between the splats that the dilations close count as painted.

    Args:
        mesh: with UVs, on the CPU.
        images: ``[V, N, N, 3]`` float32.
        views: where they were taken from.
        size: texels a side.
    """
    start = time.perf_counter()
    cameras = [view.camera() for view in views]
    raster = rasterize_mesh(mesh, cameras, (images.shape[1], images.shape[2]))
    face, uv = raster.findices[:, 0].long(), raster.interpolate(mesh.require_uvs())[:, 0]
    total, normals = images.new_zeros(size * size, 4), mesh.face_normals()
    for number, (view, camera) in enumerate(zip(views, cameras, strict=True)):
        shown = face[number] > 0
        cosine = (normals @ -torch.tensor(camera.forward, dtype=normals.dtype))[face[number][shown] - 1]
        weight = view.weight * cosine**4 * (cosine > _LEAST_COSINE)
        place = uv[number][shown] * size - 0.5
        first = place.floor()
        for x in (0, 1):
            for y in (0, 1):
                corner = first + place.new_tensor([x, y])
                share = (1 - (place - corner).abs()).prod(1) * weight
                column, row = (corner.long() % size).unbind(1)
                color = torch.cat((images[number][shown], torch.ones_like(share[:, None])), dim=1)
                total.index_add_(0, row * size + column, color * share[:, None])
    weights = total[:, 3:]
    texture, there = (total[:, :3] / weights.clamp(min=1e-8)).view(size, size, 3), (weights > 1e-8).view(size, size)
    middle = time.perf_counter()
    filled = spread(texture, there)
    return PeerBake(filled, _closed(there), filled, middle - start, time.perf_counter() - middle)


def _closed(there: Tensor) -> Tensor:
    """``[H, W]`` bool, grown by the rings and shrunk again."""
    grown, side = there[None, None].float(), 2 * _RINGS + 1
    grown = max_pool2d(torch.nn.functional.pad(grown, (_RINGS,) * 4), side, 1, _RINGS)
    shrunk = 1 - max_pool2d(1 - grown, side, 1, _RINGS)
    return shrunk[0, 0, _RINGS:-_RINGS, _RINGS:-_RINGS] > 0.5
