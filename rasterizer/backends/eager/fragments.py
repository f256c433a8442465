"""Per-pixel evaluation of boxes: coverage, depth test, and the hand-over to the z-buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.rule import DEPTH_STEPS, complement, constant
from .boxes import AX, BX, INV, WA, X0, X1, ZA
from .zbuffer import PackedZBuffer, TwoPassZBuffer

BYTES_PER_PIXEL = 80
"""Peak working memory of one candidate pixel, ``tests/runtime/test_memory.py`` measures it."""

BYTES_PER_BLOCK = 130
"""The same of one box, beside its pixels."""

LEAST_DEPTH = -(1.0 - 2.0**-24) / DEPTH_STEPS
"""Least depth whose step is 0; what a prior lets through may be that small."""

_NEAREST = -1e-30
"""Stands for a step of 0 that came out as 0.0 instead of -0.0, as that of a small negative depth does."""


@dataclass(frozen=True)
class Target:
    """Where fragments go.

    Attributes:
        zbuffer: receives them.
        size: image ``(height, width)``.
        threshold: ``[views*height*width]`` smallest depth that may be drawn, at least :data:`LEAST_DEPTH`, or None
            for 0.
        float64: whether the device has float64.
        by_column: see :class:`~rasterizer.runtime.policy.DevicePolicy`.
    """

    zbuffer: PackedZBuffer | TwoPassZBuffer
    size: tuple[int, int]
    threshold: Tensor | None
    float64: bool
    by_column: bool


def draw(
    rows: Tensor | Sequence[Tensor], face: Tensor, view: Tensor | None, wide: int, high: int, target: Target
) -> None:
    """Evaluate ``wide x high`` pixels from each box's first one on and merge what is covered into the z-buffer.

    Pixels past the end of a box are its last ones again: a minimum is idempotent. All tensors are laid out
    ``[row, column, box]``: whatever depends on the row or the column alone is computed once for it, and the innermost
    axis is long and contiguous. A GPU is given axes and weights stacked, for few launches; a CPU one after the other,
    in memory that is still in its cache.

    Args:
        rows: of :class:`Boxes`, none empty. What a box has beyond ``wide x high`` is left out. Columns apart, those of
            ``w`` may be anything.
        face, view: of :class:`Boxes`.
        target: receives the fragments.
    """
    (_draw_rows if target.by_column else _draw_stacks)(rows, face, view, wide, high, target)


def _draw_stacks(rows: Tensor, face: Tensor, view: Tensor | None, wide: int, high: int, target: Target) -> None:
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
    torch.add(across[:, None], down[:, :, None], out=weights[1:3]).mul_(rows[INV])
    _merge_stacks(weights, rows[ZA:WA], face, pixel, target)


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
    centre = torch.minimum(_centres(count, first.device) + first[:, None], last[:, None])
    return centre.to(torch.int64), slopes[:, :, None] * (centre - corner[:, None])[:, None]


def _merge_stacks(weights: Tensor, depths: Tensor, face: Tensor, pixel: Tensor, target: Target) -> None:
    """Depth and coverage of candidates.

    Args:
        weights: ``[4, ..., P]`` with beta and gamma in planes 1 and 2; overwritten.
        depths: ``[3, P]``.
        face, pixel: ``[P]`` and ``[..., P]`` int64.
        target: as in :func:`draw`.
    """
    complement(weights[1], weights[2], target.float64, out=weights[0])
    parts = weights[:3] * depths.view(3, *[1] * (weights.ndim - 2), -1)
    depth = torch.add(parts[0], parts[1], out=weights[3]).add_(parts[2])
    step = torch.div(depth, -1.0 / DEPTH_STEPS, rounding_mode="trunc")
    if target.threshold is not None:
        depth.sub_(target.threshold.index_select(0, pixel.view(-1)).view(pixel.shape))
    if target.threshold is not None or not target.float64:
        step.clamp_(max=_NEAREST)  # on Metal too, where positive depths may give 0.0
    # Alpha, beta and gamma all being at least 0 implies that none is above 1.
    drawn = torch.ge(weights.amin(0), 0.0, out=torch.empty_like(step, dtype=torch.int32))
    target.zbuffer.merge(pixel, drawn.mul_(step.view(torch.int32)), face)


def _draw_rows(
    rows: Tensor | Sequence[Tensor], face: Tensor, view: Tensor | None, wide: int, high: int, target: Target
) -> None:
    height, width = target.size
    *depths, _, _, _, ax, ay, bx, gx, by, gy, inv, x0, y0, x1, y1 = rows
    column, dx = _line(x0, x1 - 0.5, ax, wide)
    row, dy = _line(y0, y1 - 0.5, ay, high)
    if view is not None:
        row += view * height
    pixel = row.mul_(width)[:, None] + column[None]
    beta = (bx * dx)[None] + (by * dy)[:, None]
    gamma = (gx * dx)[None] + (gy * dy)[:, None]
    _merge_rows(beta.mul_(inv), gamma.mul_(inv), depths, face, pixel, target)


def draw_runs(
    corner_x: Tensor,
    slopes: tuple[Tensor, Tensor],
    down: tuple[Tensor, Tensor],
    inv: Tensor,
    depths: Sequence[Tensor],
    face: Tensor,
    columns: tuple[Tensor, Tensor],
    line: Tensor,
    wide: int,
    target: Target,
) -> None:
    """As :func:`draw` for runs of at most ``wide`` pixels in one row each. For a CPU.

    Args:
        corner_x: x of corner a.
        slopes: rows ``BX`` and ``GX`` of boxes.
        down: products of ``BY`` and ``GY`` with the row's distance from corner a.
        inv, depths, face: as in :class:`Boxes`.
        columns: first and last column, float32.
        line: int64 index of the row's first pixel in the z-buffer.
        wide: most pixels of a run.
        target: as in :func:`draw`.
    """
    column, dx = _line(columns[0], columns[1] + 0.5, corner_x, wide)
    beta = (dx * slopes[0]).add_(down[0]).mul_(inv)
    gamma = dx.mul_(slopes[1]).add_(down[1]).mul_(inv)
    _merge_rows(beta, gamma, depths, face, column.add_(line), target)


def _line(first: Tensor, last: Tensor, corner: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As :func:`_lines` along one axis: pixels ``[count, P]``, and their distance from corner a."""
    centre = torch.minimum(_centres(count, first.device) + first, last)
    return centre.to(torch.int64), centre.sub_(corner)


def _merge_rows(
    beta: Tensor, gamma: Tensor, depths: Sequence[Tensor], face: Tensor, pixel: Tensor, target: Target
) -> None:
    """As :func:`_merge_stacks`, on a CPU; overwrites ``beta`` and ``gamma``."""
    alpha = complement(beta, gamma, target.float64)
    least = torch.minimum(torch.minimum(alpha, beta), gamma)
    depth = alpha.mul_(depths[0]).add_(beta.mul_(depths[1])).add_(gamma.mul_(depths[2]))
    step = torch.div(depth, -1.0 / DEPTH_STEPS, rounding_mode="trunc")  # not negative for a depth below 0
    if target.threshold is not None:
        step.clamp_(max=_NEAREST)
        depth.sub_(target.threshold.index_select(0, pixel.view(-1)).view(pixel.shape))
        least = torch.minimum(least, depth)
    step.div_(least.ge_(0.0))  # by 1 or 0
    target.zbuffer.merge(pixel, step.view(torch.int32), face)


def _centres(count: int, device: torch.device) -> Tensor:
    return constant(tuple(place + 0.5 for place in range(count)), device)[:, None]
