"""Large boxes cut into runs of pixels, one row of the image each, that their triangle may cover: the CPU's tiles.

A run ends where an edge proves that no pixel beyond it is covered, so few candidates are evaluated in vain, whatever
the triangle's shape. The proof is the rule's own affair, :class:`~.frame.Drawing`.

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
from .boxes import AX, WA, X0, Y0, Y1, Boxes
from .frame import LARGE_SHARE, Drawing, Frame

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
        frame.drawing.draw(gather(rows, index), boxes.face.index_select(0, index), None, across, down)

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
        yield from _run_tasks(gather(rows, piece), face, frame.drawing, frame.chunk)


def _run_tasks(
    rows: list[Tensor], face: Tensor, drawing: Drawing, chunk: int
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Cut large boxes into runs, and yield tasks that draw them.

    Args:
        rows, face: of :class:`~.boxes.Boxes`, none empty.
        drawing: draws runs.
        chunk: most candidate pixels evaluated, and about as many rows of boxes cut, at once.

    Yields:
        The number of candidate pixels, and what draws them.
    """
    planes = drawing.half_planes(rows)
    counts = (rows[Y1] - rows[Y0]).to(torch.int64)
    stops = torch.cumsum(counts, 0)
    most = chunk // 4 * 3  # a box goes over it by less than its height
    cuts = torch.searchsorted(stops, torch.arange(1, -(-int(stops[-1]) // most), device=_CPU) * most).tolist()
    runs: list[tuple[Tensor, ...]] = []
    waiting = 0
    for start, stop in zip([0, *cuts], [*cuts, len(face)], strict=True):
        if start < stop:
            runs.append(_cut(rows, planes, counts, drawing, start, stop))
            waiting += len(runs[-1][0])
        if runs and (waiting >= _RUNS or stop == len(face)):
            yield from _by_width(rows, face, [torch.cat(parts) for parts in zip(*runs, strict=True)], drawing, chunk)
            runs, waiting = [], 0


def _cut(
    rows: Sequence[Tensor], planes: list[Tensor], counts: Tensor, drawing: Drawing, start: int, stop: int
) -> tuple[Tensor, ...]:
    """The runs of the boxes ``start`` to ``stop``, of ``counts`` rows each."""
    heights = counts[start:stop]
    ends = torch.cumsum(heights, 0)
    box = _repeat(torch.arange(start, stop, device=_CPU), heights)
    number = torch.arange(len(box), dtype=torch.float32, device=_CPU)  # of a row, through all boxes
    first_row = torch.zeros(stop, dtype=torch.float32, device=_CPU)  # less the number of that row
    first_row[start:] = rows[Y0][start:stop] - (ends - heights)
    row = number.add_(first_row.index_select(0, box))
    first, last = drawing.ends(rows, planes, box, row)
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
    rows: Sequence[Tensor], face: Tensor, runs: list[Tensor], drawing: Drawing, chunk: int
) -> Iterator[tuple[int, Callable[[], None]]]:
    """Tasks that draw runs, of one class of widths each."""
    order, bounds = _sort_by_kind(runs.pop(), len(_WIDTHS))
    for wide, start, stop in zip(_WIDTHS, bounds, bounds[1:], strict=False):
        most = max(1, chunk // wide)
        for begin in range(start, stop, most):
            some = order[begin : min(begin + most, stop)]
            yield len(some) * wide, partial(drawing.draw_runs, rows, face, runs, some, wide)


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
