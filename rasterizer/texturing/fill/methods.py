"""Filling the texels that no view has painted."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...contract.checks import as_tensor, check_choice
from ...hierarchy import GridHierarchy, fill_surface
from ...hierarchy.surface_graph import SurfaceGraph, group_mean
from ...meshes.mesh import Mesh, weld_index
from ...runtime.log import log
from ...runtime.progress import staged, stages
from ...runtime.threads import on_own_threads, share_rows
from ..need import check_memory, fill_bytes
from ..scale import within_float32
from ..texels import Texels
from .plane import spread
from .vertices.inpaint import vertex_colors

METHODS = ("surface", "vertex smooth", "vertex forward", "dilate")
"""Ways to fill."""

_LAYERS = 16
_BLUR = 0.6  # standard deviation of the weights with which texels read the cells around them, in cells


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
    texels = Texels.of(mesh, size, next(steps))
    known = painted.view(-1).index_select(0, texels.index)
    gap = texels[(~known).nonzero().squeeze(1)]
    step = next(steps)
    result = texture * painted[..., None]
    has = painted.clone()
    if len(gap) and method != "dilate":
        if method == "surface":
            values = texture.reshape(-1, texture.shape[2]).index_select(0, texels.index)
            colors, reached = _from_surface(values, known, texels, gap, step)
        else:
            colors, reached = _from_vertices(texture, painted, gap, method.split()[1])
        reached = reached & torch.isfinite(colors).all(dim=1)  # not so beside a vertex that is NaN
        index = gap.index[reached]
        result.view(-1, texture.shape[2])[index] = colors[reached]
        has.view(-1)[index] = True
        _warn_of_unreached(len(gap) - len(index))
    step(1.0)
    filled = torch.zeros_like(painted)
    filled.view(-1)[gap.index] = True
    return spread(result, has, next(steps)), filled


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


def _from_surface(
    values: Tensor, known: Tensor, texels: Texels, gap: Texels, report: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """Colours ``[G, C]`` for the gap's texels and which of them ``[G]`` have one."""
    mesh = texels.mesh
    resolution = max(32, min(256, max(texels.size) // 8))
    hierarchy = GridHierarchy.from_mesh(
        mesh.vertices, mesh.faces, resolution, 1, _LAYERS, staged("grid hierarchy", lambda share: report(0.4 * share))
    )
    facets = mesh.face_normals()
    source = known.nonzero().squeeze(1)
    painted = texels[source]
    cell = hierarchy.find(painted.interpolate(mesh.vertices), facets.index_select(0, painted.face))
    inside = (cell >= 0).nonzero().squeeze(1)
    if not len(inside):  # a mask that belongs to another mesh or layout
        return values.new_zeros((len(gap), values.shape[1])), torch.zeros_like(gap.face, dtype=torch.bool)
    cell, colors = cell.index_select(0, inside), values.index_select(0, source.index_select(0, inside))
    features = group_mean(colors, cell, hierarchy.count())
    sure = torch.zeros(hierarchy.count(), dtype=torch.bool, device=cell.device).index_fill_(0, cell, True)
    report(0.6)
    surface = SurfaceGraph.of(hierarchy)
    features, reached = fill_surface(features, sure, hierarchy, lambda share: report(0.6 + 0.3 * share), surface)
    points = gap.interpolate(mesh.vertices)
    cell = hierarchy.find(points, facets.index_select(0, gap.face))
    colors = _read(features, reached, hierarchy, surface, points, cell.clamp(min=0))
    return colors, (cell >= 0) & reached[cell.clamp(min=0)]


def _read(
    features: Tensor,
    reached: Tensor,
    hierarchy: GridHierarchy,
    surface: tuple[SurfaceGraph, Tensor],
    points: Tensor,
    cell: Tensor,
) -> Tensor:
    """Features ``[T, C]`` at points: of the cell they lie in and its neighbours on the surface, nearer ones more."""
    graph, node = surface
    cells = hierarchy.original.nonzero().squeeze(1)
    values = features.index_select(0, cells)
    usable = reached.index_select(0, cells)
    width = 2 * (_BLUR * hierarchy.cell_size) ** 2
    colors = values.new_empty((len(points), values.shape[1]))

    def read(part: slice) -> None:
        own = node.index_select(0, cell[part]).clamp(min=0)
        total, weights = values.new_zeros(()), points.new_zeros(())
        for other in (own, *graph.neighbors.index_select(0, own).unbind(1)):
            place = other.clamp(min=0)
            apart = (graph.points.index_select(0, place) - points[part]).square().sum(dim=1)
            weight = torch.exp(-apart / width).clamp(min=1e-12) * ((other >= 0) & usable.index_select(0, place))
            total = total + values.index_select(0, place) * weight[:, None]
            weights = weights + weight
        colors[part] = total / weights.clamp(min=1e-12)[:, None]

    share_rows(read, len(points), points.device, weight=8)
    return colors


def _from_vertices(texture: Tensor, painted: Tensor, gap: Texels, method: str) -> tuple[Tensor, Tensor]:
    """As :func:`_from_surface`, by Hunyuan3D's propagation from vertex to vertex, over full triangles."""
    mesh = gap.mesh
    index = weld_index(mesh.vertices)
    welded = index[mesh.faces.long()]
    uvs = mesh.require_uvs()
    turned = torch.stack((uvs[:, 0], 1 - uvs[:, 1]), dim=1)  # there, v = 0 is the last row
    colors, state = vertex_colors(texture, painted.to(torch.uint8), mesh.vertices, turned, welded, mesh.faces, method)
    colors, state = colors.to(texture), state.to(texture.device)
    corners = welded.index_select(0, gap.face)
    return gap.interpolate(colors.index_select(0, index)), (state[corners] > 0).all(dim=1)
