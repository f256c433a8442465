"""From winning faces to barycentrics, as the last and differentiable stage."""

from __future__ import annotations

import torch
from torch import Tensor

from ...arithmetic import complement, perspective, to_screen

BYTES_PER_PIXEL = 200
"""Peak working memory of resolving one pixel; ``tests/rasterizer/test_memory.py`` measures it."""


class Corners:
    """Screen-space corners of faces. Vertices are mapped once where they fit the budget, else whenever asked for."""

    def __init__(self, pos: Tensor, tri: Tensor, size: tuple[int, int], budget: int, by_column: bool) -> None:
        """``pos [B, N, 4]``, ``tri [M, 3]``, image size ``(height, width)``."""
        self.views, self.vertices, _ = pos.shape
        self.faces, self.device = tri.shape[0], tri.device
        self._flat, self._size = pos.reshape(-1, 4), size[::-1]
        self._tri, self._rows, self._columns, self._tri_columns = tri, None, None, None
        if self._flat.shape[0] * 64 <= budget:
            self._rows = to_screen(self._flat, *self._size)
            if by_column:
                self._columns = self._rows.t().contiguous()
        if by_column and self.faces * 64 <= budget:
            self._tri_columns = tri.t().to(torch.int64).contiguous()

    def at(self, face: Tensor, view: Tensor | None, quantities: tuple[int, ...]) -> list[tuple[Tensor, ...]]:
        """Corners a, b and c of ``face [P]`` int64, indices out of range taken to the nearest.

        Args:
            face: 0-based.
            view: ``[P]`` int64, or None where there is one view.
            quantities: which of ``sx, sy, sz, w`` (0 to 3).

        Returns:
            For each corner the quantities, ``[P]`` each.
        """
        face = face.clamp(0, self.faces - 1)
        if self._tri_columns is not None:
            index = [column.index_select(0, face) for column in self._tri_columns]
        else:
            index = self._tri.index_select(0, face).to(torch.int64).unbind(1)
        # Faces were checked at the door, but memory shared with NumPy can change behind PyTorch's back.
        index = [corner.clamp(0, self.vertices - 1) for corner in index]
        if view is not None:
            index = [corner + view * self.vertices for corner in index]
        return [self._gather(corner, quantities) for corner in index]

    def _gather(self, index: Tensor, quantities: tuple[int, ...]) -> tuple[Tensor, ...]:
        if self._columns is not None:
            return tuple(self._columns[quantity].index_select(0, index) for quantity in quantities)
        if self._rows is not None:
            rows = self._rows.index_select(0, index)
        else:
            rows = to_screen(self._flat.index_select(0, index), *self._size)
        return tuple(rows[:, quantity] for quantity in quantities)


def barycentrics_at(
    corners: list[tuple[Tensor, ...]], row: Tensor, column: Tensor, float64: bool
) -> tuple[Tensor, ...]:
    """Perspective-correct barycentrics at pixel centres.

    Args:
        corners: of the face at each pixel, a, b and c, as screen-space ``sx, sy, w`` of one shape.
        row, column: pixel coordinates that broadcast with it, in the corners' dtype.
        float64: whether the device has float64.

    Returns:
        Three tensors of that shape.
    """
    (ax, ay, aw), (bx, by, bw), (cx, cy, cw) = corners
    acx, acy, abx, aby = cx - ax, cy - ay, bx - ax, by - ay
    inv = 1.0 / (acx * aby - abx * acy)
    dx, dy = column + 0.5 - ax, row + 0.5 - ay
    beta = (acx * dy - dx * acy) * inv
    gamma = (dx * aby - abx * dy) * inv
    return perspective(complement(beta, gamma, float64), beta, gamma, aw, bw, cw)


def resolve(findices: Tensor, corners: Corners, start: int, float64: bool, out: Tensor) -> None:
    """Write the barycentrics of a run of rows into ``out``, zeros where ``findices`` is 0.

    Args:
        findices: ``[V, H, W]`` winning faces.
        corners: of the mesh in all views.
        start: first of the rows to do, counted through all views; as many as ``out`` has.
        float64: whether the device has float64.
        out: ``[R, W, 3]``.
    """
    _, height, width = findices.shape
    rows = out.shape[0]
    face = findices.view(-1, width)[start : start + rows]
    line = torch.arange(start, start + rows, device=face.device)[:, None]
    view = torch.div(line, height, rounding_mode="floor")
    column = torch.arange(width, dtype=out.dtype, device=face.device)
    of_pixel = view.expand(rows, width).reshape(-1) if corners.views > 1 else None
    found = corners.at(face.reshape(-1).to(torch.int64) - 1, of_pixel, (0, 1, 3))
    shaped = [tuple(quantity.view(rows, width) for quantity in corner) for corner in found]
    drawn = face > 0
    for place, weight in enumerate(barycentrics_at(shaped, (line - view * height).to(out.dtype), column, float64)):
        out[..., place] = torch.where(drawn, weight, 0.0)  # the background evaluated face 0, which may be degenerate


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
    corners = Corners(pos, tri, (height, width), 1 << 62, by_column=False)
    found = corners.at(face[pixel].to(torch.int64) - 1, view, (0, 1, 3))
    triple = torch.stack(barycentrics_at(found, row, column, float64), dim=-1)
    out = triple.new_zeros((face.numel(), 3)).index_put((pixel,), triple)
    return out.view(views, height, width, 3)
