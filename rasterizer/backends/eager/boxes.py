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

BYTES_PER_TRIANGLE = 600
"""Peak working memory of setting up one triangle, ``tests/rasterizer/test_memory.py`` measures it."""


@dataclass(frozen=True)
class Boxes:
    """``rows [14, T]`` float32; ``face [T]`` int64 index into the mesh's faces; ``view [T]`` int64 index of the
    image."""

    rows: Tensor
    face: Tensor
    view: Tensor

    def take(self, index: Tensor) -> Boxes:
        """The boxes at ``index``, in that order."""
        return Boxes(self.rows.index_select(1, index), self.face[index], self.view[index])

    def slice(self, start: int, stop: int) -> Boxes:
        """The boxes ``start`` to ``stop``, without copying."""
        return Boxes(self.rows[:, start:stop], self.face[start:stop], self.view[start:stop])

    def __len__(self) -> int:
        return self.face.shape[0]


def set_up(corners: Tensor, face: Tensor, view: Tensor, width: int, height: int) -> tuple[Boxes, Tensor]:
    """Triangle setup.

    Args:
        corners: ``[3, 4, T]`` screen-space corners a, b, c as ``(sx, sy, sz, w)``.
        face, view: ``[T]`` int64.
        width, height: image size.

    Returns:
        Boxes of candidate pixels, empty (``x1 <= x0``) where nothing can be covered, and a ``[T]`` bool tensor of the
        faces left out because a corner is not finite on the screen.
    """
    finite = (corners - corners).sum(dim=(0, 1)) == 0  # a number less itself is 0, infinity and NaN are not
    (ax, ay, az, _), (bx, by, bz, _), (cx, cy, cz, _) = (corner.unbind(0) for corner in corners)
    acx, acy, abx, aby = cx - ax, cy - ay, bx - ax, by - ay
    area = acx * aby - abx * acy
    low_x, high_x = torch.minimum(torch.minimum(ax, bx), cx), torch.maximum(torch.maximum(ax, bx), cx)
    low_y, high_y = torch.minimum(torch.minimum(ay, by), cy), torch.maximum(torch.maximum(ay, by), cy)
    wide, high = high_x - low_x, high_y - low_y

    # A covered pixel centre lies within `slack` bounding-box sizes of the bounding box: 74 u (w h + w + h) / area.
    inv = 1.0 / area
    slack = (wide * high + wide + high) * 2.0**-17 * inv.abs()
    sound = (slack < 0.125) & (inv != 0)
    x0, x1 = _pixel_range(low_x, high_x, wide * slack, sound, width)
    y0, y1 = _pixel_range(low_y, high_y, high * slack, sound, height)

    usable = finite & (area != 0) & (y1 > y0)
    x0, x1 = (torch.where(usable, bound, 0.0) for bound in (x0, x1))
    y0, y1 = (torch.where(finite, bound, 0.0) for bound in (y0, y1))  # no NaN that is converted to an integer later
    rows = torch.stack((ax, ay, acx, acy, abx, aby, inv, az, bz, cz, x0, x1, y0, y1))
    return Boxes(rows, face, view), ~finite


def _pixel_range(low: Tensor, high: Tensor, slack: Tensor, sound: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First pixel and one past the last whose centre the extent ``[low, high]`` may cover, inside the image."""
    slack = torch.where(sound, slack, 2.0)
    low, high = low.clamp(-4.0, size + 4.0), high.clamp(-4.0, size + 4.0)
    first = torch.maximum(torch.trunc(low), torch.ceil(low - 0.5 - slack)).clamp(0, size)
    stop = torch.minimum(torch.ceil(high + 1.0), torch.floor(high - 0.5 + slack) + 1.0).clamp(0, size)
    return first, stop


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
    across, down = across.long(), down.long() * (x1 > x0)
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
