"""The gradient of vertices from those of barycentrics and their derivatives, at one pixel.

See *Gradient* in the rule, :mod:`rasterizer.contract.diff_rule`. With ``s`` the area that is divided by, ``u = a0/s``
and ``du/dX = (2/W)*(a0_x - u*at_x)/s``, the loss depends on the areas ``ai`` and on their slopes ``ai_x, ai_y``. Its
derivatives by those of u's and v's corner, and by the sum over all three, are worked out first; then areas and slopes
are products of the corners' coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from ....contract.diff_rule import GRADIENT_OFFSET
from .values import Areas, Corners, ahead, areas, behind, slopes

BYTES_PER_PIXEL = 1200
"""Peak working memory of one pixel."""


def gradient_at(
    corners: Corners, column: Tensor, row: Tensor, size: tuple[int, int], d_uv: Tensor, d_db: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients at pixels.

    Args:
        corners, column, row, size: see :func:`.values.areas`.
        d_uv: upstream, of u and v, ``[2, P]``.
        d_db: of the derivatives, ``[2, 2, P]``: of u and v, by X and Y; None where there is none.

    Returns:
        Of x, y and w of the corners, ``[3, P]`` each.
    """
    height, width = size
    found = areas(corners, column, row, size)
    x, y = found.x / width, found.y / height
    of_a, of_slopes = _through_areas(corners, found, size, d_uv, d_db)
    a_ahead, a_behind = ahead(of_a), behind(of_a)
    gx = a_behind * ahead(y) - a_ahead * behind(y)
    gy = a_ahead * behind(x) - a_behind * ahead(x)
    gw = -(gx * (column / width) + gy * (row / height))
    if of_slopes is not None:
        (x_ahead, y_ahead), (x_behind, y_behind) = ahead(of_slopes), behind(of_slopes)
        w_ahead, w_behind = ahead(corners.w), behind(corners.w)
        gx = gx + (y_ahead * w_behind - y_behind * w_ahead)
        gy = gy + (x_behind * w_ahead - x_ahead * w_behind)
        gw = gw + (x_ahead * behind(corners.y) - x_behind * ahead(corners.y))
        gw = gw + (y_behind * ahead(corners.x) - y_ahead * behind(corners.x))
    return gx, gy, gw


def _through_areas(
    corners: Corners, found: Areas, size: tuple[int, int], d_uv: Tensor, d_db: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Derivatives of the loss by the areas ``[3, P]`` and by their slopes by x and y ``[2, 3, P]``."""
    height, width = size
    total = found.total / (width * height)
    inverse = (total + torch.copysign(torch.full_like(total, GRADIENT_OFFSET), total)).reciprocal()
    uv = found.a[:2] * (inverse / (width * height))
    of_slopes = through_s = None
    if d_db is not None:
        by = slopes(corners)
        totals = by[:, 0] + by[:, 1] + by[:, 2]
        # Upstream gradients of what the derivatives are without the factor 1/s.
        upstream = d_db * torch.stack((inverse * (2.0 / width), inverse * (2.0 / height)))
        through_s = upstream * (by[:, :2].transpose(0, 1) - uv[:, None] * totals)
        through_s = (through_s[0, 0] + through_s[0, 1]) + (through_s[1, 0] + through_s[1, 1])
        d_uv = d_uv - (upstream[:, 0] * totals[0] + upstream[:, 1] * totals[1])
        of_total = uv[0] * upstream[0] + uv[1] * upstream[1]
        of_slopes = _with_third(upstream.transpose(0, 1)) - of_total[:, None]
    of_total = d_uv[0] * uv[0] + d_uv[1] * uv[1]
    if through_s is not None:
        of_total = of_total + through_s
    return (_with_third(d_uv) - of_total) * inverse, of_slopes


def _with_third(values: Tensor) -> Tensor:
    """``[..., 2, P]`` of the corners of u and v, with 0 for the third."""
    return torch.cat((values, torch.zeros_like(values[..., :1, :])), -2)
