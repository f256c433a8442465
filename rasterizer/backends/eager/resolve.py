"""From winning faces to barycentrics, as the last and differentiable stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...arithmetic import complement, perspective
from .boxes import edges
from .triangles import Corners, Triangles

BYTES_PER_PIXEL = 200
"""Peak working memory of resolving one pixel; ``tests/rasterizer/test_memory.py`` measures it."""


def barycentrics_at(
    edge: Sequence[Tensor], weights: Sequence[Tensor], row: Tensor, column: Tensor, float64: bool
) -> tuple[Tensor, ...]:
    """Perspective-correct barycentrics at pixel centres.

    Args:
        edge: rows ``AX`` to ``INV`` of the face at each pixel, of one shape.
        weights: the corners' clip ``w``, likewise; none where all are 1.
        row, column: pixel coordinates that broadcast with it, in the same dtype.
        float64: whether the device has float64.

    Returns:
        Three tensors of that shape.
    """
    ax, ay, acx, acy, abx, aby, inv = edge
    dx, dy = column + 0.5 - ax, row + 0.5 - ay
    beta = (acx * dy - dx * acy) * inv
    gamma = (dx * aby - abx * dy) * inv
    return perspective(complement(beta, gamma, float64), beta, gamma, *(weights or (None, None, None)))


def resolve(findices: Tensor, triangles: Triangles, start: int, float64: bool, out: Tensor) -> None:
    """Write the barycentrics of a run of rows into ``out``, zeros where ``findices`` is 0.

    Args:
        findices: ``[V, H, W]`` winning faces.
        triangles: of the mesh in all views.
        start: first of the rows to do, counted through all views; as many as ``out`` has.
        float64: whether the device has float64.
        out: ``[R, W, 3]``.
    """
    views, height, width = findices.shape
    rows = out.shape[0]
    found = findices.view(-1, width)[start : start + rows]
    line = torch.arange(start, start + rows, device=found.device)[:, None]
    column = torch.arange(width, dtype=out.dtype, device=found.device)
    of_pixel = None
    if views > 1:
        view = torch.div(line, height, rounding_mode="floor")
        line, of_pixel = line - view * height, view.expand(rows, width).reshape(-1)
    edge, weights = triangles.at(found.reshape(-1), of_pixel)
    edge = [quantity.view(rows, width) for quantity in edge]
    weights = [quantity.view(rows, width) for quantity in weights]
    alpha, beta, gamma = barycentrics_at(edge, weights, line.to(out.dtype), column, float64)
    torch.mul(alpha, found.clamp(max=1), out=out[..., 0])  # on the background they are 1, 0, 0
    out[..., 1], out[..., 2] = beta, gamma


def differentiable_barycentrics(pos: Tensor, tri: Tensor, findices: Tensor, float64: bool) -> Tensor:
    """Barycentrics as a differentiable function of ``pos [B, N, 4]``, for given ``findices [B, H, W]``.

    Visibility is piecewise constant, so the gradient covers the interior of faces, not their silhouettes. Not part of
    the portable path: it selects the drawn pixels with ``nonzero``.
    """
    views, height, width = findices.shape
    face = findices.reshape(-1)
    pixel = torch.nonzero(face).view(-1)  # only what is drawn: a background pixel must not bring NaN into the gradient
    line = torch.div(pixel, width, rounding_mode="floor")
    view = torch.div(line, height, rounding_mode="floor")
    row, column = (line - view * height).to(pos.dtype), (pixel - line * width).to(pos.dtype)
    corners = Corners(pos, tri, (height, width), 1 << 62)
    found = corners.at(face[pixel].to(torch.int64) - 1, view, (0, 1, 3))
    weights = [corner[2] for corner in found]
    triple = torch.stack(barycentrics_at(edges(*found), weights, row, column, float64), dim=-1)
    out = triple.new_zeros((face.numel(), 3)).index_put((pixel,), triple)
    return out.view(views, height, width, 3)
