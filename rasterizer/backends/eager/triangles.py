"""The triangles of a call on the screen: corners looked up, and triangle setup, kept where it fits."""

from __future__ import annotations

import torch
from torch import Tensor

from ...contract.rule import constant
from ...runtime.policy import DevicePolicy
from .boxes import AX, BYTES_PER_TRIANGLE, INV, ROWS, WA, Boxes
from .layout import Corners, Edges, Layout, Vertices

_BYTES_PER_VERTEX = 96  # peak working memory of mapping one
_BYTES_PER_KEPT = 8  # of one number kept: its own, and as many while it is looked up


def batch_of(policy: DevicePolicy, budget: int) -> int:
    """Triangles to set up at once within so many bytes."""
    return max(1024, min(policy.batch, budget // 2 // BYTES_PER_TRIANGLE))


class ScreenCorners:
    """Screen-space corners of faces. Vertices are mapped once where they fit the budget, else whenever asked for."""

    def __init__(
        self, pos: Tensor, tri: Tensor, size: tuple[int, int], budget: int, layout: Layout, chunk: int
    ) -> None:
        """``pos [B, N, 4]``, ``tri [M, 3]``, image size ``(height, width)``.

        ``chunk``: see :meth:`Layout.map_vertices`.
        """
        self.views, count, _ = pos.shape
        self.faces, self.device, self.size, self.layout = tri.shape[0], tri.device, size, layout
        self._tri, flat = tri, pos.reshape(-1, 4)
        kept = layout.map_vertices(flat, size, chunk) if len(flat) * _BYTES_PER_VERTEX <= budget else (None, False)
        self._vertices = Vertices(flat, size, count, *kept)

    @property
    def orthographic(self) -> bool:
        """Every vertex is known to have a w of 1."""
        return self._vertices.orthographic

    def at(self, face: Tensor, view: Tensor | None) -> Corners:
        """Corners of faces, indices out of range taken to the nearest.

        Args:
            face: integer, 1-based.
            view: int64 that broadcasts with it, or None where there is one view.
        """
        face = (face - 1).clamp_(0, self.faces - 1)
        return self._corners(self._tri.index_select(0, face.view(-1)).view(*face.shape, 3), view)

    def run(self, start: int, stop: int) -> Corners:
        """As :meth:`at` for the faces from ``start`` to before ``stop``, 0-based, of the only view."""
        return self._corners(self._tri[start:stop], None)

    def _corners(self, tri: Tensor, view: Tensor | None) -> Corners:
        # Faces were checked at the door, but memory shared with NumPy can change behind PyTorch's back: layouts clamp.
        tri = tri if tri.dtype in (torch.int32, torch.int64) else tri.to(torch.int32)
        return self.layout.look_up(self._vertices, tri, None if view is None else view * self._vertices.count)


class Triangles:
    """Triangle setup of every face in every view, counted through all views; the last stage's part of it is kept where
    it fits the budget."""

    def __init__(self, corners: ScreenCorners, budget: int, chunk: int) -> None:
        """``chunk``: most triangles computed at once."""
        self.corners, self.layout, self.count = corners, corners.layout, corners.views * corners.faces
        self._chunk = chunk
        self._first = AX if corners.orthographic else WA  # of the rows that are kept, the last being INV
        self._kept = None
        if self.count * _BYTES_PER_KEPT * (INV + 1 - WA) <= budget:
            # Column 0 is no triangle: it stands for the background and gives it finite numbers.
            kept = (INV + 1 - self._first, self.count + 1)
            self._kept = torch.empty(kept, dtype=torch.float32, device=corners.device)
            nothing = (1.0,) * (AX - self._first) + (0.0,) * (INV + 1 - AX)
            self._kept[:, 0] = constant(nothing, corners.device)

    @property
    def kept(self) -> bool:
        """Whether setup is kept, by :meth:`set_up`, for :meth:`at`."""
        return self._kept is not None

    def set_up(self, start: int, stop: int) -> Boxes:
        """Boxes of the triangles ``start`` to ``stop``; the depth of a corner is NaN for those left out as not finite.
        Rows of ``w`` that is always 1 may not be set."""
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
            self.layout.set_up(corners, self.corners.size, made)
            if self._kept is not None:
                kept = self._kept[:, start + first + 1 : start + last + 1]
                self.layout.keep(made[self._first : INV + 1], kept)
        return Boxes(rows, face, view)

    def at(self, findex: Tensor, view: Tensor | None) -> Edges:
        """What barycentrics are made of, at pixels; finite numbers on background.

        Args:
            findex: int32, 1-based; 0 is background.
            view: int64 that broadcasts with it, or None where there is one view.
        """
        if self._kept is None:
            return self.layout.edges(self.corners.at(findex, view), findex == 0)
        index = findex if view is None else findex + view * self.corners.faces * (findex > 0)
        return self.layout.edges_kept(self._kept, index)
