"""Per-pixel evaluation of boxes: coverage, depth test, and the hand-over to the z-buffer."""

from __future__ import annotations

import torch
from torch import Tensor

from ...arithmetic import DEPTH_STEPS, MAX_DEPTH, complement
from .boxes import X1, Y1, Boxes
from .zbuffer import PackedZBuffer, TwoPassZBuffer

BYTES_PER_PIXEL = 140
"""Peak working memory of one candidate pixel, ``tests/rasterizer/test_memory.py`` measures it."""


def draw(
    boxes: Boxes,
    wide: int,
    high: int,
    zbuffer: PackedZBuffer | TwoPassZBuffer,
    size: tuple[int, int],
    threshold: Tensor | None,
    far: bool,
    float64: bool,
) -> None:
    """Evaluate ``wide x high`` pixels from each box's first one on and merge what is covered into the z-buffer.

    All tensors are laid out ``[row, column, box]``: whatever depends on the row or the column alone is computed once
    for it, and the innermost axis is long and contiguous.

    Args:
        boxes: none larger than ``wide x high``.
        zbuffer: receives the fragments.
        size: image ``(height, width)``.
        threshold: ``[views*height*width]`` smallest depth that may be drawn, or None for 0.
        far: whether a corner lies so far away that depth steps could overflow.
        float64: whether the device has float64.
    """
    height, width = size
    ax, ay, acx, acy, abx, aby, inv, za, zb, zc, x0, _, y0, _ = boxes.rows
    column = torch.arange(wide, dtype=torch.float32, device=x0.device)[:, None] + x0
    row = torch.arange(high, dtype=torch.float32, device=x0.device)[:, None] + y0
    dx, dy = column + 0.5 - ax, row + 0.5 - ay

    beta = (acx * dy)[:, None] - (dx * acy)[None]
    beta *= inv
    gamma = (dx * aby)[None] - (abx * dy)[:, None]
    gamma *= inv
    alpha = complement(beta, gamma, float64)
    # alpha, beta and gamma all being at least 0 implies that none is above 1.
    least = torch.minimum(torch.minimum(alpha, beta), gamma)
    depth = alpha.mul_(za).add_(beta.mul_(zb)).add_(gamma.mul_(zc))

    if threshold is None:
        least = torch.minimum(least, depth)
    if far:
        least = torch.where(depth < MAX_DEPTH, least, -1.0)
    drawn = least >= 0
    drawn &= (row < boxes.rows[Y1])[:, None]
    drawn &= (column < boxes.rows[X1])[None]

    line = row.clamp(max=height - 1).to(torch.int64) * width + boxes.view * (height * width)
    pixel = line[:, None] + column.clamp(max=width - 1).to(torch.int64)[None]
    step = depth * DEPTH_STEPS
    if threshold is not None:
        drawn &= ~(depth < threshold[pixel]) & (step > -1.0)
    zbuffer.merge(pixel, step.to(torch.int32), boxes.face, drawn)
