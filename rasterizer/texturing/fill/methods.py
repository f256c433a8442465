"""Filling the texels that no view has painted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...contract.checks import as_tensor, check_choice
from ...meshes.mesh import Mesh, weld_index
from ...rendering.raster import rasterize_mesh
from ...runtime.log import log
from ...runtime.progress import stages
from ...runtime.threads import on_own_threads
from ..need import check_memory, fill_bytes
from ..scale import within_float32
from ..texels import Texels
from .plane import spread_into
from .surface import fill_from_surface
from .vertices.inpaint import vertex_colors

METHODS = ("surface", "vertex smooth", "vertex forward", "dilate")
"""Ways to fill."""


@on_own_threads
def fill_texture(
    texture: Tensor,
    painted: Tensor,
    mesh: Mesh,
    method: str = "surface",
    on_progress: Callable[[float], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Fill what is not painted, then the gutters between the charts.

    ``surface`` spreads colours over the surface itself, through cells of a grid hierarchy: it crosses seams of the UV
    layout and never jumps to another sheet nearby. ``vertex smooth`` and ``vertex forward`` are Hunyuan3D's inpainting,
    on vertices welded by position and drawn over whole triangles. ``dilate`` spreads colours in the plane of the
    texture, from whatever lies next to a gap there. Parts of the surface on which nothing is painted at all are filled
    by ``dilate`` whatever the method, with a message.

    Args:
        texture: ``[H, W, C]`` float32.
        painted: ``[H, W]`` bool, or whole numbers, of which 0 is not painted; painted texels stay as they are.
        mesh: with UVs.
        method: one of :data:`METHODS`.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Returns:
        ``[H, W, C]`` the whole texture, gutters included, and ``[H, W]`` bool, the texels of the layout that were
        filled.

    Raises:
        ValueError: nothing is painted, an argument is unusable, or there is not enough memory; the text names it.
    """
    check_choice(method, METHODS, "method")
    as_tensor(mesh.vertices, "mesh vertices")
    texture, painted = _check_shapes(texture, painted)

    def need(texels: int, share: float) -> int:
        return fill_bytes(texels, texture.shape[2], method, share)

    size = texture.shape[0], texture.shape[1]
    check_memory("texture", size, mesh, need, "free some memory")
    painted = _check_painted(painted)
    mesh = within_float32(mesh)
    device = mesh.vertices.device
    texture, painted = texture.to(device, torch.float32).contiguous(), painted.to(device).contiguous()
    steps = stages(on_progress or (lambda share: None), "finding texels", "filling", "gutters")
    layout = rasterize_mesh(mesh, resolution=size, space="uv", on_progress=next(steps))
    filled = (layout.findices.view(size) > 0) & ~painted
    gap = filled.view(-1).nonzero().squeeze(1)
    step = next(steps)
    result = texture.masked_fill(~painted[..., None], 0)
    has = painted
    if len(gap) and method != "dilate":
        if method == "surface":
            reached = fill_from_surface(result, painted, gap, layout, step)
        else:
            reached = _fill_from_vertices(result, painted, Texels.among(layout, gap), method.split()[1])
        _warn_of_unreached(len(gap) - int(reached.sum()))
        has = painted.clone()
        has.view(-1)[gap] = reached
    del layout
    step(1.0)
    return spread_into(result, has, next(steps)), filled


def _check_shapes(texture: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    """Texture and painted texels as tensors that fit each other."""
    texture, painted = as_tensor(texture, "texture"), as_tensor(painted, "painted")
    if texture.ndim != 3 or not texture.shape[2]:
        raise ValueError(f"texture: found {list(texture.shape)}, expected [H, W, C] with at least one channel")
    if painted.shape != texture.shape[:2]:
        raise ValueError(
            f"painted: found {list(painted.shape)} for a texture {list(texture.shape)}, expected [H, W] for [H, W, C]"
        )
    return texture, painted


def _check_painted(painted: Tensor) -> Tensor:
    """The painted texels as bool, of which there is at least one."""
    if painted.is_floating_point() or painted.is_complex():
        raise ValueError(
            f"painted: dtype is {painted.dtype}, expected bool, or whole numbers that are 0 where not painted"
        )
    painted = painted != 0
    if not bool(painted.any()):
        raise ValueError("painted: no texel is painted, expected at least one to fill the others from")
    return painted


def _warn_of_unreached(texels: int) -> None:
    if texels:
        log.warning(
            "Fill Texture: %d texels lie on parts of the surface where nothing is painted; they are filled from "
            "what lies next to them in the texture.",
            texels,
        )


def _fill_from_vertices(texture: Tensor, painted: Tensor, gap: Texels, method: str) -> Tensor:
    """As :func:`.surface.fill_from_surface`, by Hunyuan3D's propagation from vertex to vertex, over full triangles."""
    mesh = gap.mesh
    index = weld_index(mesh.vertices)
    welded = index[mesh.faces.long()]
    uvs = mesh.require_uvs()
    turned = torch.stack((uvs[:, 0], 1 - uvs[:, 1]), dim=1)  # there, v = 0 is the last row
    colors, state = vertex_colors(texture, painted.to(torch.uint8), mesh.vertices, turned, welded, mesh.faces, method)
    colors, state = colors.to(texture), state.to(texture.device)
    found = gap.interpolate(colors.index_select(0, index))
    reached = (state[welded.index_select(0, gap.face)] > 0).all(dim=1)
    reached &= torch.isfinite(found).all(dim=1)  # not so beside a vertex that is NaN
    texture.view(-1, texture.shape[2]).index_copy_(0, gap.index, torch.where(reached[:, None], found, 0.0))
    return reached
