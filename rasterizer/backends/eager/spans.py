"""Large boxes cut into runs of pixels, one row of the image each, that their triangle may cover: the CPU's tiles.

A run ends where an edge proves that no pixel beyond it is covered, so few candidates are evaluated in vain, whatever
the triangle's shape. The proof allows for rounding as :mod:`.boxes` does for whole boxes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...contract.rule import constant
from .boxes import AX, AY, WA, X0, X1, Y0, Y1
from .fragments import Target, draw_runs

_WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Runs are drawn in classes of these widths; longer ones are split."""

SMALL = 6
"""Boxes up to this many pixels a side are drawn whole."""

_SIDES = (1, 2, 3, 4, 6)

SMALL_SHAPES = tuple((wide, high) for high in _SIDES for wide in _SIDES)
"""``(wide, high)`` of the classes of small boxes."""

_RUNS = 1 << 17
"""About this many runs are sorted by class together."""

_CPU = torch.device("cpu")  # the default device may be another

_U16 = 2.0**-20
_SURE = 2.0**60  # between it and its inverse, no product of an area's reciprocal underflows


def half_planes(rows: Sequence[Tensor]) -> list[Tensor]:
    """The columns each edge leaves on a row, as ``least[k] = slope[k]*dy + low[k]`` and ``most`` with ``high[k]``.

    ``dy`` is the row's distance from corner a. A barycentric is at least 0 where ``A dx + B dy + C >= 0``, or, after
    rounding, ``-S``; the columns are ``dx + ax - 0.5``. All is widened by ``S`` and by the rounding of this bound.

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
    for across, down, rest in (
        (bx, by, beta_slack),
        (gx, gy, gamma_slack),
        (-bx - gx, -by - gy, area + alpha_slack),
    ):
        step = sign / across
        slope, place = -(down / across), -(rest * step)
        slack = (slope.abs() * far_y + place.abs()) * _U16 + 2.0**-6
        sure = sound & torch.isfinite(slack)
        ahead = step > 0
        slope = torch.where(sure, slope, torch.zeros_like(slope))
        place = place + origin
        low = torch.where(sure & ahead, place - slack, torch.full_like(place, -torch.inf))
        high = torch.where(sure & ~ahead, place + slack, torch.full_like(place, torch.inf))
        planes += [slope, low, high]
    return planes


def span_tasks(
    rows: list[Tensor], face: Tensor, target: Target, chunk: int
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Cut boxes into runs, and yield tasks that draw them.

    Args:
        rows, face: of :class:`~.boxes.Boxes`, none empty.
        target: as in :func:`~.fragments.draw`.
        chunk: most candidate pixels evaluated, and about as many rows of boxes cut, at once.

    Yields:
        The number of candidate pixels, and what draws them.
    """
    planes = half_planes(rows)
    counts = (rows[Y1] - rows[Y0]).to(torch.int64)
    stops = torch.cumsum(counts, 0)
    most = chunk // 4 * 3  # a box goes over it by less than its height
    cuts = torch.searchsorted(stops, torch.arange(1, -(-int(stops[-1]) // most), device=_CPU) * most).tolist()
    runs: list[tuple[Tensor, ...]] = []
    waiting = 0
    for start, stop in zip([0, *cuts], [*cuts, len(face)], strict=True):
        if start < stop:
            runs.append(_cut(rows, planes, counts, start, stop))
            waiting += len(runs[-1][0])
        if runs and (waiting >= _RUNS or stop == len(face)):
            yield from _by_width(rows, face, [torch.cat(parts) for parts in zip(*runs, strict=True)], target, chunk)
            runs, waiting = [], 0


def _cut(rows: Sequence[Tensor], planes: list[Tensor], counts: Tensor, start: int, stop: int) -> tuple[Tensor, ...]:
    """The runs of the boxes ``start`` to ``stop``: box, row, first and last column, and class of width."""
    mine = counts[start:stop]
    ends = torch.cumsum(mine, 0)
    box = _repeat(torch.arange(start, stop, device=_CPU), mine)
    number = torch.arange(len(box), dtype=torch.float32, device=_CPU)
    offset = torch.zeros(stop, dtype=torch.float32, device=_CPU)
    offset[start:] = rows[Y0][start:stop] - (ends - mine)
    row = number.add_(offset.index_select(0, box))
    dy = (row + 0.5).sub_(rows[AY].index_select(0, box))
    first, last = rows[X0].index_select(0, box), rows[X1].index_select(0, box).sub_(1.0)
    for place in range(0, len(planes), 3):
        slope, low, high = (plane.index_select(0, box) for plane in planes[place : place + 3])
        bound = slope.mul_(dy)
        first = torch.maximum(first, low.add_(bound))
        last = torch.minimum(last, high.add_(bound))
    first.ceil_()
    last.floor_()
    most = _WIDTHS[-1]
    length = last - first
    if float(length.amax()) >= most:
        pieces = ((length + most) / most).floor_().clamp_(min=0.0)
        times = pieces.to(torch.int64)
        run = _repeat(torch.arange(len(box), device=_CPU), times)
        each = ((length + pieces) / pieces).floor_().index_select(0, run)
        number = torch.arange(len(run), device=_CPU) - (torch.cumsum(times, 0) - times).index_select(0, run)
        box, row, first, last = (values.index_select(0, run) for values in (box, row, first, last))
        first.add_(number * each)
        last = torch.minimum(last, first + each - 1.0)
    kind = _classes().index_select(0, (last - first).add_(1.0).clamp_(0.0, most).to(torch.int64))
    return box, row, first, last, kind


def _by_width(
    rows: Sequence[Tensor], face: Tensor, runs: list[Tensor], target: Target, chunk: int
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Tasks that draw runs, of one class of widths each."""
    order, bounds = sort_by_kind(runs.pop(), len(_WIDTHS))
    for wide, start, stop in zip(_WIDTHS, bounds, bounds[1:], strict=False):
        most = max(1, chunk // wide)
        for begin in range(start, stop, most):
            some = order[begin : min(begin + most, stop)]
            yield len(some) * wide, partial(_draw, rows, face, runs, some, wide, target)


def _draw(rows: Sequence[Tensor], face: Tensor, runs: list[Tensor], some: Tensor, wide: int, target: Target) -> None:
    box, row, first, last = (values.index_select(0, some) for values in runs)
    *depths, _, _, _, ax, ay, bx, gx, by, gy, inv = gather(rows[:X0], box)
    dy = (row + 0.5).sub_(ay)
    line = row.to(torch.int64).mul_(target.size[1])
    down = by.mul_(dy), gy.mul_(dy)
    draw_runs(ax, (bx, gx), down, inv, depths, face.index_select(0, box), (first, last), line, wide, target)


def gather(rows: Sequence[Tensor], index: Tensor) -> list[Tensor]:
    """Boxes at ``index``, row by row, which on a CPU outweighs the other order; empty for the corners' w."""
    return [row[:0] if WA <= place < AX else row.index_select(0, index) for place, row in enumerate(rows)]


def _repeat(values: Tensor, times: Tensor) -> Tensor:
    """``repeat_interleave``, which NumPy does three times as fast and without other threads."""
    return torch.from_numpy(np.repeat(values.numpy(), times.numpy()))


def _small_class(wide: int, high: int) -> int:
    if not (wide and high):
        return len(SMALL_SHAPES) + 1
    shapes = enumerate(SMALL_SHAPES)
    return next((place for place, shape in shapes if wide <= shape[0] and high <= shape[1]), len(SMALL_SHAPES))


_SMALL_CLASSES = tuple(_small_class(wide, high) for high in range(SMALL + 2) for wide in range(SMALL + 2))
_CLASSES = (len(_WIDTHS), *(bisect_left(_WIDTHS, wide) for wide in range(1, _WIDTHS[-1] + 1)))


def small_classes() -> Tensor:
    """uint8 class of a box by ``min(high, SMALL + 1) * (SMALL + 2) + min(wide, SMALL + 1)``.

    One of :data:`SMALL_SHAPES`, then large boxes, then empty ones.
    """
    return constant(_SMALL_CLASSES, _CPU, torch.uint8)


def _classes() -> Tensor:
    """uint8 class of a run by its width, the number of classes where it is empty."""
    return constant(_CLASSES, _CPU, torch.uint8)


def sort_by_kind(kind: Tensor, kinds: int) -> tuple[Tensor, list[int]]:
    """Stable order of uint8 ``kind [T]`` where each of ``kinds`` starts, and where the last ends."""
    order = torch.from_numpy(np.argsort(kind.numpy(), kind="stable"))  # by digits, and without other threads
    return order, [0, *torch.cumsum(torch.bincount(kind, minlength=kinds)[:kinds], 0).tolist()]
