"""The rule's drawing, as :class:`~.frame.Drawing`: boxes by a layout, and runs by the columns that edges leave on a
row.

The proof that no pixel beyond a run is covered allows for rounding as :mod:`.boxes` does for whole boxes; see
docs/exactness.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import columns
from .boxes import AX, AY, X0, X1
from .fragments import Target, pixel_centres
from .layout import Layout
from .spans import gather

_U16 = 2.0**-20  # 16 roundings
_BOUND_SLACK = 2.0**-6  # pixels; of the last sums in a bound
_SURE = 2.0**60  # areas between this and its inverse: no product of an area's reciprocal underflows


@dataclass(frozen=True)
class RuleDrawing:
    """Draws by :mod:`rasterizer.contract.rule`; runs with columns only. ``target`` receives the fragments."""

    layout: Layout
    target: Target

    def draw(self, rows: Tensor | Sequence[Tensor], face: Tensor, view: Tensor | None, wide: int, high: int) -> None:
        """See :meth:`.Layout.draw`."""
        self.layout.draw(rows, face, view, wide, high, self.target)

    def half_planes(self, rows: Sequence[Tensor]) -> list[Tensor]:
        """See :func:`half_planes`."""
        return half_planes(rows)

    def ends(self, rows: Sequence[Tensor], planes: Sequence[Tensor], box: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`.Drawing.ends`."""
        dy = (row + 0.5).sub_(rows[AY].index_select(0, box))
        first, last = rows[X0].index_select(0, box), rows[X1].index_select(0, box).sub_(1.0)
        for place in range(0, len(planes), 3):
            slope, low, high = (plane.index_select(0, box) for plane in planes[place : place + 3])
            slanted = slope.mul_(dy)
            first = torch.maximum(first, low.add_(slanted))
            last = torch.minimum(last, high.add_(slanted))
        return first.ceil_(), last.floor_()

    def draw_runs(self, rows: Sequence[Tensor], face: Tensor, runs: Sequence[Tensor], some: Tensor, wide: int) -> None:
        """See :meth:`.Drawing.draw_runs`."""
        box, row, first, last = (values.index_select(0, some) for values in runs)
        *depths, _, _, _, ax, ay, bx, gx, by, gy, inv = gather(rows[:X0], box)
        dy = (row + 0.5).sub_(ay)
        line = row.to(torch.int64).mul_(self.target.size[1])
        beta_down, gamma_down = by.mul_(dy), gy.mul_(dy)
        centre = pixel_centres(first, last.add_(0.5), wide)
        pixel = centre.to(torch.int64).add_(line)
        dx = centre.sub_(ax)
        beta = (dx * bx).add_(beta_down).mul_(inv)
        gamma = dx.mul_(gx).add_(gamma_down).mul_(inv)
        columns.merge((beta, gamma), depths, face.index_select(0, box), pixel, self.target)


def half_planes(rows: Sequence[Tensor]) -> list[Tensor]:
    """The columns each edge leaves on a row, as ``least[k] = slope[k]*dy + low[k]`` and ``most`` with ``high[k]``.

    ``dy`` is the row's distance from corner a. A barycentric is at least 0 where ``X dx + Y dy + R >= 0``, or, after
    rounding, ``-S``; solved for ``dx``, the column is ``dx + ax - 0.5``. All is widened by ``S`` and by the rounding of
    this bound; see docs/exactness.md.

    Args:
        rows: of :class:`~.boxes.Boxes`.

    Returns:
        ``slope, low, high`` of beta, gamma and alpha in turn, ``[T]`` each; infinite where an edge bounds only the
        other end, or nothing.
    """
    ax, ay, bx, gx, by, gy, inv, x0, y0, x1, y1 = rows[AX:]
    far_x = torch.maximum((x0 + 0.5 - ax).abs(), (x1 - 0.5 - ax).abs())
    far_y = torch.maximum((y0 + 0.5 - ay).abs(), (y1 - 0.5 - ay).abs())
    sign, area = torch.sign(inv), 1.0 / inv.abs()
    sound = (area < _SURE) & (area * _SURE > 1.0)
    beta_slack = (by.abs() * far_y + far_x * bx.abs()) * _U16
    gamma_slack = (gy.abs() * far_y + far_x * gx.abs()) * _U16
    alpha_slack = beta_slack + gamma_slack + area * _U16
    origin = ax - 0.5
    planes = []
    for slope_x, slope_y, rest in (
        (bx, by, beta_slack),
        (gx, gy, gamma_slack),
        (-bx - gx, -by - gy, area + alpha_slack),
    ):
        towards = sign / slope_x  # positive where the barycentric grows with the column
        slope, place = -(slope_y / slope_x), -(rest * towards)
        slack = (slope.abs() * far_y + place.abs()) * _U16 + _BOUND_SLACK
        sure = sound & torch.isfinite(slack)
        bounds_first = towards > 0
        slope = torch.where(sure, slope, torch.zeros_like(slope))
        place = place + origin
        low = torch.where(sure & bounds_first, place - slack, torch.full_like(place, -torch.inf))
        high = torch.where(sure & ~bounds_first, place + slack, torch.full_like(place, torch.inf))
        planes += [slope, low, high]
    return planes
