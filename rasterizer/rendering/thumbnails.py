"""Small pictures of a mesh: what each camera sees, to be looked at, not to be computed with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..cameras.camera import Camera
from ..meshes.mesh import Mesh
from ..runtime.progress import shares
from .attributes import attribute_image
from .raster import rasterize_mesh

_GREY = 0.8  # of a mesh that has no colours
_SHADE = 0.35  # what is left of a colour where the surface is seen edge-on


def draw_thumbnails(
    mesh: Mesh, cameras: Sequence[Camera], size: int, on_progress: Callable[[float], None] | None = None
) -> Tensor:
    """The mesh as each camera sees it, in its own colours, lit from the camera.

    Args:
        mesh: what to draw: with its texture, else its vertex colours, else grey.
        cameras: one view each.
        size: width and height in pixels.
        on_progress: called with the share done, 0..1; an exception it raises stops the call.

    Returns:
        ``[V, size, size, 4]`` float32 in 0..1, on the mesh's device: sRGB colours, and 1 where the mesh was drawn.
    """
    draw, shade, paint = shares(on_progress or (lambda share: None), 3)
    raster = rasterize_mesh(mesh, cameras, (size, size), on_progress=draw)
    # The third axis of a camera points toward it.
    facing = attribute_image(raster, "normal", encoding="camera", on_progress=shade)[:, 0, ..., 2:] * 2.0 - 1.0
    color: Tensor | float = _GREY
    if mesh.texture is not None and mesh.uvs is not None:
        color = attribute_image(raster, "texture", on_progress=paint)[:, 0]
    elif mesh.vertex_colors is not None:
        color = attribute_image(raster, "vertex color", on_progress=paint)[:, 0]
    # What is seen from behind is lit, too: its normals may be the wrong way round.
    lit = color * (_SHADE + (1.0 - _SHADE) * facing.abs().clamp(max=1.0))
    return torch.cat((lit.expand(*facing.shape[:-1], 3), raster.mask[:, 0, ..., None].to(lit.dtype)), dim=-1)
