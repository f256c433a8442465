"""Triangle setup: from corners on the screen to boxes of candidate pixels, as :mod:`..boxes` has them.

All rows are exact: positions and slopes are 16ths of a pixel, depths are whole numbers that float32 holds. Slopes are
those of the triangle in positive orientation, so that ``BX*dx + BY*dy`` and ``GX*dx + GY*dy``, in 16ths, are the values
of the edges opposite corners b and c. Clip w is not set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ....contract.diff_rule import SUBPIXELS, Tile
from ....runtime.policy import DevicePolicy
from ..boxes import AX, INV, ROWS, X0, X1, Y0, Y1, ZA, Boxes
from .clip import BYTES_PER_CLIPPED, PIECES, clip
from .vertices import NOT_FINITE, PLANES, Screen, Snapped, locate, on_tile, snap

BYTES_PER_TRIANGLE = 400
"""Peak working memory of one triangle."""

_HALF = SUBPIXELS // 2

Corner = tuple[Tensor, Tensor, Tensor]
"""``x, y`` int32 and ``depth`` float32, as in :class:`~.vertices.Snapped`, ``[T]`` each."""


class TileMesh:
    """The triangles of some images, on one tile of them."""

    def __init__(
        self,
        columns: Sequence[Tensor],
        corners: Sequence[Tensor],
        views: int,
        size: tuple[int, int],
        tile: Tile,
        policy: DevicePolicy,
        budget: int,
    ) -> None:
        """
        Args:
            columns: x, y, z, w ``[B*V]`` of all vertices, image after image.
            corners: vertices 0, 1 and 2 of triangles, ``[T]`` int32 each, any numbers.
            views: images, ``B``.
            size: of the images.
            tile: the part of them that is drawn.
            policy: what suits the device.
            budget: bytes of working memory.
        """
        self.views, self.triangles, self.vertices = views, len(corners[0]), len(columns[0]) // views
        self.count, self.device = views * self.triangles, columns[0].device
        self._columns, self._corners, self._size, self._tile = columns, corners, size, tile
        self._policy, self._budget = policy, budget
        self._screen = locate(columns, size, tile, policy.chunk)

    def boxes(self, start: int, stop: int) -> Iterator[Boxes]:
        """Boxes of the triangles ``start`` to before ``stop``, counted through all images. What is not drawn has an
        empty box, or none. Those of clipped triangles come last."""
        face, view = torch.arange(start, stop, device=self._corners[0].device), None
        if self.views > 1:
            view = torch.div(face, self.triangles, rounding_mode="floor")
            face = face - view * self.triangles
        corners, valid = self._look_up(face, view)
        a, b, c = (self._screen.code.index_select(0, corner) for corner in corners)
        every, some = a & b & c, a | b | c
        whole = valid & (some == 0)
        clipped = valid & (some & PLANES != 0) & (every & PLANES == 0) & (some & NOT_FINITE == 0)
        number = face + 1
        if self._policy.layout == "columns":
            drawn = _places(whole, self._policy)
            yield make_boxes(
                [_of(self._screen, corner.index_select(0, drawn)) for corner in corners],
                number.index_select(0, drawn),
                None if view is None else view.index_select(0, drawn),
                None,
            )
        else:
            yield make_boxes([_of(self._screen, corner) for corner in corners], number, view, whole)
        outside = _places(clipped, self._policy)
        step = max(1, min(self._policy.chunk, self._budget // 2 // BYTES_PER_CLIPPED))
        for begin in range(0, len(outside), step):
            places = outside[begin : begin + step]
            yield self._clipped(
                [corner.index_select(0, places) for corner in corners],
                number.index_select(0, places),
                None if view is None else view.index_select(0, places),
            )

    def _look_up(self, face: Tensor, view: Tensor | None) -> tuple[list[Tensor], Tensor]:
        """Vertices of triangles, counted through all images, and whether there are such."""
        corners, valid = [], torch.ones_like(face, dtype=torch.bool)
        for corner in self._corners:
            index = corner.index_select(0, face).to(torch.int64)
            valid &= (index >= 0) & (index < self.vertices)
            index = index.clamp_(0, self.vertices - 1)
            corners.append(index if view is None else index + view * self.vertices)
        return corners, valid

    def _clipped(self, corners: Sequence[Tensor], number: Tensor, view: Tensor | None) -> Boxes:
        """Boxes of the pieces of triangles."""
        vertices = []
        for corner in corners:
            x, y, z, w = (column.index_select(0, corner) for column in self._columns)
            vertices.append((*on_tile(x, y, w, self._size, self._tile), z, w))
        (x, y, z, w), count = clip(vertices)
        found = snap(x, y, z, w, self._tile)
        piece = torch.arange(2, PIECES + 2, device=count.device)[:, None]
        drawn = (piece < count) & found.finite[:1] & found.finite[1:-1] & found.finite[2:]
        three = [_rows(found, 0), _rows(found, 1), _rows(found, 2)]
        number = number.repeat(PIECES)
        view = None if view is None else view.repeat(PIECES)
        return make_boxes(three, number, view, drawn.view(-1))


def _rows(points: Snapped, first: int) -> Corner:
    """A corner of all pieces: of each polygon the first point, or those from ``first`` on."""

    def of(values: Tensor) -> Tensor:
        some = values[:1].expand(PIECES, -1) if first == 0 else values[first : first + PIECES]
        return some.reshape(-1)

    return of(points.x), of(points.y), of(points.depth)


def _of(screen: Screen, index: Tensor) -> Corner:
    return screen.x.index_select(0, index), screen.y.index_select(0, index), screen.depth.index_select(0, index)


def _places(mask: Tensor, policy: DevicePolicy) -> Tensor:
    """Where ``mask [N]`` is set. Waits for the device once, and for their number alone: some devices have no
    ``nonzero``."""
    if policy.layout == "columns":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    count = int(mask.sum())
    places = torch.arange(len(mask), device=mask.device)
    slot = torch.where(mask, torch.cumsum(mask, 0, dtype=torch.int64) - 1, len(mask))
    return places.new_zeros(len(mask) + 1).scatter_(0, slot, places)[:count]


def make_boxes(corners: Sequence[Corner], number: Tensor, view: Tensor | None, drawn: Tensor | None) -> Boxes:
    """Boxes of triangles.

    Args:
        corners: a, b and c.
        number: ``[T]`` int64, from 1 on.
        view: ``[T]`` int64, or None where there is one image.
        drawn: ``[T]`` bool, False for an empty box; None where all are drawn.
    """
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
    across, down, far_across, far_down = bx - ax, by - ay, cx - ax, cy - ay
    area = across * far_down - down * far_across
    sign, size = area.sign(), area.abs()
    if drawn is not None:
        size = size * drawn
    rows = torch.empty((ROWS, len(number)), dtype=torch.float32, device=number.device)
    for place, depth in enumerate((az, bz, cz), ZA):
        rows[place] = depth
    steps = ax, ay, far_down * sign, -down * sign, -far_across * sign, across * sign
    for place, values in enumerate(steps, AX):
        torch.mul(values.to(torch.float32), 1.0 / SUBPIXELS, out=rows[place])
    rows[INV] = float(SUBPIXELS**2) / size.to(torch.float32)
    # No limit of the image is needed: corners lie within it, and the first and last centre half a pixel further in.
    for first, stop, (a, b, c) in ((X0, X1, (ax, bx, cx)), (Y0, Y1, (ay, by, cy))):
        low, high = torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)
        rows[first] = (low + (SUBPIXELS - 1 - _HALF)) >> 4
        rows[stop] = torch.where(size > 0, (high + _HALF) >> 4, 0)
    return Boxes(rows, number, view)
