"""The triangles of a call on the screen: corners looked up, and triangle setup, kept where it fits.

On a GPU quantities are kept in stacks, so that few operators work on all of them. A CPU's are kept apart, looked up one
by one where they lie side by side, and worked on row by row while they are in its cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...contract.rule import constant, screen_columns, to_screen
from .boxes import AX, INV, ROWS, WA, Boxes, edge_rows, edges, set_up, set_up_rows

_KEPT = INV + 1 - WA

Edge = tuple[Tensor, Tensor, Tensor] | tuple[tuple[Tensor, ...], tuple[tuple[Tensor, ...], ...], Tensor]
"""Corner a ``[2, ...]``, rows ``BX`` to ``GY`` of boxes ``[2, 2, ...]``, and row ``INV``: as tensors, or in tuples."""


class Corners:
    """Screen-space corners of faces. Vertices are mapped once where they fit the budget, else whenever asked for."""

    def __init__(self, pos: Tensor, tri: Tensor, size: tuple[int, int], budget: int, chunk: int = 0) -> None:
        """``pos [B, N, 4]``, ``tri [M, 3]``, image size ``(height, width)``.

        ``chunk``: vertices mapped at once to keep their coordinates apart, 0 to map and look up all together.
        """
        self.views, self.vertices, _ = pos.shape
        self.faces, self.device = tri.shape[0], tri.device
        self._flat, self._tri, self._height, self._width = pos.reshape(-1, 4), tri, *size
        self._mapped, self._by_column = None, chunk > 0
        self.orthographic = False  # every vertex is known to have a w of 1
        count = self._flat.shape[0]
        if count * 96 > budget:
            return
        if not chunk:
            self._mapped = self._map(self._flat)
            return
        self._mapped = torch.empty((4, count), dtype=pos.dtype, device=pos.device)
        self.orthographic = True
        for start in range(0, count, chunk):
            mapped = self._map_columns(self._flat[start : start + chunk])
            for row, values in zip(self._mapped[:, start : start + chunk].unbind(0), mapped, strict=True):
                row.copy_(values)
            self.orthographic &= bool((mapped[3] == 1.0).all())

    def at(self, face: Tensor, view: Tensor | None) -> Tensor | list[tuple[Tensor, ...]]:
        """Corners of faces, indices out of range taken to the nearest.

        Args:
            face: integer, 1-based.
            view: int64 that broadcasts with it, or None where there is one view.

        Returns:
            ``[6, 3, ...]``: ``-sx, -sy, sx, sy, sz, w`` of the corners c, a, b, in the order that :func:`~.boxes.edges`
            takes differences in; where they are kept apart ``sx, sy, sz``, and ``w`` if it is not always 1, for each of
            the corners a, b, c. All, or apart ``sx`` and ``sz``, are NaN for a vertex of which one is not finite.
        """
        face = (face - 1).clamp_(0, self.faces - 1)
        return self._corners(self._tri.index_select(0, face.view(-1)).view(*face.shape, 3), view)

    def run(self, start: int, stop: int) -> Tensor | list[tuple[Tensor, ...]]:
        """As :meth:`at` for the faces from ``start`` to before ``stop``, 0-based, of the only view."""
        return self._corners(self._tri[start:stop], None)

    def _corners(self, tri: Tensor, view: Tensor | None) -> Tensor | list[tuple[Tensor, ...]]:
        # Faces were checked at the door, but memory shared with NumPy can change behind PyTorch's back.
        tri = tri if tri.dtype in (torch.int32, torch.int64) else tri.to(torch.int32)
        if self._by_column:
            corners = [corner.clamp(0, self.vertices - 1) for corner in tri.unbind(-1)]
            return [self._columns_at(index if view is None else index + view * self.vertices) for index in corners]
        a, b, c = tri.clamp(0, self.vertices - 1).unbind(-1)
        index = torch.stack((c, a, b))
        if view is not None:
            index = index + view * self.vertices
        flat = index.view(-1)
        if self._mapped is None:
            corners = self._map(self._flat.index_select(0, flat))
        else:
            corners = self._mapped.index_select(1, flat)
        return corners.view(6, *index.shape)

    def _columns_at(self, index: Tensor) -> tuple[Tensor, ...]:
        flat = index.view(-1)
        if self._mapped is None:
            columns = self._map_columns(self._flat.index_select(0, flat))
        else:
            columns = (row.index_select(0, flat) for row in self._mapped[: 4 - self.orthographic].unbind(0))
        return tuple(column.view(index.shape) for column in columns)

    def _map(self, pos: Tensor) -> Tensor:
        pos = pos.t()
        screen = to_screen(pos, self._width, self._height)
        nothing = (screen - screen).sum(0)  # 0, or NaN if one of them is not finite
        return torch.cat((-screen[:2], screen[:3], pos[3:])) + nothing

    def _map_columns(self, pos: Tensor) -> tuple[Tensor, ...]:
        *xyz, w = pos.unbind(1)
        sx, sy, sz = screen_columns(*xyz, w, self._width, self._height)
        nothing = (sx - sx).add_(sy - sy).add_(sz - sz).add_(w - w)
        return sx.add_(nothing), sy, sz.add_(nothing), w


class Triangles:
    """Triangle setup of every face in every view, counted through all views; the last stage's part of it is kept where
    it fits the budget."""

    def __init__(self, corners: Corners, size: tuple[int, int], budget: int, by_column: bool, chunk: int) -> None:
        """``size``: image ``(height, width)``. ``by_column``: see :class:`~rasterizer.runtime.policy.DevicePolicy`.
        ``chunk``: most triangles computed at once."""
        self.corners, self.count = corners, corners.views * corners.faces
        self._size, self._by_column, self._chunk = size, by_column, chunk
        self._first = AX if corners.orthographic else WA
        self._kept = None
        if self.count * 8 * _KEPT <= budget:
            # Column 0 is no triangle: it stands for the background and gives it finite numbers.
            kept = (INV + 1 - self._first, self.count + 1)
            self._kept = torch.empty(kept, dtype=torch.float32, device=corners.device)
            nothing = (1.0,) * (AX - self._first) + (0.0,) * (INV + 1 - AX)
            self._kept[:, 0] = constant(nothing, corners.device)

    def set_up(self, start: int, stop: int) -> Boxes:
        """Boxes of the triangles ``start`` to ``stop``; the depth of a corner is NaN for those left out as not finite.
        Where quantities are kept apart, rows of ``w`` that is always 1 are not set."""
        face, view = torch.arange(start + 1, stop + 1, device=self.corners.device), None
        if self.corners.views > 1:
            view = torch.div(face - 1, self.corners.faces, rounding_mode="floor")
            face = face - view * self.corners.faces
        step = min(self._chunk, stop - start)
        rows = torch.empty((ROWS, stop - start), dtype=torch.float32, device=face.device)
        for first in range(0, stop - start, step):
            last = min(first + step, stop - start)
            if view is None:
                corners = self.corners.run(start + first, start + last)
            else:
                corners = self.corners.at(face[first:last], view[first:last])
            made = rows[:, first:last]
            (set_up_rows if self._by_column else set_up)(corners, *self._size[::-1], made)
            if self._kept is not None:
                keep = self._kept[:, start + first + 1 : start + last + 1], made[self._first : INV + 1]
                for kept, row in zip(*(rows.unbind(0) for rows in keep), strict=True) if self._by_column else (keep,):
                    kept.copy_(row)
        return Boxes(rows, face, view)

    def at(self, findex: Tensor, view: Tensor | None) -> tuple[Edge, Sequence[Tensor] | Tensor | None]:
        """What barycentrics are made of, at pixels; finite numbers on background.

        Args:
            findex: int32, 1-based; 0 is background.
            view: int64 that broadcasts with it, or None where there is one view.

        Returns:
            Edges, and the corners' ``w`` ``[3, ...]``; None where all are 1.
        """
        if self._kept is None:
            return self._anew(findex, view)
        index = findex if view is None else findex + view * self.corners.faces * (findex > 0)
        flat = index.reshape(-1)
        if self._by_column:
            rows = [row.index_select(0, flat).view(index.shape) for row in self._kept.unbind(0)]
        else:
            rows = self._kept.index_select(1, flat).view(-1, *index.shape)
        weights, edge = rows[: AX - self._first], rows[AX - self._first :]
        return self._as_edge(edge), weights if len(weights) else None

    def _anew(self, findex: Tensor, view: Tensor | None) -> tuple[Edge, Sequence[Tensor] | Tensor | None]:
        empty, corners = findex == 0, self.corners.at(findex, view)
        if not self._by_column:
            a, slopes, inv = (values.masked_fill(empty, 0.0) for values in edges(corners))
            return (a, slopes, inv), corner_weights(corners).masked_fill(empty, 1.0)
        edge = self._as_edge([row.masked_fill(empty, 0.0) for row in edge_rows(*corners)])
        if self.corners.orthographic:
            return edge, None
        return edge, [corner[3].masked_fill(empty, 1.0) for corner in corners]

    def _as_edge(self, rows: Sequence[Tensor] | Tensor) -> Edge:
        """From rows ``AX`` to ``INV``."""
        if self._by_column:
            ax, ay, bx, gx, by, gy, inv = rows
            return (ax, ay), ((bx, gx), (by, gy)), inv
        return rows[:2], rows[2:6].unflatten(0, (2, 2)), rows[6]


def corner_weights(corners: Tensor) -> Tensor:
    """``w`` of the corners a, b and c ``[3, ...]``, from stacks of :class:`Corners`."""
    return torch.stack([corners[5, place] for place in (1, 2, 0)])
