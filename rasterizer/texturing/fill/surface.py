"""Colours spread over the surface itself, through the cells of a grid hierarchy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...hierarchy import GridHierarchy
from ...hierarchy.fill import fill_graph
from ...hierarchy.surface_graph import SurfaceGraph, group_sum, joined
from ...rendering.raster import Raster
from ...runtime.progress import staged
from ...runtime.threads import share_rows
from ..texels import Texels

_LAYERS = 16
_LEAST, _MOST = 32, 256  # cells along the longest side of a mesh
_TEXELS = 8  # of the longest side of a texture for each of them
_FINER = 4  # times, where a square of texels is not known as a whole
_BLUR = 0.6  # standard deviation of the weights with which texels read the cells around them, in cells
_CHUNK = 1 << 19  # texels that are looked up at once


def fill_from_surface(
    texture: Tensor, painted: Tensor, gap: Tensor, layout: Raster, report: Callable[[float], None]
) -> Tensor:
    """Write colours of the surface around into the gap's texels.

    Args:
        texture: ``[H, W, C]`` float32, changed in place.
        painted: ``[H, W]`` bool.
        gap: ``[G]`` int64 texels, ``row * W + column``.
        layout: the mesh drawn in UV space, of the texture's size.
        report: called with the share done.

    Returns:
        ``[G]`` bool: which have a colour now; on other parts of the surface nothing is painted.
    """
    mesh, (height, width, channels) = layout.mesh, texture.shape
    flat = texture.view(-1, channels)
    resolution = max(_LEAST, min(_MOST, max(height, width) // _TEXELS))
    hierarchy = GridHierarchy.from_mesh(
        mesh.vertices, mesh.faces, resolution, 1, _LAYERS, staged("grid hierarchy", lambda share: report(0.4 * share))
    )
    facets = mesh.face_normals()

    def under(texels: Texels) -> Tensor:
        return hierarchy.find(texels.interpolate(mesh.vertices), facets.index_select(0, texels.face))

    spots = _spots(painted & (layout.findices.view(height, width) > 0), max(height, width) // (2 * resolution))
    count, total = hierarchy.count(), torch.zeros((), dtype=torch.float32, device=gap.device)
    for start in range(0, len(spots), _CHUNK):
        report(0.4 + 0.05 * start / len(spots))
        part = spots[start : start + _CHUNK]
        colors, cell = flat.index_select(0, part), under(Texels.among(layout, part))
        sound = torch.isfinite(colors).all(dim=1)  # in a running sum, one that is not spoils all that follow
        cell = torch.where(sound, cell, -1)
        colors = torch.cat((colors.masked_fill(~sound[:, None], 0), torch.ones_like(colors[:, :1])), dim=1)
        total = total + group_sum(colors, torch.where(cell >= 0, cell, count), count + 1)[:count]
    if not bool(total.any()):  # a mask that belongs to another mesh or layout
        return torch.zeros_like(gap, dtype=torch.bool)
    report(0.45)
    features, sure = (total[:, :-1] / total[:, -1:].clamp(min=1)).float(), total[:, -1] > 0
    own = _in_parts(
        lambda part: under(Texels.among(layout, gap[part])), len(gap), lambda share: report(0.45 + 0.05 * share)
    )
    report(0.5)
    features, sure, wanted = _between(features, sure, own, hierarchy)
    graph, node = SurfaceGraph.of(hierarchy, wanted)
    cells = (node >= 0).nonzero().squeeze(1)
    report(0.55)
    values, reached = fill_graph(
        features.index_select(0, cells), sure.index_select(0, cells), graph, lambda share: report(0.55 + 0.3 * share)
    )

    def paint(part: slice) -> Tensor:
        place = node.index_select(0, own[part].clamp(min=0)).clamp(min=0)
        points = Texels.among(layout, gap[part]).interpolate(mesh.vertices)
        colors = _read(values, reached, graph, _BLUR * hierarchy.cell_size, points, place)
        has = (own[part] >= 0) & reached.index_select(0, place) & torch.isfinite(colors).all(dim=1)
        flat.index_copy_(0, gap[part], torch.where(has[:, None], colors, 0.0))
        return has

    return _in_parts(paint, len(gap), lambda share: report(0.85 + 0.15 * share))


def _in_parts(work: Callable[[slice], Tensor], count: int, report: Callable[[float], None]) -> Tensor:
    """What ``work`` gives for ``count`` texels, some at a time."""
    parts = []
    for start in range(0, max(count, 1), _CHUNK):
        report(start / max(count, 1))
        parts.append(work(slice(start, start + _CHUNK)))
    return torch.cat(parts)


def _spots(known: Tensor, side: int) -> Tensor:
    """Texels ``[n]`` int64 of an image ``[H, W]`` that stand for all that are known: one of each square of ``side``
    texels that all are, and of other squares all, or, where a square is large, one of each small square within.

    A cell of the grid is some two squares wide, and colours that lie deep within the known do not matter.
    """
    taken = known
    for square in sorted({max(1, side // _FINER), max(1, side)} - {1}):
        taken = taken.clone()
        height, width = (length // square * square for length in known.shape)
        inner = known[:height, :width]
        blocks = inner.unflatten(0, (-1, square)).unflatten(2, (-1, square))
        whole = blocks.all(dim=3).all(dim=1)
        kept = taken[:height, :width].unflatten(0, (-1, square)).unflatten(2, (-1, square))
        kept &= ~whole[:, None, :, None]
        kept[:, square // 2, :, square // 2] |= whole
    return taken.view(-1).nonzero().squeeze(1)


def _between(features: Tensor, sure: Tensor, own: Tensor, hierarchy: GridHierarchy) -> tuple[Tensor, Tensor, Tensor]:
    """Cells that no texel lies in, but known ones beside them, take the mean of these unless gaps are beside them, too.

    Args:
        features, sure: ``[N, C]`` and ``[N]``, known colours of cells and which have one.
        own: ``[G]`` the cells of the gaps' texels.
        hierarchy: whose cells.

    Returns:
        ``features`` and ``sure`` with those, and ``[N]`` the cells whose colours are wanted.
    """
    gaps = torch.zeros_like(sure).index_fill_(0, own.clamp(min=0), True)
    cells = (hierarchy.original & ~sure & ~gaps).nonzero().squeeze(1)
    around = hierarchy.neighbors[0].index_select(0, cells)
    near = around.clamp(min=0)
    start = cells[:, None].expand_as(near).reshape(-1)
    along = joined(hierarchy, start, near.view(-1)).view(near.shape) & (around >= 0)
    of_known = (along & sure[near]).to(features.dtype)[..., None]
    count = of_known.sum(dim=1)
    settled = ((count[:, 0] > 0) & ~(along & gaps[near]).any(dim=1)).nonzero().squeeze(1)
    mean = (features[near[settled]] * of_known[settled]).sum(dim=1) / count[settled]
    cells = cells.index_select(0, settled)
    features, sure = features.index_copy(0, cells, mean), sure.index_fill(0, cells, True)
    return features, sure, gaps | (hierarchy.original & ~sure)


def _read(values: Tensor, reached: Tensor, graph: SurfaceGraph, blur: float, points: Tensor, node: Tensor) -> Tensor:
    """Values ``[T, C]`` at points: of the node whose cell they lie in and its neighbours, nearer ones more."""
    width = 2 * blur**2
    colors = values.new_empty((len(points), values.shape[1]))
    here = torch.arange(len(graph.points), device=node.device)[:, None]
    table = torch.cat((here, torch.where(graph.neighbors >= 0, graph.neighbors, here)), dim=1)
    usable = torch.cat((reached[:, None], (graph.neighbors >= 0) & reached[graph.neighbors.clamp(min=0)]), dim=1)

    def read(part: slice) -> None:
        others = table.index_select(0, node[part])
        places = others.view(-1)
        apart = graph.points.index_select(0, places).view(*others.shape, 3) - points[part, None]
        weight = torch.exp(apart.square_().sum(dim=2) / -width).clamp_(min=1e-12) * usable.index_select(0, node[part])
        weight /= weight.sum(dim=1, keepdim=True).clamp(min=1e-12)
        colors[part] = torch.einsum("tk,tkc->tc", weight, values.index_select(0, places).view(*others.shape, -1))

    share_rows(read, len(points), points.device, weight=8 * table.shape[1])
    return colors
