"""Boxes of candidate pixels: what is known of each, cutting, and rejecting.

A *box* is a rectangle of pixels together with the triangle to be evaluated in it. A batch of boxes is a float32 matrix
with one row per quantity and one column per box, so that every later operation runs along contiguous memory::

    row     0    1    2    3    4    5    6    7    8    9   10   11   12   13   14   15   16
          +----+----+----+----+----+----+----+----+----+----+----+----+----+----+----+----+----+
          | ZA | ZB | ZC | WA | WB | WC | AX | AY | BX | GX | BY | GY |INV | X0 | Y0 | X1 | Y1 |
          +----+----+----+----+----+----+----+----+----+----+----+----+----+----+----+----+----+
           mapped depth |  clip w      |corner a | slopes: x, y      |1/  | pixels [x0, x1)   |
           of a, b, c   |  of a, b, c  | x, y    | each of beta,     |area| x [y0, y1)        |
                        |              |         | gamma             |    |                   |

At a distance ``(dx, dy)`` from corner a, beta is ``(BX*dx + BY*dy)/area`` and gamma ``(GX*dx + GY*dy)/area``: the
formulas of :mod:`rasterizer.contract.rule`, with the sign of each edge difference in the factor.

Bounds and rejections must never lose a pixel that the rule covers, rounding included. With ``u = 2**-24``, a computed
edge value ``t1 - t2`` is off by at most ``4.1 u (|t1| + |t2|)``, a computed beta or gamma by
``6.3 u (|t1| + |t2|) / |area|``. Hence the centre of a covered pixel lies outside of a bounding box of ``w x h`` pixels
by at most ``u (41.7 w h + 25.1 (w + h)) / |area|`` times its size. Slacks allow at least three times that, as
``2**-19 (4 w + 1) (4 h + 1) / |area|``. Where the area is too small for that to mean anything, the candidates of the
native module are used as they are. Derivations: docs/exactness.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.rule import constant

ZA, ZB, ZC, WA, WB, WC, AX, AY, BX, GX, BY, GY, INV, X0, Y0, X1, Y1 = range(17)
ROWS = Y1 + 1

BYTES_PER_TRIANGLE = 400
"""Peak working memory of setting up one triangle, ``tests/runtime/test_memory.py`` measures it."""

SLACK_UNIT = 2.0**-19
"""The slack is this times ``(4 w + 1) (4 h + 1) / |area|``, in sizes of the bounding box."""

SURE_SLACK = 2.0**16
"""From this on, a slack of an eighth of the bounding box, that product proves nothing. Nor does one that is NaN: it may
overflow where the area does not, and infinity / infinity is NaN."""

MOST_SLACK = 2.0
"""Pixels; from 1.5 on the candidates of the native module are the narrower range."""

LEAST_SLACK = 2.0**-8
"""Pixels; enough to round up a corner that lies on a pixel centre, and to outweigh the rounding of a sum."""

EDGE_SLACK = 2.0**-20
"""Of an edge value in a tile, by the magnitudes of its terms: 16 u."""

LEAST_WEIGHT = 2.0**-99
"""A barycentric that is less than this below 0 may be computed as 0, which covers."""


@dataclass(frozen=True)
class Boxes:
    """``rows [17, T]`` float32, see above; ``face [T]`` int64, the 1-based index of the face; ``view [T]`` int64 index
    of the image, None where there is one."""

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

    def extent(self) -> Tensor:
        """``[2, T]`` pixels across and down, 0 for an empty box."""
        return (self.rows[X1:] - self.rows[X0:X1]).clamp_(min=0.0)

    def invalid(self) -> Tensor:
        """How many are left out because a corner is not finite on the screen."""
        za, zb, zc = self.rows[ZA:WA].unbind(0)
        return torch.isnan(za + zb + zc).sum()  # a sum of three finite numbers may be infinite, but not NaN

    def __len__(self) -> int:
        return self.face.shape[0]


class BlockList:
    """Boxes cut into squares from their first pixel on, as a list that is drawn at once: few operators for all sizes.

    Squares are numbered through all boxes, and row by row within one; here boxes of 3 x 2, 1 x 1 and 2 x 1 squares::

        +---+---+---+                    counts   6  1  2
        | 0 | 1 | 2 |  +---+  +---+---+  starts   0  6  7  9
        +---+---+---+  | 6 |  | 7 | 8 |
        | 3 | 4 | 5 |  +---+  +---+---+  square 4 is number 4 - 0 of box 0: row 4 // 3, column 4 % 3
        +---+---+---+

    Squares are counted on the device for several sizes; :meth:`cut` wants to be told the number that was read back.
    """

    def __init__(self, boxes: Boxes, extent: Tensor, sides: tuple[int, ...]) -> None:
        """``extent``: of ``boxes``. ``sides``: of the squares, in pixels."""
        self._boxes, self._sides = boxes, sides
        negative = constant(tuple(-side for side in sides), extent.device).view(-1, 1, 1)
        # Minus the squares across and down, for floor is then a ceiling; two signs cancel in the product.
        self._negative_grids = torch.div(extent, negative, rounding_mode="floor")
        self.counts = self._negative_grids.prod(1)
        """``[len(sides), T]`` float32 squares of each box."""

    def choose(self, side: int) -> None:
        """Settle for one of the sizes."""
        chosen = self._sides.index(side)
        self._side, self._negative_across = side, self._negative_grids[chosen, 0]
        self._starts = torch.zeros(len(self._boxes) + 1, dtype=torch.int64, device=self.counts.device)
        torch.cumsum(self.counts[chosen], 0, dtype=torch.int64, out=self._starts[1:])
        del self.counts, self._negative_grids

    def cut(self, start: int, stop: int, total: int) -> Boxes:
        """The squares ``start`` to ``stop`` of ``total``, those beyond the last being that one again; a box may have
        pixels beyond its square."""
        number = torch.arange(start, stop, device=self._starts.device)
        if stop > total:
            number.clamp_(max=total - 1)
        owner = torch.searchsorted(self._starts[1:-1], number, right=True)  # of T-1 starts, hence below T
        number.sub_(self._starts.index_select(0, owner))
        negative_across = self._negative_across.index_select(0, owner)
        blocks = self._boxes.take(owner)
        # A remainder has the sign of the number, a quotient that of the divisor.
        blocks.rows[X0].add_(torch.fmod(number, negative_across), alpha=self._side)
        blocks.rows[Y0].sub_(torch.div(number, negative_across, rounding_mode="trunc"), alpha=self._side)
        return blocks


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
    origin = (torch.floor(out.rows[X0:X1] / side) + torch.stack((tile_x, tile_y))) * side
    torch.minimum(out.rows[X1:], origin + side, out=out.rows[X1:])
    torch.maximum(out.rows[X0:X1], origin, out=out.rows[X0:X1])
    return out


def count_tiles(boxes: Boxes, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tiles across, tiles in all, and the running total, per box; ``[T]`` int64 each. Empty boxes have none."""
    first, stop = boxes.rows[X0:X1], boxes.rows[X1:]
    across, down = (torch.floor((stop - 1) / side) - torch.floor(first / side) + 1).to(torch.int64)
    per_box = across * down * (stop > first).all(0)
    return across.clamp_(min=1), per_box, torch.cumsum(per_box, 0)


