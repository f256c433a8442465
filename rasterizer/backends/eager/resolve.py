"""From winning faces to barycentrics, as the last and differentiable stage."""

from __future__ import annotations

import torch
from torch import Tensor

from ...arithmetic import complement, perspective, to_screen

BYTES_PER_PIXEL = 200
"""Peak working memory of resolving one pixel; ``tests/rasterizer/test_memory.py`` measures it."""


class ScreenVertices:
    """Screen-space vertices by index: mapped once where they fit the budget, else mapped again whenever asked for."""

    def __init__(self, pos: Tensor, width: int, height: int, budget: int) -> None:
        """``pos [B, N, 4]``; vertex n of view b has index ``b*N + n``."""
        self._flat, self._size = pos.reshape(-1, 4), (width, height)
        self._mapped = to_screen(self._flat, width, height) if self._flat.shape[0] * 64 <= budget else None

    def rows(self, index: Tensor) -> Tensor:
        """``[P, 4]`` for ``[P]`` int64 indices, as :func:`~rasterizer.arithmetic.to_screen` gives them."""
        if self._mapped is not None:
            return self._mapped.index_select(0, index)
        return to_screen(self._flat.index_select(0, index), *self._size)


def barycentrics_at(a: Tensor, b: Tensor, c: Tensor, row: Tensor, column: Tensor, float64: bool) -> tuple[Tensor, ...]:
    """Perspective-correct barycentrics at pixel centres.

    Args:
        a, b, c: ``[P, 4]`` screen-space corners of the face at each pixel.
        row, column: ``[P]`` pixel coordinates, in the corners' dtype.
        float64: whether the device has float64.

    Returns:
        Three ``[P]`` tensors.
    """
    ax, ay = a[:, 0], a[:, 1]
    acx, acy, abx, aby = c[:, 0] - ax, c[:, 1] - ay, b[:, 0] - ax, b[:, 1] - ay
    inv = 1.0 / (acx * aby - abx * acy)
    dx, dy = column + 0.5 - ax, row + 0.5 - ay
    beta = (acx * dy - dx * acy) * inv
    gamma = (dx * aby - abx * dy) * inv
    return perspective(complement(beta, gamma, float64), beta, gamma, a[:, 3], b[:, 3], c[:, 3])


def resolve(
    findices: Tensor, screen: Tensor, tri: Tensor, vertices: int, start: int, float64: bool, out: Tensor
) -> None:
    """Write the barycentrics of a run of pixels into ``out``, zeros where ``findices`` is 0.

    Args:
        findices: ``[V, H, W]`` winning faces.
        screen: vertices of all views.
        tri: ``[M, 3]`` faces.
        vertices: vertices per view.
        start: first of the flat pixels to do; as many as ``out`` has rows.
        out: ``[P, 3]``.
    """
    _, height, width = findices.shape
    stop = start + out.shape[0]
    face = findices.view(-1)[start:stop]
    pixel = torch.arange(start, stop, device=face.device)
    index, row, column = _locate(face, pixel, tri, vertices, height, width, out.dtype)
    corners = (screen.rows(corner) for corner in index.unbind(1))
    triple = torch.stack(barycentrics_at(*corners, row, column, float64), dim=-1)
    out.copy_(torch.where((face > 0)[:, None], triple, 0.0))  # the background evaluated face 0, which may be degenerate


def differentiable_barycentrics(pos: Tensor, tri: Tensor, findices: Tensor, float64: bool) -> Tensor:
    """Barycentrics as a differentiable function of ``pos [B, N, 4]``, for given ``findices [B, H, W]``.

    Visibility is piecewise constant, so the gradient covers the interior of faces, not their silhouettes. Not part of
    the portable path: it selects the drawn pixels with ``nonzero``.
    """
    views, height, width = findices.shape
    screen = to_screen(pos, width, height).reshape(-1, 4)
    face = findices.reshape(-1)
    pixel = torch.nonzero(face).view(-1)  # only what is drawn: a background pixel must not bring NaN into the gradient
    index, row, column = _locate(face[pixel], pixel, tri, pos.shape[1], height, width, pos.dtype)
    corners = (screen.index_select(0, corner) for corner in index.unbind(1))
    triple = torch.stack(barycentrics_at(*corners, row, column, float64), dim=-1)
    out = triple.new_zeros((face.numel(), 3)).index_put((pixel,), triple)
    return out.view(views, height, width, 3)


def _locate(
    face: Tensor, pixel: Tensor, tri: Tensor, vertices: int, height: int, width: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Vertex indices ``[P, 3]`` of each pixel's face (face 0 where empty), and the pixel's row and column."""
    line = torch.div(pixel, width, rounding_mode="floor")
    view = torch.div(line, height, rounding_mode="floor")
    face = (face.to(torch.int64) - 1).clamp_(0, tri.shape[0] - 1)
    index = tri.index_select(0, face).to(torch.int64).clamp_(0, vertices - 1) + (view * vertices)[:, None]
    return index, (line - view * height).to(dtype), (pixel - line * width).to(dtype)
