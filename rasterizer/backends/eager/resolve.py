"""From winning faces to barycentrics, the last stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...contract.rule import complement, perspective
from . import stacks
from .layout import Edges, Layout
from .triangles import ScreenCorners, Triangles

BYTES_PER_PIXEL = 200
"""Peak working memory of resolving one pixel; ``tests/runtime/test_memory.py`` measures it."""

_NO_LIMIT = 1 << 62


def barycentrics_at(
    edges: Edges,
    centre: tuple[Tensor, Tensor],
    float64: bool,
    layout: Layout,
    one: Tensor | float = 1.0,
    out: Sequence[Tensor | None] = (None, None, None),
) -> tuple[Tensor, ...]:
    """Perspective-correct barycentrics at pixel centres.

    Args:
        edges: of the face at each pixel.
        centre: x and y of pixel centres that broadcast with it, in the same dtype.
        float64: whether the device has float64.
        layout: that of ``edges``.
        one: what barycentrics add up to, 0 on background.
        out: where to write them, if not into new memory.

    Returns:
        Three tensors of that shape.
    """
    dx, dy = (place - start for place, start in zip(centre, edges.corner, strict=True))
    beta, gamma = layout.beta_gamma(edges, dx, dy)
    return perspective((complement(beta, gamma, float64), beta, gamma), edges.weights, one, out)


def resolve(
    found: Tensor, triangles: Triangles, start: int, height: int, float64: bool, out: Tensor, left: int = 0
) -> None:
    """Write the barycentrics of a run of rows into ``out``, zeros where ``found`` is 0.

    Args:
        found: ``[R, W]`` winning faces.
        triangles: of the mesh in all views.
        start: first of the rows, counted through all views.
        height: rows of a view.
        float64: whether the device has float64.
        out: ``[R, W, 3]``.
        left: number of the first column.
    """
    rows, width = found.shape
    line = torch.arange(start, start + rows, device=found.device)[:, None]
    column = torch.arange(left, left + width, dtype=out.dtype, device=found.device)
    view = None
    if triangles.corners.views > 1:
        view = torch.div(line, height, rounding_mode="floor")
        line = line - view * height
    edges = triangles.at(found, view)
    centre = column + 0.5, line.to(out.dtype) + 0.5
    barycentrics_at(edges, centre, float64, triangles.layout, found > 0, out.unbind(-1))


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
    corners = ScreenCorners(pos, tri, (height, width), _NO_LIMIT, stacks, _NO_LIMIT).at(face[pixel], view)
    triple = torch.stack(barycentrics_at(stacks.edges(corners, None), centre, float64, stacks), dim=-1)
    out = triple.new_zeros((face.numel(), 3)).index_put((pixel,), triple)
    return out.view(views, height, width, 3)
