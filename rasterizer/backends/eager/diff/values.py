"""What follows from the triangle that a pixel shows: barycentrics, z/w, and their screen-space derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .exact import difference_of_products

BYTES_PER_PIXEL = 600
"""Peak working memory of one pixel."""


class Corner(NamedTuple):
    """Clip coordinates of a corner of the triangles at pixels, ``[P]`` each."""

    x: Tensor
    y: Tensor
    z: Tensor
    w: Tensor


class Areas(NamedTuple):
    """See *Values* in the rule, :mod:`rasterizer.contract.diff_rule`; all ``W*H`` times as large, or W, or H times.

    Attributes:
        x, y: ``x', y'`` of the corners, W and H times as large.
        a: of the corners.
        total: their sum, ``at``.
    """

    x: list[Tensor]
    y: list[Tensor]
    a: list[Tensor]
    total: Tensor


def areas(corners: Sequence[Corner], column: Tensor, row: Tensor, size: tuple[int, int]) -> Areas:
    """Areas at pixels.

    Args:
        corners: of their triangles, in the dtype to work in.
        column, row: twice the distance of the pixels from the middle of the image, ``2*column + 1 - W``, likewise.
        size: of the image.
    """
    height, width = size
    x = [difference_of_products(width, corner.x, column, corner.w) for corner in corners]
    y = [difference_of_products(height, corner.y, row, corner.w) for corner in corners]
    a = [difference_of_products(x[i - 2], y[i - 1], y[i - 2], x[i - 1]) for i in range(3)]
    return Areas(x, y, a, a[0] + a[1] + a[2])


def slopes(corners: Sequence[Corner]) -> tuple[list[Tensor], list[Tensor]]:
    """Derivatives of the areas by ``fx`` and by ``fy``, of each corner, not scaled."""
    ahead = [(corners[i - 2], corners[i - 1]) for i in range(3)]
    by_x = [difference_of_products(b.y, c.w, c.y, b.w) for b, c in ahead]
    by_y = [difference_of_products(c.x, b.w, b.x, c.w) for b, c in ahead]
    return by_x, by_y


def write_values(
    corners: Sequence[Corner],
    column: Tensor,
    row: Tensor,
    size: tuple[int, int],
    rast: Sequence[Tensor],
    rast_db: Sequence[Tensor],
) -> None:
    """Barycentrics, z/w and derivatives at pixels.

    Args:
        corners, column, row, size: see :func:`areas`.
        rast: where u, v and z/w go.
        rast_db: where the derivatives go.
    """
    height, width = size
    found = areas(corners, column, row, size)
    a, total = found.a, found.total
    scale = total.reciprocal()
    u, v = (clamped(share * scale, 0.0, 1.0) for share in a[:2])
    most = (u + v).clamp_(min=1.0)
    u, v = u / most, v / most
    depth, weight = (sum_of_products(a, [corner[place] for corner in corners]) for place in (2, 3))
    for to, values in zip(rast, (u, v, clamped(depth / weight, -1.0, 1.0)), strict=False):
        to.copy_(values)
    by_x, by_y = slopes(corners)
    # The areas are W*H times as large: of 2/W is left 2*H.
    for place, (factor, by) in enumerate(((2.0 * height, by_x), (2.0 * width, by_y))):
        of_total = by[0] + by[1] + by[2]
        for offset, share, slope in ((0, u, by[0]), (2, v, by[1])):
            rast_db[place + offset].copy_((slope - share * of_total) * scale * factor)


def sum_of_products(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Of three."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def clamped(values: Tensor, low: float, high: float) -> Tensor:
    """In place; NaN is 0."""
    return torch.nan_to_num_(values, 0.0, high, low).clamp_(low, high)
