"""From winning faces to barycentrics, as the last and differentiable stage."""

from __future__ import annotations

import torch
from torch import Tensor

from ...arithmetic import complement, perspective
from .boxes import edges
from .triangles import Corners, Triangles

BYTES_PER_PIXEL = 200
"""Peak working memory of resolving one pixel; ``tests/rasterizer/test_memory.py`` measures it."""


def barycentrics_at(
    edge: tuple[Tensor, Tensor, Tensor],
    weights: Tensor | None,
    centre: tuple[Tensor, Tensor],
    float64: bool,
    one: Tensor | float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Perspective-correct barycentrics at pixel centres.

    Args:
        edge: corner a ``[2, ...]``, rows ``BX`` to ``GY`` ``[2, 2, ...]`` and ``INV`` of the face at each pixel.
        weights: the corners' clip ``w`` ``[3, ...]``, None where all are 1.
        centre: x and y of pixel centres that broadcast with it, in the same dtype.
        float64: whether the device has float64.
        one: what they add up to, 0 on background.

    Returns:
        Alpha, and ``[2, ...]`` beta and gamma.
    """
    corner, slopes, inv = edge
    dx, dy = (place - start for place, start in zip(centre, corner, strict=True))
    rest = (slopes[0] * dx + slopes[1] * dy) * inv
    return perspective(complement(*rest, float64), rest, weights, one)


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
    *edge, weights = (
        values if values is None else values.unflatten(-1, (rows, width))
        for values in triangles.at(found.reshape(-1), of_pixel)
    )
    centre = column + 0.5, line.to(out.dtype) + 0.5
    alpha, rest = barycentrics_at(tuple(edge), weights, centre, float64, found > 0)
    out[..., 0] = alpha
    out[..., 1:] = rest.permute(1, 2, 0)


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
    centre = (pixel - line * width).to(pos.dtype) + 0.5, (line - view * height).to(pos.dtype) + 0.5
    found = Corners(pos, tri, (height, width), 1 << 62).at(face[pixel], view)
    weights = torch.stack([found[5, place] for place in (1, 2, 0)])
    alpha, rest = barycentrics_at(edges(found), weights, centre, float64)
    triple = torch.cat((alpha[None], rest)).t()
    out = triple.new_zeros((face.numel(), 3)).index_put((pixel,), triple)
    return out.view(views, height, width, 3)
