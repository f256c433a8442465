"""Runs of covered pixels on rows of large boxes, for CPUs: exact, so that nothing is evaluated in vain.

On a row an edge has the value ``N + x*A`` at column x of the box, both integers. It covers where that is at least 0,
its shyness included (:class:`~.draw.Edges`), or ``N + 1/2 + x*A`` above 0, which is never 0: from ``-(N + 1/2)/A`` on,
or up to there. A quotient in float64 is off by less than its distance from the next integer, which is at least ``1/(2
|A|)``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....contract.diff_rule import SUBPIXELS
from ..boxes import X0, X1, Y0
from ..spans import gather
from .draw import DepthTarget, Edges, centre, depth_at, depths_of, draw, edges_of, merge

_LEVEL = -(2.0**-40)  # stands for the -A of a level edge: what it bounds is then beyond every column, or none


@dataclass(frozen=True)
class DepthDrawing:
    """Draws by :mod:`rasterizer.contract.diff_rule`, as :class:`~..frame.Drawing`; ``target`` receives the
    fragments."""

    target: DepthTarget

    def draw(self, rows: Tensor | Sequence[Tensor], face: Tensor, view: Tensor | None, wide: int, high: int) -> None:
        """See :func:`.draw.draw`."""
        draw(rows, face, view, wide, high, self.target)

    def half_planes(self, rows: Sequence[Tensor]) -> list[Tensor]:
        """Of the edges opposite a, b and c in turn, float64: ``N + 1/2`` on the first row, what it grows by from row to
        row, ``-A``, and what to add to the quotient for a lower and for an upper bound, 0 or infinite."""
        edges = edges_of(rows)
        dx, dy = centre(rows[X0]) - edges.x, centre(rows[Y0]) - edges.y
        planes = []
        for value, by_x, by_y in _values(edges, dx, dy):
            falling = by_x < 0
            minus = (by_x * -SUBPIXELS).to(torch.float64)
            minus = torch.where(by_x == 0, _LEVEL, minus)
            lower, upper = minus.new_zeros(len(minus)), minus.new_full((len(minus),), torch.inf)
            lower.masked_fill_(falling, -torch.inf)
            upper.masked_fill_(falling, 0.0)
            planes += [value.to(torch.float64) + 0.5, (by_y * SUBPIXELS).to(torch.float64), minus, lower, upper]
        return planes

    def ends(self, rows: Sequence[Tensor], planes: Sequence[Tensor], box: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`~..frame.Drawing.ends`."""
        x0 = rows[X0].index_select(0, box)
        down = (row - rows[Y0].index_select(0, box)).to(torch.float64)
        first, last = torch.zeros_like(down), (rows[X1].index_select(0, box) - x0 - 1.0).to(torch.float64)
        for place in range(0, len(planes), 5):
            value, grows, minus, lower, upper = (plane.index_select(0, box) for plane in planes[place : place + 5])
            bound = value.add_(grows.mul_(down)).div_(minus)
            first = torch.maximum(first, lower.add_(bound))
            last = torch.minimum(last, upper.add_(bound))
        return first.ceil_().to(torch.float32).add_(x0), last.floor_().to(torch.float32).add_(x0)

    def draw_runs(self, rows: Sequence[Tensor], face: Tensor, runs: Sequence[Tensor], some: Tensor, wide: int) -> None:
        """See :meth:`~..frame.Drawing.draw_runs`."""
        box, row, first, last = (values.index_select(0, some) for values in runs)
        mine = gather(rows[:X0], box)
        edges, depths = edges_of(mine), depths_of(mine)
        dx, dy = centre(first) - edges.x, centre(row) - edges.y
        step = torch.arange(wide, dtype=torch.float32, device=face.device)[:, None]
        step = torch.minimum(step, last.sub_(first))
        pixel = step.to(torch.int64).add_(row.to(torch.int64).mul_(self.target.size[1]).add_(first.to(torch.int64)))
        across = step.to(torch.int32)
        b, c = (value + across * (by_x * SUBPIXELS) for value, by_x, _ in list(_values(edges, dx, dy))[1:])
        depth = depth_at(b, c, edges, depths, self.target)
        merge(pixel, depth.expand(pixel.shape), face.index_select(0, box), self.target)


def _values(edges: Edges, dx: Tensor, dy: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Of the edges opposite a, b and c: the value at a distance from corner a, less what it is shy, and the slopes."""
    bx, by, gx, gy = edges.slopes
    b, c = bx * dx + by * dy - edges.shy[1], gx * dx + gy * dy - edges.shy[2]
    a = edges.area - b - c - (edges.shy[0] + edges.shy[1] + edges.shy[2])
    return [(a, -bx - gx, -by - gy), (b, bx, by), (c, gx, gy)]
