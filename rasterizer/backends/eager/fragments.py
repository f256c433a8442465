"""Per-pixel evaluation of boxes: coverage, depth test, and the hand-over to the z-buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...arithmetic import DEPTH_STEPS, MAX_DEPTH, complement
from .boxes import Boxes
from .zbuffer import PackedZBuffer, TwoPassZBuffer

BYTES_PER_PIXEL = 140
"""Peak working memory of one candidate pixel, ``tests/rasterizer/test_memory.py`` measures it."""

BYTES_PER_LISTED = 220
"""The same in :func:`draw_all`."""


@dataclass(frozen=True)
class Target:
    """Where fragments go.

    Attributes:
        zbuffer: receives them.
        size: image ``(height, width)``.
        threshold: ``[views*height*width]`` smallest depth that may be drawn, or None for 0.
        float64: whether the device has float64.
    """

    zbuffer: PackedZBuffer | TwoPassZBuffer
    size: tuple[int, int]
    threshold: Tensor | None
    float64: bool


def draw(
    rows: Sequence[Tensor],
    face: Tensor,
    view: Tensor | None,
    wide: int,
    high: int,
    target: Target,
    far: bool,
) -> None:
    """Evaluate ``wide x high`` pixels from each box's first one on and merge what is covered into the z-buffer.

    Pixels past the end of a box are its last ones again: a minimum is idempotent. All tensors are laid out
    ``[row, column, box]``: whatever depends on the row or the column alone is computed once for it, and the innermost
    axis is long and contiguous.

    Args:
        rows: of :class:`Boxes`, none empty or larger than ``wide x high``.
        face, view: of :class:`Boxes`.
        target: receives the fragments.
        far: whether a corner lies so far away that depth steps could overflow.
    """
    height, width = target.size
    ax, ay, acx, acy, abx, aby, inv, za, zb, zc, x0, x1, y0, y1 = rows
    column = torch.minimum(torch.arange(wide, dtype=torch.float32, device=x0.device)[:, None] + x0, x1 - 1.0)
    row = torch.minimum(torch.arange(high, dtype=torch.float32, device=x0.device)[:, None] + y0, y1 - 1.0)
    line = row.to(torch.int64) * width
    if view is not None:
        line += view * (height * width)
    dx, dy = column + 0.5 - ax, row + 0.5 - ay
    beta = (acx * dy)[:, None] - (dx * acy)[None]
    gamma = (dx * aby)[None] - (abx * dy)[:, None]
    pixel = line[:, None] + column.to(torch.int64)[None]
    _merge(beta.mul_(inv), gamma.mul_(inv), (za, zb, zc), face, pixel, target, far)


def draw_listed(boxes: Boxes, counts: Tensor, ends: Tensor, start: int, stop: int, target: Target, far: bool) -> None:
    """As :func:`draw` for boxes of any size at once, in a list of candidates: few operators, but more bytes.

    Args:
        boxes: may be empty ones too.
        counts, ends: ``[T]`` int64, candidates of each box and their running total.
        start, stop: which candidates to evaluate; those beyond the last are that one again.
        target, far: as in :func:`draw`.
    """
    height, width = target.size
    number = torch.arange(start, stop, device=ends.device).clamp_(max=ends[-1] - 1)
    owner = torch.searchsorted(ends, number, right=True).clamp_(max=len(boxes) - 1)
    local = number - (ends - counts).index_select(0, owner)
    some = boxes.take(owner)
    ax, ay, acx, acy, abx, aby, inv, za, zb, zc, x0, x1, y0, _ = some.rows
    across = (x1 - x0).to(torch.int64).clamp_(min=1)
    down = torch.div(local, across, rounding_mode="floor")
    column, row = local - down * across + x0, down + y0
    line = row.to(torch.int64)
    if some.view is not None:
        line += some.view * height
    pixel = torch.add(column.to(torch.int64), line, alpha=width)
    dx, dy = column + 0.5 - ax, row + 0.5 - ay
    beta, gamma = (acx * dy - dx * acy).mul_(inv), (dx * aby - abx * dy).mul_(inv)
    _merge(beta, gamma, (za, zb, zc), some.face, pixel, target, far)


def draw_runs(
    corner_x: Tensor,
    across: tuple[Tensor, Tensor],
    down: tuple[Tensor, Tensor],
    inv: Tensor,
    depths: tuple[Tensor, Tensor, Tensor],
    face: Tensor,
    columns: tuple[Tensor, Tensor],
    line: Tensor,
    wide: int,
    target: Target,
    far: bool,
) -> None:
    """As :func:`draw` for runs of at most ``wide`` pixels in one row each.

    Args:
        corner_x: x of corner a.
        across: ``acy, aby``.
        down: the products ``acx*dy, abx*dy`` of the row.
        inv, depths, face: as in :class:`Boxes`.
        columns: first and last column, float32.
        line: int64 index of the row's first pixel in the z-buffer.
        wide: most pixels of a run.
        target, far: as in :func:`draw`.
    """
    first, last = columns
    column = torch.minimum(torch.arange(wide, dtype=torch.float32, device=first.device)[:, None] + first, last)
    pixel = line + column.to(torch.int64)
    dx = column.add_(0.5).sub_(corner_x)
    beta = (down[0] - dx * across[0]).mul_(inv)
    gamma = (dx.mul_(across[1]) - down[1]).mul_(inv)
    _merge(beta, gamma, depths, face, pixel, target, far)


def _merge(
    beta: Tensor,
    gamma: Tensor,
    depths: tuple[Tensor, Tensor, Tensor],
    face: Tensor,
    pixel: Tensor,
    target: Target,
    far: bool,
) -> None:
    """Depth and coverage of candidates, ``[..., T]``; ``beta`` and ``gamma`` are overwritten."""
    alpha = complement(beta, gamma, target.float64)
    # alpha, beta and gamma all being at least 0 implies that none is above 1.
    drawn = torch.minimum(torch.minimum(alpha, beta), gamma)
    depth = alpha.mul_(depths[0]).add_(beta.mul_(depths[1])).add_(gamma.mul_(depths[2]))
    if target.threshold is None:
        drawn = torch.minimum(drawn, depth)
    drawn.ge_(0.0)  # 1 or 0, in float32: a mask of bool costs several times as much
    if far:
        drawn.mul_(depth < MAX_DEPTH)
    depth_step = depth * DEPTH_STEPS
    if target.threshold is not None:
        drawn.mul_(~(depth < target.threshold.index_select(0, pixel.view(-1)).view_as(depth)) & (depth_step > -1.0))
    target.zbuffer.merge(pixel, depth_step.to(torch.int32), face, drawn.to(torch.int32))
