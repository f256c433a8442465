"""Boxes of candidate pixels: triangle setup, tight bounds, cutting and rejecting.

A *box* is a rectangle of pixels together with the triangle to be evaluated in it. A batch of boxes is a float32 matrix
with one row per quantity and one column per box, so that every later operation runs along contiguous memory.

Bounds and rejections must never lose a pixel that the rule of :mod:`rasterizer.arithmetic` covers, rounding included.
With ``u = 2**-24``, a computed edge value ``(t1 - t2)`` is off by at most ``4.1 u (|t1| + |t2|)``, a computed beta or
gamma by ``6.3 u (|t1| + |t2|) / |area|``; the slacks below are about twice what follows from that. Where the area is
too small for the bound to mean anything, the candidates of the native module are used as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Rows of the matrix: corner a, edges from it, 1/area, corner depths, pixel bounds [x0, x1) x [y0, y1).
AX, AY, ACX, ACY, ABX, ABY, INV, ZA, ZB, ZC, X0, X1, Y0, Y1 = range(14)
ROWS = Y1 + 1

BYTES_PER_TRIANGLE = 600
"""Peak working memory of setting up one triangle, ``tests/rasterizer/test_memory.py`` measures it."""


@dataclass(frozen=True)
class Boxes:
    """``rows [14, T]`` float32; ``face [T]`` int64 index into the mesh's faces; ``view [T]`` int64 index of the
    image, None where there is one."""

    rows: Tensor
    face: Tensor
    view: Tensor | None

    def take(self, index: Tensor) -> Boxes:
        """The boxes at ``index``, in that order."""
        view = None if self.view is None else self.view.index_select(0, index)
        return Boxes(self.rows.index_select(1, index), self.face.index_select(0, index), view)

    def slice(self, start: int, stop: int) -> Boxes:
        """The boxes ``start`` to ``stop``, without copying."""
        view = None if self.view is None else self.view[start:stop]
        return Boxes(self.rows[:, start:stop], self.face[start:stop], view)

    def __len__(self) -> int:
        return self.face.shape[0]


def edges(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """Rows ``AX`` to ``INV`` of triangles from their corners, ``(sx, sy, ...)`` each."""
    (ax, ay, *_), (bx, by, *_), (cx, cy, *_) = a, b, c
    acx, acy, abx, aby = cx - ax, cy - ay, bx - ax, by - ay
    return ax, ay, acx, acy, abx, aby, 1.0 / (acx * aby - abx * acy)


def set_up(corners: list[tuple[Tensor, ...]], width: int, height: int) -> tuple[list[Tensor], Tensor]:
    """Triangle setup.

    Args:
        corners: a, b and c on the screen as ``(sx, sy, sz, w)``, ``[T]`` each; ``sx`` is NaN where any is not finite.
        width, height: image size.

    Returns:
        The rows of boxes of candidate pixels, empty (``x1 <= x0`` or ``y1 <= y0``) where nothing can be covered, and
        ``[T]`` bool, the faces left out because a corner is not finite on the screen.
    """
    (ax, ay, az, _), (bx, by, bz, _), (cx, cy, cz, _) = corners
    edge = edges(*corners)
    low_x, high_x = torch.minimum(torch.minimum(ax, bx), cx), torch.maximum(torch.maximum(ax, bx), cx)
    low_y, high_y = torch.minimum(torch.minimum(ay, by), cy), torch.maximum(torch.maximum(ay, by), cy)
    wide, high = high_x - low_x, high_y - low_y

    # A covered pixel centre lies within `slack` bounding-box sizes of the bounding box: 74 u (4 w h + w + h) / area.
    # The 4 makes the product overflow before the area does, and infinity / infinity is NaN.
    slack = torch.add(wide + high, wide * high, alpha=4.0).mul_(2.0**-17).mul_(edge[-1].abs())
    slack.masked_fill_(~(slack < 0.125), torch.inf)
    bounds = (*_pixel_range(low_x, high_x, wide * slack, width), *_pixel_range(low_y, high_y, high * slack, height))
    return [*edge, az, bz, cz, *bounds], low_x != low_x


def _pixel_range(low: Tensor, high: Tensor, slack: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First pixel and one past the last whose centre the extent ``[low, high]`` may cover, inside the image; 0, 0 for
    NaN, which also stands for triangles without an extent or an area."""
    slack = slack.clamp_(max=2.0)  # from 1.5 on, the candidates of the native module are the narrower range
    low, high = low.clamp(-4.0, size + 4.0), high.clamp(-4.0, size + 4.0)
    first = torch.maximum(torch.floor(low), torch.ceil(low - (slack + 0.5))).clamp_(0, size)
    stop = torch.minimum(torch.ceil(high + 1.0), torch.floor(high + (slack + 0.5))).clamp_(0, size)
    return first.nan_to_num_(0.0), stop.nan_to_num_(0.0)


