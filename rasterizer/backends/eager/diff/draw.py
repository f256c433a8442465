"""Coverage and depth of candidate pixels, in integers. See the rule, :mod:`rasterizer.contract.diff_rule`.

The value of an edge at a pixel centre fits 32 bits wherever its triangle may cover; elsewhere in a box, and a little
beyond it, too. Candidates beyond a border of the image lie beyond the triangle as well: they cover nothing, so it does
not matter that they are counted as pixels of the next row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ....contract.diff_rule import DEPTH_ORIGIN, SUBPIXELS
from ...diff_interface import NO_LAYER
from ..boxes import AX, X0, Y0, ZA
from ..fragments import Target
from .exact import quotient

BYTES_PER_PIXEL = 120
"""Peak working memory of one candidate pixel."""

_HALF = SUBPIXELS // 2
_LEAST = -(1 << 31)
_SURE = float(1 << 53)


@dataclass(frozen=True)
class DepthTarget(Target):
    """Where fragments go.

    Attributes:
        behind: ``[views*height*width]`` int32, less than the depth of whatever may be drawn; or None.
        looks: numbers may be read from the device wherever that saves work.
    """

    behind: Tensor | None
    looks: bool


class Edges(NamedTuple):
    """What edges are evaluated with, ``[P]`` int32 each, in 16ths of a pixel.

    Attributes:
        x, y: corner a.
        slopes: by x and y of the edge opposite corner b, and by x and y of that opposite c.
        area: of the triangle.
        shy: for the edges opposite a, b, c: 1 where a centre on the edge is not covered, else 0.
    """

    x: Tensor
    y: Tensor
    slopes: tuple[Tensor, Tensor, Tensor, Tensor]
    area: Tensor
    shy: tuple[Tensor, Tensor, Tensor]


class Depths(NamedTuple):
    """What depths are made of, ``[P]`` int64 each: of corner a, and what b and c are deeper."""

    a: Tensor
    b: Tensor
    c: Tensor


def edges_of(rows: Sequence[Tensor] | Tensor) -> Edges:
    """From rows of boxes, see :mod:`.setup`."""
    x, y, bx, gx, by, gy = ((row * SUBPIXELS).to(torch.int32) for row in rows[AX : AX + 6])
    # The edge from c to a runs along (by, -bx): to lower rows where bx > 0, else to the right where bx = 0 and by > 0.
    pairs = (-bx - gx, -by - gy), (bx, by), (gx, gy)
    shy = [((along_x < 0) | ((along_x == 0) & (along_y <= 0))).to(torch.int32) for along_x, along_y in pairs]
    return Edges(x, y, (bx, by, gx, gy), (bx * gy - by * gx).abs_(), (shy[0], shy[1], shy[2]))


def depths_of(rows: Sequence[Tensor] | Tensor) -> Depths:
    """From rows of boxes."""
    a, b, c = (row.to(torch.int64) for row in rows[ZA : ZA + 3])
    return Depths(a - DEPTH_ORIGIN, b - a, c - a)


def centre(pixel: Tensor) -> Tensor:
    """Of whole float32 numbers of columns or rows, in int32 16ths of a pixel."""
    return (pixel * SUBPIXELS + _HALF).to(torch.int32)


def draw(
    rows: Tensor | Sequence[Tensor], face: Tensor, view: Tensor | None, wide: int, high: int, target: DepthTarget
) -> None:
    """Evaluate ``wide x high`` pixels from each box's first one on and merge what is covered into the z-buffer.

    Args:
        rows, face, view: of :class:`~..boxes.Boxes`, see :mod:`.setup`.
        wide, high: pixels, which may be more or fewer than a box has.
        target: receives the fragments.
    """
    height, width = target.size
    edges, depths = edges_of(rows), depths_of(rows)
    x0, y0 = rows[X0], rows[Y0]
    steps = torch.arange(max(wide, high), dtype=torch.int32, device=face.device)[:, None] * SUBPIXELS
    dx, dy = centre(x0) - edges.x + steps[:wide], centre(y0) - edges.y + steps[:high]
    bx, by, gx, gy = edges.slopes
    b_across, b_down, c_across, c_down = bx * dx, by * dy - edges.shy[1], gx * dx, gy * dy - edges.shy[2]
    a_down = edges.area - (edges.shy[0] + edges.shy[1] + edges.shy[2]) - b_down - c_down
    b = b_down[:, None] + b_across
    c = c_down[:, None] + c_across
    a = a_down[:, None] - (b_across + c_across)
    uncovered = a.bitwise_or_(b).bitwise_or_(c).bitwise_right_shift_(31)  # all bits, or none
    depth = depth_at(b, c, edges, depths, target)
    depth = torch.maximum(depth, uncovered.bitwise_xor_(_LEAST))

    row = y0.to(torch.int64)
    if view is not None:
        row += view * height
    first = row.mul_(width).add_(x0.to(torch.int64))
    line = torch.arange(high, device=face.device)[:, None] * width
    column = torch.arange(wide, device=face.device)[:, None]
    merge((first + line)[:, None] + column, depth, face, target)


def depth_at(b: Tensor, c: Tensor, edges: Edges, depths: Depths, target: DepthTarget) -> Tensor:
    """Depths at covered pixels; any where none is covered.

    Args:
        b, c: ``[..., P]`` int32 values of the edges opposite b and c, less what they are :attr:`Edges.shy`.
        edges, depths: of the triangles.
        target: for which.

    Returns:
        int32 that broadcasts with them, less 2**31.
    """
    largest = torch.maximum(depths.b.abs(), depths.c.abs())
    if target.looks:
        most = float((largest.to(torch.float64) * edges.area).max())
        if most == 0.0:
            return depths.a.to(torch.int32)
        if most < _SURE:  # no product, sum or quotient in float64 is off by as much as 1/area
            of_b, of_c = depths.b.to(torch.float64), depths.c.to(torch.float64)
            numerator = (b * of_b).add_(c * of_c).add_(of_b * edges.shy[1] + of_c * edges.shy[2])
            return numerator.div_(edges.area).floor_().add_(depths.a).to(torch.int32)
    numerator = b * depths.b + c * depths.c + (depths.b * edges.shy[1] + depths.c * edges.shy[2])
    return (quotient(numerator, edges.area.to(torch.int64), target.float64) + depths.a).to(torch.int32)


def merge(pixel: Tensor, depth: Tensor, face: Tensor, target: DepthTarget) -> None:
    """Depth test.

    Args:
        pixel: ``[..., P]`` int64 place in the z-buffer.
        depth: int32 of that shape; :data:`~...diff_interface.NO_LAYER` where nothing is to be drawn.
        face: ``[P]`` int64, 1-based.
        target: receives the fragments.
    """
    if target.behind is not None:
        place = pixel.view(-1).clamp(max=len(target.behind) - 1)
        limit = target.behind.index_select(0, place).view(pixel.shape)
        depth = torch.where(depth > limit, depth, NO_LAYER)
    # The z-buffer keeps the lowest number of equal depths, and wanted is the last triangle.
    target.zbuffer.merge(pixel, depth, _LAST - face)


_LAST = 1 << 31


def shown(faces: Tensor) -> Tensor:
    """Ids, int32, of the numbers of a z-buffer, int32; 0 where empty."""
    return (-faces).bitwise_and_(_LAST - 1)  # 2**31 less the number, unless that is 0
