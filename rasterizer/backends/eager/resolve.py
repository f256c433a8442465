"""From winning faces to barycentrics, the last stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...contract.rule import complement, perspective
from .boxes import edges
from .triangles import Corners, Edge, Triangles, corner_weights

BYTES_PER_PIXEL = 200
"""Peak working memory of resolving one pixel; ``tests/runtime/test_memory.py`` measures it."""


def barycentrics_at(
    edge: Edge,
    weights: Sequence[Tensor] | Tensor | None,
    centre: tuple[Tensor, Tensor],
    float64: bool,
    one: Tensor | float = 1.0,
    out: Sequence[Tensor | None] = (None, None, None),
) -> tuple[Tensor, ...]:
    """Perspective-correct barycentrics at pixel centres.

    Args:
        edge, weights: what :meth:`Triangles.at` gives: of the face at each pixel.
        centre: x and y of pixel centres that broadcast with it, in the same dtype.
        float64: whether the device has float64.
        one: what they add up to, 0 on background.
        out: where to write them, if not into new memory.

    Returns:
        Three tensors of that shape.
    """
    corner, slopes, inv = edge
    dx, dy = (place - start for place, start in zip(centre, corner, strict=True))
    if isinstance(slopes, Tensor):
        beta, gamma = (slopes[0] * dx + slopes[1] * dy) * inv
    else:
        beta, gamma = ((x * dx).add_(y * dy) * inv for x, y in zip(*slopes, strict=True))
    return perspective((complement(beta, gamma, float64), beta, gamma), weights, one, out)


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
    view = None
    if views > 1:
        view = torch.div(line, height, rounding_mode="floor")
        line = line - view * height
    edge, weights = triangles.at(found, view)
    centre = column + 0.5, line.to(out.dtype) + 0.5
    barycentrics_at(edge, weights, centre, float64, found > 0, out.unbind(-1))


def barycentrics_of(pos: Tensor, tri: Tensor, findices: Tensor, float64: bool) -> Tensor:
    """Barycentrics ``[B, H, W, 3]`` of ``pos [B, N, 4]`` for given ``findices [B, H, W]``.

    By operators that autograd can pass through. Not part of the portable path: drawn pixels are selected with
    ``nonzero``.
    """
    views, height, width = findices.shape
    face = findices.reshape(-1)
    pixel = torch.nonzero(face).view(-1)  # only what is drawn: a background pixel must not bring NaN into the gradient
    line = torch.div(pixel, width, rounding_mode="floor")
    view = torch.div(line, height, rounding_mode="floor")
    centre = (pixel - line * width).to(pos.dtype) + 0.5, (line - view * height).to(pos.dtype) + 0.5
    found = Corners(pos, tri, (height, width), 1 << 62).at(face[pixel], view)
    triple = torch.stack(barycentrics_at(edges(found), corner_weights(found), centre, float64), dim=-1)
    out = triple.new_zeros((face.numel(), 3)).index_put((pixel,), triple)
    return out.view(views, height, width, 3)
