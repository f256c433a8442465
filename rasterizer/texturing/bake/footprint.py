"""How large texels are in a picture: the shape that the filter takes which a texel's colour is averaged by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...meshes.mesh import Mesh
from .vectors import Columns, as_columns, columns
from .view import Lens


@dataclass(frozen=True)
class Footprints:
    """Texels of each face as one view shows them, ``[F]`` each.

    An ellipse, by which an affine map takes a texel to the picture, cut the way a filter of two passes wants it
    (Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989): along columns or rows, whichever it is longer
    along, and across that, where each place is moved by its shear.

    Attributes:
        along, across: pixels a texel spans.
        shear: pixels across by which the ellipse's middle moves for a pixel along.
        rows: bool, whether along means from row to row, else from column to column.
        depth: of the face's centre, for which the other figures are; 1 without perspective.
    """

    along: Tensor
    across: Tensor
    shear: Tensor
    rows: Tensor
    depth: Tensor


def texel_steps(mesh: Mesh, size: tuple[int, int]) -> tuple[Columns, Columns, Columns]:
    """Of each face: its centre, and how far on its plane the next column and the next row of a texture are."""
    height, width = size
    faces = mesh.faces.long()
    first, second, third = mesh.vertices.index_select(0, faces.reshape(-1)).view(-1, 3, 3).unbind(1)
    uvs = mesh.require_uvs().index_select(0, faces.reshape(-1)).view(-1, 3, 2).unbind(1)
    (ax, ay), (bx, by) = ((uv - uvs[0]).unbind(1) for uv in uvs[1:])
    area = ax * by - bx * ay
    inverse = torch.where(area.abs() > 1e-12, 1 / area, 0.0)[:, None]  # no texel lies in a face without area
    one, other = second - first, third - first
    column = (one * by[:, None] - other * ay[:, None]) * inverse / width
    row = (other * ax[:, None] - one * bx[:, None]) * inverse / height
    return columns((first + second + third) / 3), columns(column), columns(row)


def footprints(lens: Lens, steps: tuple[Columns, Columns, Columns]) -> Footprints:
    """What :func:`texel_steps` found, in one view."""
    centre, column, row = steps
    x, y, z = lens.place(centre)
    turned = [lens.turn(step) for step in (column, row)]
    depth = (-z).clamp(min=lens.near) if lens.perspective else torch.ones_like(z)
    # What moves away also moves towards the middle of the picture.
    away = (x / depth, y / depth) if lens.perspective else (torch.zeros_like(x), torch.zeros_like(y))
    pixels = lens.pixels / depth
    (xc, yc), (xr, yr) = (
        ((right + away[0] * toward) * pixels, (up + away[1] * toward) * -pixels) for right, up, toward in turned
    )
    wide, high, both = xc * xc + xr * xr, yc * yc + yr * yr, xc * yc + xr * yr
    rows = high > wide
    long = torch.where(rows, high, wide).clamp(min=1e-12)
    along = long.sqrt()
    across = (xc * yr - xr * yc).abs() / along
    values = (value.nan_to_num(0.0, 0.0, 0.0) for value in (along, across, both / long))
    along, across, shear = as_columns(values)
    return Footprints(along, across, shear, rows, depth)
