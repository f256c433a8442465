"""What follows from the triangle that a pixel shows: barycentrics, z/w, and their screen-space derivatives.

Corners are stacked, so that one operator works on all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .exact import difference_of_products

BYTES_PER_PIXEL = 700
"""Peak working memory of one pixel."""


class Corners(NamedTuple):
    """Clip coordinates of vertices 0, 1 and 2 of triangles, ``[3, P]`` each."""

    x: Tensor
    y: Tensor
    z: Tensor
    w: Tensor


class Areas(NamedTuple):
    """See *Values* in the rule, :mod:`rasterizer.contract.diff_rule`; all ``W*H`` times as large, or W, or H times.

    Attributes:
        x, y: ``x', y'`` of the corners ``[3, P]``, W and H times as large.
        a: of the corners, ``[3, P]``.
        total: their sum, ``at``.
    """

    x: Tensor
    y: Tensor
    a: Tensor
    total: Tensor


def ahead(values: Tensor) -> Tensor:
    """Of corners ``[..., 3, P]``: those of the corner after each."""
    return values.roll(-1, -2)


def behind(values: Tensor) -> Tensor:
    """Those of the corner before each, which is the one after the next."""
    return values.roll(1, -2)


def areas(corners: Corners, column: Tensor, row: Tensor, size: tuple[int, int]) -> Areas:
    """Areas at pixels.

    Args:
        corners: of their triangles, in the dtype to work in.
        column, row: twice the distance of the pixels from the middle of the image, ``2*column + 1 - W``, likewise.
        size: of the image.
    """
    height, width = size
    x = difference_of_products(width, corners.x, column, corners.w)
    y = difference_of_products(height, corners.y, row, corners.w)
    a = difference_of_products(ahead(x), behind(y), ahead(y), behind(x))
    return Areas(x, y, a, a[0] + a[1] + a[2])


def slopes(corners: Corners) -> Tensor:
    """Derivatives of the areas by ``fx`` and by ``fy``, ``[2, 3, P]``, not scaled."""
    ahead_w, behind_w = ahead(corners.w), behind(corners.w)
    by_x = difference_of_products(ahead(corners.y), behind_w, behind(corners.y), ahead_w)
    by_y = difference_of_products(behind(corners.x), ahead_w, ahead(corners.x), behind_w)
    return torch.stack((by_x, by_y))


def write_values(
    corners: Corners,
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
    scale = found.total.reciprocal()
    uv = clamped(found.a[:2] * scale, 0.0, 1.0)
    uv = uv / (uv[0] + uv[1]).clamp_(min=1.0)
    depth = sum_of_three(found.a * corners.z) / sum_of_three(found.a * corners.w)
    for to, of_pixels in zip(rast, (uv[0], uv[1], clamped(depth, -1.0, 1.0)), strict=True):
        to.copy_(of_pixels)
    by = slopes(corners)
    # The areas are W*H times as large: of 2/W is left 2*H.
    for axis, factor in enumerate((2.0 * height, 2.0 * width)):
        derivatives = (by[axis, :2] - uv * sum_of_three(by[axis])) * (scale * factor)
        rast_db[axis].copy_(derivatives[0])
        rast_db[axis + 2].copy_(derivatives[1])


def sum_of_three(values: Tensor) -> Tensor:
    """Over the first axis, in order."""
    return values[0] + values[1] + values[2]


def clamped(values: Tensor, low: float, high: float) -> Tensor:
    """In place; NaN is 0."""
    return torch.nan_to_num_(values, 0.0, high, low).clamp_(low, high)
