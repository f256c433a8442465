"""Depth-peeled layers of a mesh along the three axes, as the hierarchy reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cameras.uv_layout import uv_to_clip
from ..meshes.mesh import Mesh
from ..ops import interpolate
from ..ops import peel as draw_layers
from ..runtime.log import log
from .surface_samples import image_axes


@dataclass(frozen=True)
class Peeled:
    """Layers of the three views.

    Attributes:
        positions: three ``[L, R, R, 4]`` float32, x, y, z in -1..1 and 1 where a face was drawn, else 0.
        normals: three ``[L, R, R, 3]`` float32, the faces' unit normals.
        complete: whether no surface is left behind the last layer.
    """

    positions: list[Tensor]
    normals: list[Tensor]
    complete: bool


def peel(
    mesh: Mesh,
    points: Tensor,
    resolution: int,
    max_layers: int,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Peeled:
    """Draw the surfaces of a mesh in ``resolution x resolution`` pixels along z, x and y, nearest first.

    Args:
        mesh: for its faces and their normals.
        points: ``[N, 3]`` its vertices in the cube -1..1.
        resolution: pixels a side.
        max_layers: most surfaces to peel.
        on_progress: called with the share done.
    """
    clip = torch.stack([_clip(points, view, resolution) for view in range(3)])
    face_normals = mesh.face_normals()
    positions, normals = [], []
    complete = False
    # One layer more than is kept tells whether anything is left behind.
    drawing = draw_layers(
        clip, mesh.faces, (resolution, resolution), max_layers + 1, orthographic=True, on_progress=on_progress
    )
    for layer, drawn in enumerate(drawing):
        if not bool((drawn.findices > 0).any()):
            complete = True
            break
        if layer == max_layers:
            break
        seen = (drawn.findices > 0).to(torch.float32)
        face = (drawn.findices.long() - 1).clamp_(min=0)
        place = interpolate(points[None], *drawn, mesh.faces)
        positions.append(torch.cat((place, seen[..., None]), dim=-1))
        normals.append(face_normals[face] * seen[..., None])
    if not complete:
        log.warning(
            "Grid hierarchy: more than %d surfaces lie behind one another in some places; those behind are left out. "
            "A higher max_layers takes them in.",
            max_layers,
        )
    if not positions:
        raise ValueError("mesh: no face covers a pixel of the grid; expected a surface larger than a few cells")
    stacked, turned = torch.stack(positions, dim=1), torch.stack(normals, dim=1)
    return Peeled(list(stacked.unbind(0)), list(turned.unbind(0)), complete)


def _clip(points: Tensor, view: int, resolution: int) -> Tensor:
    row, column, depth = image_axes(points, torch.full_like(points[:, 0], view, dtype=torch.int64))
    clip = uv_to_clip(torch.stack((column, row), dim=1) * 0.5 + 0.5, resolution, resolution)
    clip[:, 2] = depth
    return clip
