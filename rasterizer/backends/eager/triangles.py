"""The triangles of a call on the screen: corners looked up, and triangle setup, kept where it fits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...arithmetic import screen_columns
from .boxes import INV, ROWS, Boxes, edges, set_up

_BYTES_KEPT = 4 * (INV + 1 + 3)


def write_rows(rows: Sequence[Tensor], out: Tensor, by_column: bool) -> None:
    """Stack ``rows`` into ``out``: one launch, or one copy each, which on a CPU starts no threads."""
    if by_column:
        for row, place in zip(rows, out.unbind(0), strict=True):
            place.copy_(row)
    else:
        torch.stack(tuple(rows), out=out)


class Corners:
    """Screen-space corners of faces. Vertices are mapped once where they fit the budget, else whenever asked for."""

    def __init__(self, pos: Tensor, tri: Tensor, size: tuple[int, int], budget: int, chunk: int = 0) -> None:
        """``pos [B, N, 4]``, ``tri [M, 3]``, image size ``(height, width)``.

        ``chunk``: vertices mapped at once to keep their coordinates apart, 0 to map all and keep them together.
        """
        self.views, self.vertices, _ = pos.shape
        self.faces, self.device = tri.shape[0], tri.device
        self._flat, self._tri, self._height, self._width = pos.reshape(-1, 4), tri, *size
        self._rows = self._columns = None
        self.orthographic = False  # every vertex is known to have a w of 1
        if self._flat.shape[0] * 64 > budget:
            return
        if not chunk:
            self._rows = torch.stack(self._map(self._flat), dim=1)
            return
        self._columns = torch.empty((4, self._flat.shape[0]), dtype=pos.dtype, device=pos.device)
        self.orthographic = True
        for start in range(0, self._flat.shape[0], chunk):
            mapped = self._map(self._flat[start : start + chunk])
            write_rows(mapped, self._columns[:, start : start + chunk], True)
            self.orthographic &= bool((mapped[3] == 1.0).all())

    def at(self, face: Tensor, view: Tensor | None, quantities: tuple[int, ...]) -> list[tuple[Tensor, ...]]:
        """Corners a, b and c of faces, indices out of range taken to the nearest.

        Args:
            face: ``[P]`` int64, 0-based.
            view: ``[P]`` int64, or None where there is one view.
            quantities: which of ``sx, sy, sz, w`` (0 to 3).

        Returns:
            For each corner the quantities, ``[P]`` each; ``sx`` is NaN where one of the four is not finite.
        """
        return self._corners(self._tri.index_select(0, face.clamp(0, self.faces - 1)), view, quantities)

    def run(self, start: int, stop: int) -> list[tuple[Tensor, ...]]:
        """All quantities of the corners of the faces ``start`` to ``stop`` of the only view."""
        return self._corners(self._tri[start:stop], None, (0, 1, 2, 3))

    def _corners(self, tri: Tensor, view: Tensor | None, quantities: tuple[int, ...]) -> list[tuple[Tensor, ...]]:
        # Faces were checked at the door, but memory shared with NumPy can change behind PyTorch's back.
        if self._columns is None:
            index = tri.to(torch.int64).clamp(0, self.vertices - 1).unbind(1)
        else:
            index = tuple(column.to(torch.int64).clamp(0, self.vertices - 1) for column in tri.unbind(1))
        if view is not None:
            index = tuple(corner + view * self.vertices for corner in index)
        return [self._gather(corner, quantities) for corner in index]

    def _gather(self, index: Tensor, quantities: tuple[int, ...]) -> tuple[Tensor, ...]:
        if self._columns is not None:
            return tuple(self._columns[quantity].index_select(0, index) for quantity in quantities)
        if self._rows is not None:
            rows = self._rows.index_select(0, index).unbind(1)
        else:
            rows = self._map(self._flat.index_select(0, index))
        return tuple(rows[quantity] for quantity in quantities)

    def _map(self, pos: Tensor) -> tuple[Tensor, ...]:
        sx, sy, sz, w = screen_columns(*pos.unbind(1), self._width, self._height)
        nothing = (sx - sx) + (sy - sy) + (sz - sz) + (w - w)  # 0, or NaN if one of them is not finite
        return sx + nothing, sy, sz, w


class Triangles:
    """Triangle setup of every face in every view, counted through all views; the last stage's part of it is kept where
    it fits the budget."""

    def __init__(self, corners: Corners, size: tuple[int, int], budget: int, by_column: bool, chunk: int) -> None:
        """``size``: image ``(height, width)``. ``by_column``: see :class:`~rasterizer.device.DevicePolicy`. ``chunk``:
        most triangles computed at once."""
        self.corners, self.count = corners, corners.views * corners.faces
        self._size, self._by_column, self._chunk = size, by_column, chunk
        self._weighted = not corners.orthographic
        self._kept = None
        if self.count * 2 * _BYTES_KEPT <= budget:
            rows = INV + 1 + 3 * self._weighted
            # Column 0 is no triangle: it stands for the background and gives it finite numbers.
            self._kept = torch.empty((rows, self.count + 1), dtype=torch.float32, device=corners.device)
            self._kept[: INV + 1, 0], self._kept[INV + 1 :, 0] = 0.0, 1.0

    def set_up(self, start: int, stop: int) -> tuple[Boxes, Tensor]:
        """Boxes of the triangles ``start`` to ``stop``, and how many of these are left out as not finite."""
        height, width = self._size
        flat = torch.arange(start, stop, device=self.corners.device)
        face, view = flat, None
        if self.corners.views > 1:
            view = torch.div(flat, self.corners.faces, rounding_mode="floor")
            face = flat - view * self.corners.faces
        step = min(self._chunk, stop - start)
        rows = torch.empty((ROWS, stop - start), dtype=torch.float32, device=flat.device)
        invalid = []
        for first in range(0, stop - start, step):
            last = min(first + step, stop - start)
            if view is None:
                corners = self.corners.run(start + first, start + last)
            else:
                corners = self.corners.at(face[first:last], view[first:last], (0, 1, 2, 3))
            made, bad = set_up(corners, width, height)
            write_rows(made, rows[:, first:last], self._by_column)
            invalid.append(bad.sum())
            if self._kept is not None:
                keep = made[: INV + 1] + [corner[3] for corner in corners] * self._weighted
                write_rows(keep, self._kept[:, start + first + 1 : start + last + 1], self._by_column)
        return Boxes(rows, face, view), sum(invalid)

    def at(self, findex: Tensor, view: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
        """What barycentrics are made of, at pixels.

        Args:
            findex: ``[P]`` int32, 1-based; 0 is background.
            view: ``[P]`` int64, or None where there is one view.

        Returns:
            Rows ``AX`` to ``INV``, zeros on background, and the corners' ``w``, ones there, ``[P]`` each; no ``w``
            where all are 1.
        """
        if self._kept is None:
            corners, empty = self.corners.at(findex.to(torch.int64) - 1, view, (0, 1, 3)), findex == 0
            return (
                [row.masked_fill(empty, 0.0) for row in edges(*corners)],
                [corner[2].masked_fill(empty, 1.0) for corner in corners],
            )
        index = findex if view is None else findex + view * self.corners.faces * (findex > 0)
        if self._by_column:
            rows = [row.index_select(0, index) for row in self._kept.unbind(0)]
        else:
            rows = list(self._kept.index_select(1, index).unbind(0))
        return rows[: INV + 1], rows[INV + 1 :]
