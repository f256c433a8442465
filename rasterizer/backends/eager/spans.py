"""Large boxes cut into runs of pixels, one row of the image each, that their triangle may cover: the CPU's tiles.

A run ends where an edge proves that no pixel beyond it is covered, so few candidates are evaluated in vain, whatever
the triangle's shape. The proof allows for rounding as :mod:`.boxes` does for whole boxes; see docs/exactness.md.

Runs are five tensors ``[R]``::

    box     int64      index into the boxes that were cut          +----------------------+ y0
    row     float32    of the image                                |      ....            |
    first   float32    column, the first one                       |   [########]         | row: first 3, last 10
    last    float32    column, the last one                        |      ...........     |
    kind    uint8      index into _WIDTHS of the least width       +----------------------+ y1
                       that is enough; len(_WIDTHS): empty         x0                     x1
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...contract.rule import constant
from . import columns
from .boxes import AX, AY, WA, X0, X1, Y0, Y1, Boxes
from .fragments import Target, pixel_centres
from .frame import LARGE_SHARE, Frame

FEW = 256
"""Classes of fewer small boxes than this are not worth a turn of their own; their boxes are cut into runs."""

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

_U16 = 2.0**-20  # 16 roundings
_BOUND_SLACK = 2.0**-6  # pixels; of the last sums in a bound
_SURE = 2.0**60  # areas between this and its inverse: no product of an area's reciprocal underflows


def span_tasks(boxes: Boxes, frame: Frame) -> Iterator[tuple[int, Callable[[], None]]]:
    """Draw a batch of triangles: small boxes whole and large ones in runs. Numbers are waited for wherever that helps.

    Yields:
        The number of candidate pixels, and what draws them.
    """
    rows = boxes.rows.unbind(0)
    classes, kinds = len(SMALL_SHAPES), torch.empty(len(boxes), dtype=torch.uint8, device=boxes.face.device)
    all_pixels = large_pixels = 0.0
    for start in range(0, len(boxes), frame.chunk):
        some = boxes.slice(start, start + frame.chunk)
        x0, y0, x1, y1 = some.rows[X0:].unbind(0)
        wide, high = (x1 - x0).clamp_(min=0.0), (y1 - y0).clamp_(min=0.0)
        pixels = wide * high
        code = high.clamp_(max=SMALL + 1.0).mul_(SMALL + 2.0).add_(wide.clamp_(max=SMALL + 1.0)).to(torch.int64)
        kind = torch.index_select(_small_classes(), 0, code, out=kinds[start : start + frame.chunk])
        all_pixels += float(pixels.sum())
        large_pixels += float(pixels.mul_(kind == classes).sum())
        frame.invalid += int(some.invalid())
    frame.batch_pixels = all_pixels
    frame.all_pixels += all_pixels
    frame.large_pixels += large_pixels
    frame.used_tiles |= frame.options.mode == "tiled" or large_pixels > LARGE_SHARE * all_pixels
    order, bounds = _sort_by_kind(kinds, classes + 1)

    def task(index: Tensor, across: int, down: int) -> None:
        columns.draw(_gather(rows, index), boxes.face.index_select(0, index), None, across, down, frame.target)

    large = [order[bounds[-2] : bounds[-1]]]
    for (across, down), start, stop in zip(SMALL_SHAPES, bounds, bounds[1:], strict=False):
        if stop - start < FEW:
            large.append(order[start:stop])
            continue
        most = max(1, frame.chunk // (across * down))
        for begin in range(start, stop, most):
            index = order[begin : min(begin + most, stop)]
            yield len(index) * across * down, partial(task, index, across, down)
    index = torch.cat(large)
    for begin in range(0, len(index), frame.chunk):
        piece = index[begin : begin + frame.chunk]
        face = boxes.face.index_select(0, piece)
        yield from _run_tasks(_gather(rows, piece), face, frame.target, frame.chunk)


def _run_tasks(
    rows: list[Tensor], face: Tensor, target: Target, chunk: int
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Cut large boxes into runs, and yield tasks that draw them.

    Args:
        rows, face: of :class:`~.boxes.Boxes`, none empty.
        target: receives the fragments.
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


def _cut(rows: Sequence[Tensor], planes: list[Tensor], counts: Tensor, start: int, stop: int) -> tuple[Tensor, ...]:
    """The runs of the boxes ``start`` to ``stop``, of ``counts`` rows each."""
    heights = counts[start:stop]
    ends = torch.cumsum(heights, 0)
    box = _repeat(torch.arange(start, stop, device=_CPU), heights)
    number = torch.arange(len(box), dtype=torch.float32, device=_CPU)  # of a row, through all boxes
    first_row = torch.zeros(stop, dtype=torch.float32, device=_CPU)  # less the number of that row
    first_row[start:] = rows[Y0][start:stop] - (ends - heights)
    row = number.add_(first_row.index_select(0, box))
    dy = (row + 0.5).sub_(rows[AY].index_select(0, box))
    first, last = rows[X0].index_select(0, box), rows[X1].index_select(0, box).sub_(1.0)
    for place in range(0, len(planes), 3):
        slope, low, high = (plane.index_select(0, box) for plane in planes[place : place + 3])
        slanted = slope.mul_(dy)
        first = torch.maximum(first, low.add_(slanted))
        last = torch.minimum(last, high.add_(slanted))
    first.ceil_()
    last.floor_()
    longest = _WIDTHS[-1]
    steps = last - first  # one less than the run's pixels
    if float(steps.amax()) >= longest:
        pieces = ((steps + longest) / longest).floor_().clamp_(min=0.0)
        times = pieces.to(torch.int64)
        run = _repeat(torch.arange(len(box), device=_CPU), times)
        width = ((steps + pieces) / pieces).floor_().index_select(0, run)  # of all pieces of the run but the last
        piece = torch.arange(len(run), device=_CPU) - (torch.cumsum(times, 0) - times).index_select(0, run)
        box, row, first, last = (values.index_select(0, run) for values in (box, row, first, last))
        first.add_(piece * width)
        last = torch.minimum(last, first + width - 1.0)
    kind = _kinds().index_select(0, (last - first).add_(1.0).clamp_(0.0, longest).to(torch.int64))
    return box, row, first, last, kind


def _by_width(
    rows: Sequence[Tensor], face: Tensor, runs: list[Tensor], target: Target, chunk: int
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Tasks that draw runs, of one class of widths each."""
    order, bounds = _sort_by_kind(runs.pop(), len(_WIDTHS))
    for wide, start, stop in zip(_WIDTHS, bounds, bounds[1:], strict=False):
        most = max(1, chunk // wide)
        for begin in range(start, stop, most):
            some = order[begin : min(begin + most, stop)]
            yield len(some) * wide, partial(_draw, rows, face, runs, some, wide, target)


def _draw(rows: Sequence[Tensor], face: Tensor, runs: list[Tensor], some: Tensor, wide: int, target: Target) -> None:
    """Evaluate ``wide`` pixels of each of ``some`` runs, as :meth:`.Layout.draw` does of boxes.

    Args:
        rows, face: of the boxes that were cut.
        runs: box, row, first and last column.
        some: int64 indices of runs.
        wide: most pixels of these runs.
        target: receives the fragments.
    """
    box, row, first, last = (values.index_select(0, some) for values in runs)
    *depths, _, _, _, ax, ay, bx, gx, by, gy, inv = _gather(rows[:X0], box)
    dy = (row + 0.5).sub_(ay)
    line = row.to(torch.int64).mul_(target.size[1])
    beta_down, gamma_down = by.mul_(dy), gy.mul_(dy)
    centre = pixel_centres(first, last.add_(0.5), wide)
    pixel = centre.to(torch.int64).add_(line)
    dx = centre.sub_(ax)
    beta = (dx * bx).add_(beta_down).mul_(inv)
    gamma = dx.mul_(gx).add_(gamma_down).mul_(inv)
    columns.merge((beta, gamma), depths, face.index_select(0, box), pixel, target)


def _gather(rows: Sequence[Tensor], index: Tensor) -> list[Tensor]:
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
_KINDS = (len(_WIDTHS), *(bisect_left(_WIDTHS, wide) for wide in range(1, _WIDTHS[-1] + 1)))


def _small_classes() -> Tensor:
    """uint8 class of a box by ``min(high, SMALL + 1) * (SMALL + 2) + min(wide, SMALL + 1)``: an index into
    :data:`SMALL_SHAPES`, then one for large boxes, then one for empty ones."""
    return constant(_SMALL_CLASSES, _CPU, torch.uint8)


def _kinds() -> Tensor:
    """uint8 kind of a run by its width, ``0`` to the longest."""
    return constant(_KINDS, _CPU, torch.uint8)


def _sort_by_kind(kind: Tensor, kinds: int) -> tuple[Tensor, list[int]]:
    """Stable order of uint8 ``kind [T]`` where each of ``kinds`` starts, and where the last ends."""
    order = torch.from_numpy(np.argsort(kind.numpy(), kind="stable"))  # by digits, and without other threads
    return order, [0, *torch.cumsum(torch.bincount(kind, minlength=kinds)[:kinds], 0).tolist()]
