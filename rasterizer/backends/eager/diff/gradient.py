"""The gradient of vertices from those of barycentrics and their derivatives, at one pixel.

See *Gradient* in the rule, :mod:`rasterizer.contract.diff_rule`. With ``s`` the area that is divided by, ``u = a0/s``
and ``du/dX = (2/W)*(a0_x - u*at_x)/s``, the loss depends on the areas ``ai`` and on their slopes ``ai_x, ai_y``. Its
derivatives by those of u's and v's corner, and by the sum over all three, are worked out first; then areas and slopes
are products of the corners' coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ....contract.diff_rule import GRADIENT_OFFSET
from .values import Areas, Corner, areas, slopes

BYTES_PER_PIXEL = 1000
"""Peak working memory of one pixel."""


class _OfAreas(NamedTuple):
    """Derivatives of the loss by ``ai``, ``ai_x`` and ``ai_y``; the last two None where it does not depend on them."""

    a: list[Tensor]
    by_x: list[Tensor] | None
    by_y: list[Tensor] | None


def gradient_at(
    corners: Sequence[Corner],
    column: Tensor,
    row: Tensor,
    size: tuple[int, int],
    d_uv: Sequence[Tensor],
    d_db: Sequence[Tensor] | None,
) -> list[list[Tensor]]:
    """Gradients at pixels.

    Args:
        corners, column, row, size: see :func:`.values.areas`.
        d_uv: of u and v.
        d_db: of the four derivatives, None where there is none.

    Returns:
        Of corners 0, 1 and 2, those of x, y and w.
    """
    height, width = size
    found = areas(corners, column, row, size)
    x, y = [value / width for value in found.x], [value / height for value in found.y]
    a = _through_areas(corners, found, size, d_uv, d_db)
    fx, fy = column / width, row / height
    gradients = []
    for i in range(3):
        ahead, behind = corners[i - 2], corners[i - 1]  # corners i + 1 and i + 2
        a_ahead, a_behind = a.a[i - 2], a.a[i - 1]
        gx = a_behind * y[i - 2] - a_ahead * y[i - 1]
        gy = a_ahead * x[i - 1] - a_behind * x[i - 2]
        gw = -(fx * gx + fy * gy)
        if a.by_x is not None and a.by_y is not None:
            x_ahead, x_behind, y_ahead, y_behind = a.by_x[i - 2], a.by_x[i - 1], a.by_y[i - 2], a.by_y[i - 1]
            gx = gx + (y_ahead * behind.w - y_behind * ahead.w)
            gy = gy + (x_behind * ahead.w - x_ahead * behind.w)
            gw = gw + ((x_ahead * behind.y - x_behind * ahead.y) + (y_behind * ahead.x - y_ahead * behind.x))
        gradients.append([gx, gy, gw])
    return gradients


def _through_areas(
    corners: Sequence[Corner],
    found: Areas,
    size: tuple[int, int],
    d_uv: Sequence[Tensor],
    d_db: Sequence[Tensor] | None,
) -> _OfAreas:
    height, width = size
    total = found.total / (width * height)
    inverse = (total + torch.copysign(torch.full_like(total, GRADIENT_OFFSET), total)).reciprocal()
    u, v = (share * inverse / (width * height) for share in found.a[:2])
    du, dv = d_uv
    if d_db is None:
        sum_a = -inverse * (du * u + dv * v)
        return _OfAreas([du * inverse + sum_a, dv * inverse + sum_a, sum_a], None, None)
    by_x, by_y = slopes(corners)
    total_x, total_y = by_x[0] + by_x[1] + by_x[2], by_y[0] + by_y[1] + by_y[2]
    # Upstream gradients by what the derivatives are without the factor 1/s.
    ux, uy, vx, vy = (
        upstream * (2.0 / pixels) * inverse for upstream, pixels in zip(d_db, (width, height) * 2, strict=True)
    )
    du = du - (ux * total_x + uy * total_y)
    dv = dv - (vx * total_x + vy * total_y)
    through_s = (
        ux * (by_x[0] - u * total_x)
        + uy * (by_y[0] - u * total_y)
        + vx * (by_x[1] - v * total_x)
        + vy * (by_y[1] - v * total_y)
    )
    sum_a = -inverse * (du * u + dv * v + through_s)
    sum_x, sum_y = -(u * ux + v * vx), -(u * uy + v * vy)
    return _OfAreas(
        [du * inverse + sum_a, dv * inverse + sum_a, sum_a],
        [ux + sum_x, vx + sum_x, sum_x],
        [uy + sum_y, vy + sum_y, sum_y],
    )
