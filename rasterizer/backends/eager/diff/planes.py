"""What a pixel shows of its triangle, for CPUs: from planes over the image, a table of which is made once a triangle.

See *Values* and *Derivatives* in the rule, :mod:`rasterizer.contract.diff_rule`. The areas are affine over the image,
and ``w0*a0 + w1*a1 + w2*a2`` is constant, so that z/w is affine, too. To lose no bits, planes are taken from an anchor
on, the pixel where a triangle's first vertex is, or the nearest. Everything is float64. Rows of a table, one column a
triangle::

    0, 1        column and row of the anchor
    2, 3, 4     a0, a1, at there, in units of pixels
    5, 6, 7     what they grow by from column to column
    8, 9, 10    and from row to row
    11, 12, 13  z/w at the anchor, and what it grows by

Column 0 is no triangle, whose values are all 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .values import Corners, areas, clamped, slopes, sum_of_three

ROWS = 14

BYTES_PER_TRIANGLE = 8 * ROWS
"""Of a table."""


def empty_table(triangles: int) -> Tensor:
    """A table for so many triangles, of which column 0 is set."""
    table = torch.empty((ROWS, triangles + 1), dtype=torch.float64, device="cpu")
    table[:, 0] = 0.0
    table[4, 0] = 1.0
    return table


def write_planes(corners: Corners, size: tuple[int, int], table: Tensor) -> None:
    """Planes of triangles.

    Args:
        corners: of them, float64.
        size: of the image, ``(height, width)``.
        table: ``[ROWS, T]`` to write to.
    """
    height, width = size
    x, y, w = (values[0] for values in (corners.x, corners.y, corners.w))
    column = torch.floor((x / w + 1.0) * (0.5 * width)).nan_to_num_(0.0).clamp_(0.0, width - 1.0)
    row = torch.floor((y / w + 1.0) * (0.5 * height)).nan_to_num_(0.0).clamp_(0.0, height - 1.0)
    a = areas(corners, column * 2.0 + (1 - width), row * 2.0 + (1 - height), size).a
    by_x, by_y = slopes(corners)
    scale = sum_of_three(a * corners.w).reciprocal_()
    table[0], table[1] = column, row
    # From a pixel to the next is 2/W or 2/H, and the areas are W*H times as large.
    for place, grows in enumerate((a, by_x.mul_(2.0 * height), by_y.mul_(2.0 * width))):
        table[2 + 3 * place], table[3 + 3 * place], table[4 + 3 * place] = grows[0], grows[1], sum_of_three(grows)
        table[11 + place] = sum_of_three(grows * corners.z).mul_(scale)


def write_values(
    table: Tensor, place: Tensor, column: Tensor, row: Tensor, rast: Sequence[Tensor], rast_db: Sequence[Tensor]
) -> None:
    """Barycentrics, z/w and derivatives of pixels.

    Args:
        table: of planes.
        place: ``[R, W]`` int32 or int64 columns of the table.
        column: ``[W]`` float64 columns of the image.
        row: ``[R, 1]`` float64 rows.
        rast: where u, v and z/w go, ``[R, W]`` each.
        rast_db: where the derivatives go.
    """
    flat = place.view(-1)

    def take(number: int) -> Tensor:
        return table[number].index_select(0, flat).view(place.shape)

    dx, dy = take(0).neg_().add_(column), take(1).neg_().add_(row)
    total_x, total_y = take(7), take(10)
    scale = take(4).addcmul_(dx, total_x).addcmul_(dy, total_y).reciprocal_()
    slopes_of = [(take(5 + share), take(8 + share)) for share in (0, 1)]
    u, v = (
        clamped(take(2 + share).addcmul_(dx, by_x).addcmul_(dy, by_y).mul_(scale), 0.0, 1.0)
        for share, (by_x, by_y) in enumerate(slopes_of)
    )
    most = (u + v).clamp_(min=1.0)
    u.div_(most)
    v.div_(most)
    depth = take(11).addcmul_(dx, take(12)).addcmul_(dy, take(13))
    for to, values in zip(rast, (u, v, clamped(depth, -1.0, 1.0)), strict=True):
        to.copy_(values)
    for number, (share, (by_x, by_y)) in enumerate(zip((u, v), slopes_of, strict=True)):
        torch.mul(by_x.addcmul_(share, total_x, value=-1.0), scale, out=rast_db[2 * number])
        torch.mul(by_y.addcmul_(share, total_y, value=-1.0), scale, out=rast_db[2 * number + 1])
