"""The UV layout of a mesh as a picture: its faces as a wireframe, each chart in a colour of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..contract.checks import check_faces, check_integer
from ..meshes.mesh import Mesh, weld_index
from ..pictures.colors import distinct_colors
from ..pictures.sampling import by_pixel
from ..rendering.raster import rasterize_mesh
from ..runtime.threads import on_own_threads, share_rows

_SAMPLES = 2  # of a pixel, along rows and columns
_LARGEST = 8192  # pixels a side up to which each has several samples
_LINE = 0.7  # pixels: half the width of a line within a chart; of one on its border, only that half is drawn
_FADE = 8.0  # pixels: lines between faces less high are fainter, so that dense meshes do not become one patch
_FAINTEST = 0.15
_CHUNK = 1 << 20  # samples at once: some 200 bytes each
_TINT = 0.22  # of a chart's colour between its lines, over black


@on_own_threads
def uv_layout_image(
    mesh: Mesh,
    size: int = 1024,
    background: Tensor | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Tensor:
    """``[size, size, 3]`` float32 sRGB: the wireframe of the UV layout, antialiased, row 0 at ``v = 0``.

    Borders of charts are drawn full, edges within them fainter the smaller the faces are. Charts beyond 0..1 are moved
    by whole textures to begin there; what still lies beyond is not drawn.

    Args:
        mesh: with UVs.
        size: pixels a side.
        background: ``[H, W, 3]``, a texture to draw over; None is black, with the charts tinted.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: no UVs, no faces, or a size out of range.
    """
    size = check_integer(size, 16, 16384, "size")
    charts = Charts.of(mesh)
    samples = _SAMPLES if size * _SAMPLES <= _LARGEST else 1
    report = on_progress or (lambda share: None)
    fine = (size * samples, size * samples)
    moved = replace(mesh, uvs=charts.uvs)
    raster = rasterize_mesh(moved, resolution=fine, space="uv", on_progress=lambda share: report(share / 2))
    findices, weights = raster.findices.view(fine), raster.barycentric.view(*fine, 3)
    heights = _heights(moved, size)
    strength = torch.where(charts.border, 1.0, (heights / _FADE).clamp(_FAINTEST, 1.0))
    reach = torch.where(charts.border, 2 * _LINE, _LINE) + 0.5
    device = mesh.vertices.device
    colors = distinct_colors(charts.count).to(device)
    chart = charts.chart.to(device)
    picture = _resized(background, size) if background is not None else torch.zeros(size, size, 3, device=device)

    def draw(rows: slice) -> None:
        part = slice(rows.start * samples, rows.stop * samples)
        face = findices[part].long() - 1
        drawn, face = face >= 0, face.clamp(min=0).view(-1)
        apart = weights[part].reshape(-1, 3) * heights.index_select(0, face)
        line = ((reach.index_select(0, face) - apart).clamp(0, 1) * strength.index_select(0, face)).amax(1)
        if background is None:
            line = _TINT + (1 - _TINT) * line
        color = colors.index_select(0, chart.index_select(0, face))
        share = (line * drawn.view(-1))[:, None]
        layer = torch.cat((color * share, share), dim=1).view(*drawn.shape, 4)
        layer = by_pixel(layer, samples).mean(1).view(-1, size, 4)
        picture[rows] = picture[rows] * (1 - layer[..., 3:]) + layer[..., :3]

    cost = size * samples**2
    chunk = max(1, _CHUNK // cost)
    share_rows(draw, size, device, weight=cost, chunk=chunk, report=lambda share: report(0.5 + share / 2))
    report(1.0)
    return picture


@dataclass(frozen=True)
class Charts:
    """The connected parts of a UV layout.

    Attributes:
        uvs: ``[N, 2]``, each chart moved by whole textures to begin in 0..1.
        chart: ``[M]`` int64, of each face.
        count: of the charts.
        border: ``[M, 3]`` bool: whether a face's edge opposite its first, second, third corner is a chart's border.
    """

    uvs: Tensor
    chart: Tensor
    count: int
    border: Tensor

    @classmethod
    def of(cls, mesh: Mesh) -> Charts:
        """Faces hang together by vertices with the same UV."""
        uvs = mesh.require_uvs()
        if not len(mesh.faces):
            raise ValueError("mesh: has no faces, expected some to draw")
        faces = check_faces(mesh.faces, len(uvs), mesh.faces.device, "mesh").cpu().long()
        place = weld_index(torch.cat((uvs, torch.zeros_like(uvs[:, :1])), dim=1)).cpu()
        corners = place[faces]
        label = _connected(corners, len(uvs))
        _, chart = torch.unique(label[corners[:, 0]], return_inverse=True)
        count = int(chart.max()) + 1
        ends = torch.stack((corners[:, [1, 2]], corners[:, [2, 0]], corners[:, [0, 1]]), dim=1).sort(dim=2).values
        key = ends[..., 0] * len(uvs) + ends[..., 1]
        _, index, uses = torch.unique(key, return_inverse=True, return_counts=True)
        moves = torch.full((count, 2), torch.inf)
        lowest = uvs.cpu()[faces].amin(1).nan_to_num(0.0, 0.0, 0.0)
        moves.scatter_reduce_(0, chart[:, None].expand(-1, 2), lowest, "amin")
        of_vertex = torch.zeros(len(uvs), dtype=torch.long)
        of_vertex[faces.view(-1)] = chart.repeat_interleave(3)
        moved = uvs - (moves + 1e-4).floor()[of_vertex].to(uvs.device)
        return cls(moved, chart, count, (uses[index] == 1).to(uvs.device))


def _connected(corners: Tensor, vertices: int) -> Tensor:
    """``[vertices]`` int64, the same for all that faces ``[M, 3]`` connect."""
    label = torch.arange(vertices)
    while True:
        least = label[corners].amin(1, keepdim=True).expand(-1, 3)
        new = label.scatter_reduce(0, corners.reshape(-1), least.reshape(-1), "amin")
        new = new[new]  # twice as far each time
        if torch.equal(new, label):
            return label
        label = new


def _heights(mesh: Mesh, size: int) -> Tensor:
    """``[M, 3]`` pixels from each corner of each face to the edge opposite it, in the layout."""
    uvs = mesh.require_uvs().index_select(0, mesh.faces.long().reshape(-1)).view(-1, 3, 2) * size
    one, other = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    area = (one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).abs()
    edges = torch.stack((other - one, other, one), dim=1).norm(dim=2)
    return area[:, None] / edges.clamp(min=1e-12)


def _resized(image: Tensor, size: int) -> Tensor:
    """``[size, size, 3]``, a copy."""
    channels = image.permute(2, 0, 1)[None]
    return interpolate(channels, (size, size), mode="bilinear", antialias=True)[0].permute(1, 2, 0).contiguous()