def touched(boxes: Boxes) -> Tensor:
    """``[T]`` bool: False where an edge proves that the triangle covers no pixel of its box.

    Each barycentric is affine over the box (J. Pineda, A Parallel Algorithm for Polygon Rasterization, SIGGRAPH 1988),
    so the largest value is that at the middle plus what the half sizes can add.
    """
    middle, half = (boxes.rows[X0:X1] + boxes.rows[X1:] - 1) * 0.5, (boxes.rows[X1:] - 1 - boxes.rows[X0:X1]) * 0.5
    bx, gx, by, gy, inv = boxes.rows[BX:X0]
    sign, area = torch.sign(inv), (by * gx - gy * bx).abs()
    x, y = distance = middle + 0.5 - boxes.rows[AX:BX]  # of the middle from corner a
    far_x, far_y = distance.abs() + half  # of the farthest pixel
    half_x, half_y = half
    least = area * LEAST_WEIGHT

    def most(slope_x: Tensor, slope_y: Tensor) -> tuple[Tensor, Tensor]:
        """The largest value in the box, times the area, and its slack."""
        across, down = slope_x.abs(), slope_y.abs()
        value = (slope_x * x + slope_y * y) * sign
        return value + down * half_y + across * half_x, (down * far_y + far_x * across) * EDGE_SLACK + least

    (beta, beta_slack), (gamma, gamma_slack) = most(bx, by), most(gx, gy)
    rest, _ = most(-bx - gx, -by - gy)  # alpha - 1
    outside = (beta < -beta_slack) | (gamma < -gamma_slack) | (rest + area < -(beta_slack + gamma_slack))
    sure = torch.isfinite(rest + beta + gamma)
    return (boxes.rows[X1:] > boxes.rows[X0:X1]).all(0) & ~(outside & sure)
