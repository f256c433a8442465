"""Per-pixel evaluation of boxes: coverage, depth test, and the hand-over to the z-buffer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from ...arithmetic import DEPTH_STEPS, complement, constant
from .boxes import AX, BX, INV, WA, X0, X1, ZA
from .sharing import LARGE, planes
from .zbuffer import PackedZBuffer, TwoPassZBuffer

BYTES_PER_PIXEL = 80
"""Peak working memory of one candidate pixel, ``tests/rasterizer/test_memory.py`` measures it."""

BYTES_PER_BLOCK = 130
"""The same of one box, beside its pixels."""

LEAST_DEPTH = -(1.0 - 2.0**-24) / DEPTH_STEPS
"""Least depth whose step is 0; what a prior lets through may be that small."""


@dataclass(frozen=True)
class Target:
    """Where fragments go.

    Attributes:
        zbuffer: receives them.
        size: image ``(height, width)``.
        threshold: ``[views*height*width]`` smallest depth that may be drawn, at least :data:`LEAST_DEPTH`, or None
            for 0.
        float64: whether the device has float64.
        apart: see :func:`~.sharing.planes`.
    """

    zbuffer: PackedZBuffer | TwoPassZBuffer
    size: tuple[int, int]
    threshold: Tensor | None
    float64: bool
    apart: bool


def draw(rows: Tensor, face: Tensor, view: Tensor | None, wide: int, high: int, target: Target) -> None:
    """Evaluate ``wide x high`` pixels from each box's first one on and merge what is covered into the z-buffer.

    Pixels past the end of a box are its last ones again: a minimum is idempotent. All tensors are laid out
    ``[row, column, box]``: whatever depends on the row or the column alone is computed once for it, and the innermost
    axis is long and contiguous.

    Args:
        rows: of :class:`Boxes`, none empty. What a box has beyond ``wide x high`` is left out.
        face, view: of :class:`Boxes`.
        target: receives the fragments.
    """
    height, width = target.size
    axes = (rows[X0:X1], rows[X1:] - 0.5, rows[AX:BX], rows[BX:INV].unflatten(0, (2, 2)))
    if wide == high:
        (column, row), (across, down) = _lines(*axes, wide)
    else:
        (column,), (across,) = _lines(*(values[:1] for values in axes), wide)
        (row,), (down,) = _lines(*(values[1:] for values in axes), high)
    if view is not None:
        row += view * height
    pixel = torch.add(column[None], row[:, None], alpha=width)
    weights = rows.new_empty((4, *pixel.shape))
    for out, x, y in planes(target.apart, weights[1:3], across[:, None], down[:, :, None]):
        torch.add(x, y, out=out).mul_(rows[INV])
    _merge(weights, rows[ZA:WA], face, pixel, target)


def _lines(first: Tensor, last: Tensor, corner: Tensor, slopes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Columns or rows of boxes, or both at once.

    Args:
        first, last: ``[A, P]`` first pixel, and centre of the last one, along ``A`` axes.
        corner, slopes: corner a ``[A, P]`` and rows ``BX`` to ``GY`` ``[A, 2, P]`` of boxes.
        count: how many.

    Returns:
        Pixels ``[A, count, P]`` int64, and what they add to beta and gamma ``[A, 2, count, P]``, yet to be multiplied
        by ``1/area``.
    """
    places = constant(tuple(place + 0.5 for place in range(count)), first.device)
    centre = torch.minimum(places[:, None] + first[:, None], last[:, None])
    return centre.to(torch.int64), slopes[:, :, None] * (centre - corner[:, None])[:, None]


def draw_runs(
    corner_x: Tensor,
    slopes: Tensor,
    down: Tensor,
    inv: Tensor,
    depths: Tensor,
    face: Tensor,
    columns: tuple[Tensor, Tensor],
    line: Tensor,
    wide: int,
    target: Target,
) -> None:
    """As :func:`draw` for runs of at most ``wide`` pixels in one row each.

    Args:
        corner_x: x of corner a.
        slopes: ``[2, P]`` rows ``BX`` and ``GX`` of boxes.
        down: ``[2, P]`` products of ``BY`` and ``GY`` with the row's distance from corner a.
        inv, depths, face: as in :class:`Boxes`.
        columns: first and last column, float32.
        line: int64 index of the row's first pixel in the z-buffer.
        wide: most pixels of a run.
        target: as in :func:`draw`.
    """
    (column,), (across,) = _lines(columns[0][None], columns[1][None] + 0.5, corner_x[None], slopes[None], wide)
    weights = inv.new_empty((4, *column.shape))
    for out, x, y in planes(target.apart, weights[1:3], across, down[:, None]):
        torch.add(x, y, out=out).mul_(inv)
    _merge(weights, depths, face, column.add_(line), target)


def _merge(weights: Tensor, depths: Tensor, face: Tensor, pixel: Tensor, target: Target) -> None:
    """Depth and coverage of candidates.

    Args:
        weights: ``[4, ..., P]`` with beta and gamma in planes 1 and 2; overwritten.
        depths: ``[3, P]``.
        face, pixel: ``[P]`` and ``[..., P]`` int64.
        target: as in :func:`draw`.
    """
    complement(weights[1], weights[2], target.float64, out=weights[0])
    parts, depths = torch.empty_like(weights[:3]), depths.view(3, *[1] * (weights.ndim - 2), -1)
    for out, weight, depth in planes(target.apart, parts, weights[:3], depths):
        torch.mul(weight, depth, out=out)
    depth = torch.add(parts[0], parts[1], out=weights[3]).add_(parts[2])
    step = torch.div(depth, -1.0 / DEPTH_STEPS, rounding_mode="trunc")
    if target.threshold is not None:
        depth.sub_(target.threshold.index_select(0, pixel.view(-1)).view(pixel.shape))
    if target.threshold is not None or not target.float64:
        step.clamp_(max=-1e-30)  # a step of 0 that came out as 0.0, not -0.0: of small negative depths, and on Metal
    # Alpha, beta and gamma all being at least 0 implies that none is above 1.
    least = reduce(torch.minimum, weights.unbind(0)) if target.apart and weights.numel() > LARGE else weights.amin(0)
    drawn = torch.ge(least, 0.0, out=torch.empty_like(step, dtype=torch.int32))
    target.zbuffer.merge(pixel, drawn.mul_(step.view(torch.int32)), face)