def cut(boxes: Boxes, side: int, start: int, stop: int, counts: tuple[Tensor, Tensor, Tensor]) -> Boxes:
    """Pieces ``start`` to ``stop`` of boxes cut at the grid of ``side x side`` screen tiles.

    Args:
        boxes: what to cut.
        side: tile side in pixels.
        start, stop: which pieces, in the order of the boxes and row by row within one.
        counts: what :func:`count_tiles` returned for the same boxes and side.
    """
    columns, per_box, last = counts
    piece = torch.arange(start, stop, device=last.device)
    owner = torch.searchsorted(last, piece, right=True).clamp_(max=len(boxes) - 1)
    local = piece - (last - per_box)[owner]
    across = columns[owner]
    out = boxes.take(owner)
    tile_y = torch.div(local, across, rounding_mode="floor")
    tile_x = local - tile_y * across
    _cut_axis(out.rows, X0, X1, tile_x, side)
    _cut_axis(out.rows, Y0, Y1, tile_y, side)
    return out


def _cut_axis(rows: Tensor, low: int, high: int, tile: Tensor, side: int) -> None:
    origin = (torch.floor(rows[low] / side) + tile) * side
    rows[low] = torch.maximum(rows[low], origin)
    rows[high] = torch.minimum(rows[high], origin + side)


def count_tiles(boxes: Boxes, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tiles across, tiles in all, and the running total, per box; ``[T]`` int64 each. Empty boxes have none."""
    x0, x1, y0, y1 = boxes.rows[X0:]
    across = torch.floor((x1 - 1) / side) - torch.floor(x0 / side) + 1
    down = torch.floor((y1 - 1) / side) - torch.floor(y0 / side) + 1
    across, down = across.long(), down.long() * ((x1 > x0) & (y1 > y0))
    per_box = across * down
    return across.clamp_(min=1), per_box, torch.cumsum(per_box, 0)


def touched(boxes: Boxes) -> Tensor:
    """``[T]`` bool: False where an edge proves that the triangle covers no pixel of its box.

    Each barycentric is affine over the box, so its extreme is the value at the middle plus what the half sizes can add.
    """
    ax, ay, acx, acy, abx, aby, inv, _, _, _, x0, x1, y0, y1 = boxes.rows
    half_x, half_y = (x1 - 1 - x0) * 0.5, (y1 - 1 - y0) * 0.5
    dx, dy = x0 + half_x + 0.5 - ax, y0 + half_y + 0.5 - ay
    far_x, far_y = dx.abs() + half_x, dy.abs() + half_y
    sign = torch.sign(inv)
    u16 = 2.0**-20
    beta_slack = (acx.abs() * far_y + far_x * acy.abs()) * u16
    gamma_slack = (abx.abs() * far_y + far_x * aby.abs()) * u16
    beta, gamma = acx * dy - dx * acy, dx * aby - abx * dy
    beta_most = beta * sign + acx.abs() * half_y + acy.abs() * half_x
    gamma_most = gamma * sign + abx.abs() * half_y + aby.abs() * half_x
    area = acx * aby - abx * acy
    both_least = (beta + gamma) * sign - (acx - abx).abs() * half_y - (aby - acy).abs() * half_x
    outside = (beta_most < -beta_slack) | (gamma_most < -gamma_slack)
    outside |= both_least > area.abs() + beta_slack + gamma_slack
    sure = torch.isfinite(both_least + beta_most + gamma_most)
    return (x1 > x0) & (y1 > y0) & ~(outside & sure)
