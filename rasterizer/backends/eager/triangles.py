"""The triangles of a call on the screen: corners looked up, and triangle setup, kept where it fits."""

from __future__ import annotations

import torch
from torch import Tensor

from ...arithmetic import constant, to_screen
from .boxes import AX, INV, ROWS, WA, Boxes, edges, set_up
from .sharing import planes

_KEPT = INV + 1 - WA


class Corners:
    """Screen-space corners of faces. Vertices are mapped once where they fit the budget, else whenever asked for."""

    def __init__(self, pos: Tensor, tri: Tensor, size: tuple[int, int], budget: int, chunk: int = 0) -> None:
        """``pos [B, N, 4]``, ``tri [M, 3]``, image size ``(height, width)``.

        ``chunk``: vertices mapped at once to look their coordinates up one by one, 0 to map and look up all together.
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
        self._mapped = torch.empty((6, count), dtype=pos.dtype, device=pos.device)
        self.orthographic = True
        for start in range(0, count, chunk):
            some = self._flat[start : start + chunk]
            for row, mapped in planes(True, self._mapped[:, start : start + chunk], self._map(some)):
                row.copy_(mapped)
            self.orthographic &= bool((some[:, 3] == 1.0).all())

    def at(self, face: Tensor, view: Tensor | None) -> Tensor:
        """Corners of faces, indices out of range taken to the nearest.

        Args:
            face: ``[P]`` integer, 1-based.
            view: ``[P]`` int64, or None where there is one view.

        Returns:
            ``[6, 3, P]``: ``-sx, -sy, sx, sy, sz, w`` of the corners c, a, b, in the order that :func:`~.boxes.edges`
            takes differences in. All are NaN for a vertex of which one is not finite.
        """
        return self._corners(self._tri.index_select(0, (face - 1).clamp_(0, self.faces - 1)), view)

    def run(self, start: int, stop: int) -> Tensor:
        """As :meth:`at` for the faces from ``start`` to before ``stop``, 0-based, of the only view."""
        return self._corners(self._tri[start:stop], None)

    def _corners(self, tri: Tensor, view: Tensor | None) -> Tensor:
        # Faces were checked at the door, but memory shared with NumPy can change behind PyTorch's back.
        tri = tri if tri.dtype in (torch.int32, torch.int64) else tri.to(torch.int32)
        a, b, c = tri.clamp(0, self.vertices - 1).unbind(1)
        index = torch.stack((c, a, b))
        if view is not None:
            index = index + view * self.vertices
        flat = index.view(-1)
        if self._mapped is None:
            corners = self._map(self._flat.index_select(0, flat))
        elif self._by_column:
            corners = torch.empty((6, flat.shape[0]), dtype=self._mapped.dtype, device=self.device)
            for quantity in range(2, 5 if self.orthographic else 6):
                torch.index_select(self._mapped[quantity], 0, flat, out=corners[quantity])
            torch.neg(corners[2:4], out=corners[:2])  # a sign costs less than two rows of look-ups
            if self.orthographic:
                corners[5] = 1.0
        else:
            corners = self._mapped.index_select(1, flat)
        return corners.view(6, 3, -1)

    def _map(self, pos: Tensor) -> Tensor:
        pos = pos.t()
        screen = to_screen(pos, self._width, self._height)
        nothing = (screen - screen).sum(0)  # 0, or NaN if one of them is not finite
        return torch.cat((-screen[:2], screen[:3], pos[3:])) + nothing


class Triangles:
    """Triangle setup of every face in every view, counted through all views; the last stage's part of it is kept where
    it fits the budget."""

    def __init__(self, corners: Corners, size: tuple[int, int], budget: int, by_column: bool, chunk: int) -> None:
        """``size``: image ``(height, width)``. ``by_column``: see :class:`~rasterizer.device.DevicePolicy`. ``chunk``:
        most triangles computed at once."""
        self.corners, self.count = corners, corners.views * corners.faces
        self._size, self._by_column, self._chunk = size, by_column, chunk
        self._first = AX if corners.orthographic else WA
        self._kept = None
        if self.count * 8 * _KEPT <= budget:
            # Column 0 is no triangle: it stands for the background and gives it finite numbers.
            self._kept = torch.empty((INV + 1 - self._first, self.count + 1), device=corners.device)
            nothing = (1.0,) * (AX - self._first) + (0.0,) * (INV + 1 - AX)
            self._kept[:, 0] = constant(nothing, corners.device)

    def set_up(self, start: int, stop: int) -> Boxes:
        """Boxes of the triangles ``start`` to ``stop``; corner a is NaN for those left out as not finite."""
        face, view = torch.arange(start + 1, stop + 1, device=self.corners.device), None
        if self.corners.views > 1:
            view = torch.div(face - 1, self.corners.faces, rounding_mode="floor")
            face = face - view * self.corners.faces
        step = min(self._chunk, stop - start)
        rows = torch.empty((ROWS, stop - start), device=face.device)
        for first in range(0, stop - start, step):
            last = min(first + step, stop - start)
            if view is None:
                corners = self.corners.run(start + first, start + last)
            else:
                corners = self.corners.at(face[first:last], view[first:last])
            made = rows[:, first:last]
            set_up(corners, *self._size[::-1], made, self._by_column)
            if self._kept is not None:
                kept = self._kept[:, start + first + 1 : start + last + 1]
                for keep, row in planes(self._by_column, kept, made[self._first : INV + 1]):
                    keep.copy_(row)
        return Boxes(rows, face, view)

    def at(self, findex: Tensor, view: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """What barycentrics are made of, at pixels; finite numbers on background.

        Args:
            findex: ``[P]`` int32, 1-based; 0 is background.
            view: ``[P]`` int64, or None where there is one view.

        Returns:
            Corner a ``[2, P]``, rows ``BX`` to ``GY`` as ``[2, 2, P]``, and row ``INV`` ``[P]`` of boxes, and the
            corners' ``w`` ``[3, P]``; None where all are 1.
        """
        if self._kept is None:
            empty, corners = findex == 0, self.corners.at(findex, view)
            a, slopes, inv = (values.masked_fill(empty, 0.0) for values in edges(corners))
            weights = torch.stack([corners[5, place] for place in (1, 2, 0)])
            return a, slopes, inv, weights.masked_fill(empty, 1.0)
        index = findex if view is None else findex + view * self.corners.faces * (findex > 0)
        if self._by_column:
            rows = torch.empty((len(self._kept), len(index)), device=index.device)
            for row, found in zip(self._kept.unbind(0), rows.unbind(0), strict=True):
                torch.index_select(row, 0, index, out=found)
        else:
            rows = self._kept.index_select(1, index)
        weights, edge = rows[: AX - self._first], rows[AX - self._first :]
        return edge[:2], edge[2:6].unflatten(0, (2, 2)), edge[6], weights if len(weights) else None
