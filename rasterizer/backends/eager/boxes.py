"""Boxes of candidate pixels: triangle setup, tight bounds, cutting and rejecting.

A *box* is a rectangle of pixels together with the triangle to be evaluated in it. A batch of boxes is a float32 matrix
with one row per quantity and one column per box, so that every later operation runs along contiguous memory.

Bounds and rejections must never lose a pixel that :mod:`rasterizer.contract.rule` covers, rounding included.
With ``u = 2**-24``, a computed edge value ``(t1 - t2)`` is off by at most ``4.1 u (|t1| + |t2|)``, a computed beta or
gamma by ``6.3 u (|t1| + |t2|) / |area|``; the slacks below are about twice what follows from that. Where the area is
too small for the bound to mean anything, the candidates of the native module are used as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.rule import constant

# Rows of the matrix: depth and clip w of the corners, corner a, edges, 1/area, pixel bounds [x0, x1) x [y0, y1).
# At a distance (dx, dy) from corner a, beta is (BX*dx + BY*dy)/area and gamma (GX*dx + GY*dy)/area: with its sign in
# the factor, each edge difference serves the formula of rasterizer.contract.rule as it is, and x and y go together.
ZA, ZB, ZC, WA, WB, WC, AX, AY, BX, GX, BY, GY, INV, X0, Y0, X1, Y1 = range(17)
ROWS = Y1 + 1

BYTES_PER_TRIANGLE = 400
"""Peak working memory of setting up one triangle, ``tests/runtime/test_memory.py`` measures it."""

_MOST_SLACK = 2.0  # from 1.5 on, the candidates of the native module are the narrower range
_LEAST_SLACK = 2.0**-8  # enough to round up a corner that lies on a pixel centre, and to outweigh the sum's rounding


@dataclass(frozen=True)
class Boxes:
    """``rows [17, T]`` float32; ``face [T]`` int64, the 1-based index of the face; ``view [T]`` int64 index of the
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

    def extent(self) -> Tensor:
        """``[2, T]`` pixels across and down, 0 for an empty box."""
        return (self.rows[X1:] - self.rows[X0:X1]).clamp_(min=0.0)

    def invalid(self) -> Tensor:
        """How many are left out because a corner is not finite on the screen."""
        za, zb, zc = self.rows[ZA:WA].unbind(0)
        return torch.isnan(za + zb + zc).sum()  # a sum of three finite numbers may be infinite, but not NaN

    def __len__(self) -> int:
        return self.face.shape[0]


def edges(corners: Tensor, slopes: Tensor | None = None, inv: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """What a triangle's barycentrics are made of.

    Args:
        corners: ``[6, 3, T]``, as :class:`~.triangles.Corners` gives them.
        slopes, inv: where to write the results, if not into new memory.

    Returns:
        Corner a ``[2, T]``, rows ``BX`` to ``GY`` as ``[2, 2, T]``, and row ``INV`` ``[T]``.
    """
    # From -sy and sx of c, a and b: (ay-cy, by-ay) and (cx-ax, ax-bx).
    slopes = torch.sub(corners[1:3, :2], corners[1:3, 1:], out=slopes)
    (bx, gx), (by, gy) = slopes
    return corners[2:4, 1], slopes, torch.reciprocal(by * gx - gy * bx, out=inv)


def edge_rows(a: Sequence[Tensor], b: Sequence[Tensor], c: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """:func:`edges` row by row: rows ``AX`` to ``INV`` from corners ``(sx, sy, ...)``."""
    (ax, ay, *_), (bx, by, *_), (cx, cy, *_) = a, b, c
    slopes = ay - cy, by - ay, cx - ax, ax - bx
    return ax, ay, *slopes, torch.reciprocal(slopes[2] * slopes[1] - slopes[3] * slopes[0])


def set_up(corners: Tensor, width: int, height: int, rows: Tensor) -> None:
    """Triangle setup.

    Args:
        corners: ``[6, 3, T]``, as :class:`~.triangles.Corners` gives them.
        width, height: image size.
        rows: ``[17, T]`` to write the rows of boxes of candidate pixels to, empty ones (``x1 <= x0`` or ``y1 <= y0``)
            where nothing can be covered.
    """
    far = rows[ZA:AX].unflatten(0, (2, 3))
    far[:, :2], far[:, 2] = corners[4:, 1:], corners[4:, 0]
    rows[AX:BX], _, inv = edges(corners, rows[BX:INV].unflatten(0, (2, 2)), rows[INV])

    reach = corners[:4].amax(1)  # -x, -y, x, y: what bounds the one end of an axis bounds the other
    extent = reach[2:] + reach[:2]
    # A covered pixel centre lies within `slack` bounding-box sizes of the bounding box: 74 u (4 w h + w + h) / area,
    # rounded up to 74 u (4 w + 1) (4 h + 1) / (4 area). The product overflows before the area does, and infinity /
    # infinity is NaN.
    size = torch.add(constant((1.0,), extent.device), extent, alpha=4.0)
    slack = (size[0] * size[1]).mul_(inv).abs_()
    slack = torch.where(slack < 2.0**16, slack, constant((torch.inf,), extent.device))  # 1/8 of the bounding box
    slack = (extent * slack).mul_(2.0**-19).clamp_(_LEAST_SLACK, _MOST_SLACK)

    native = (reach.view(2, 2, -1) + constant((0.0, 1.0), extent.device).view(2, 1, 1)).ceil_()
    bounds = torch.minimum(native, torch.round(reach.view(2, 2, -1) + slack)).view(4, -1)
    least = constant((-width, -height, 0.0, 0.0), extent.device)[:, None]
    most = constant((0.0, 0.0, width, height), extent.device)[:, None]
    # NaN also stands for triangles without an extent or an area.
    torch.clamp(bounds, least, most, out=rows[X0:]).nan_to_num_(0.0)
    rows[X0:X1].neg_()


def set_up_rows(corners: Sequence[Sequence[Tensor]], width: int, height: int, rows: Sequence[Tensor]) -> None:
    """:func:`set_up` row by row: the same bits from more operators, each along one row that stays in a CPU's cache.

    Args:
        corners: a, b and c as ``(sx, sy, sz)``, followed by ``w`` where rows ``WA`` to ``WC`` are wanted.
        width, height: image size.
        rows: to write to; see :func:`set_up`.
    """
    edge = edge_rows(*corners)
    for place, row in enumerate(edge, AX):
        rows[place].copy_(row)
    far = [corner[quantity] for quantity in range(2, len(corners[0])) for corner in corners]
    for place, row in enumerate(far, ZA):
        rows[place].copy_(row)

    def ends(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)

    (low_x, high_x), (low_y, high_y) = (ends(*(corner[axis] for corner in corners)) for axis in (0, 1))
    extent = high_x - low_x, high_y - low_y
    slack = (extent[0] * 4.0).add_(1.0).mul_((extent[1] * 4.0).add_(1.0)).mul_(edge[-1]).abs_()
    slack = torch.where(slack < 2.0**16, slack, constant((torch.inf,), slack.device))
    for axis, low, high, size in ((0, low_x, high_x, width), (1, low_y, high_y, height)):
        room = (extent[axis] * slack).mul_(2.0**-19).clamp_(_LEAST_SLACK, _MOST_SLACK)
        first = torch.maximum(torch.floor(low), (low - room).round_()).clamp_(0.0, size)
        stop = torch.minimum((high + 1.0).ceil_(), room.add_(high).round_()).clamp_(0.0, size)
        torch.nan_to_num(first, 0.0, out=rows[X0 + axis])
        torch.nan_to_num(stop, 0.0, out=rows[X1 + axis])


class BlockList:
    """Boxes cut into squares from their first pixel on, as a list that is drawn at once: few operators for all sizes.

    Numbers are counted on the device for several sizes of squares; :meth:`cut` wants to be told one that was read back.
    """

    def __init__(self, boxes: Boxes, extent: Tensor, sides: tuple[int, ...]) -> None:
        """``extent``: of ``boxes``. ``sides``: of the squares, in pixels."""
        self._boxes, self._sides = boxes, sides
        negative = constant(tuple(-side for side in sides), extent.device).view(-1, 1, 1)
        self._grids = torch.div(extent, negative, rounding_mode="floor")  # less the squares across and down
        self.counts = self._grids.prod(1)
        """``[len(sides), T]`` float32 squares of each box."""

    def choose(self, side: int) -> None:
        """Settle for one of the sizes."""
        chosen = self._sides.index(side)
        self._side, self._across = side, self._grids[chosen, 0]
        self._starts = torch.zeros(len(self._boxes) + 1, dtype=torch.int64, device=self.counts.device)
        torch.cumsum(self.counts[chosen], 0, dtype=torch.int64, out=self._starts[1:])
        del self.counts, self._grids

    def cut(self, start: int, stop: int, total: int) -> Boxes:
        """The squares ``start`` to ``stop`` of ``total``, those beyond the last being that one again; a box may have
        pixels beyond its square."""
        number = torch.arange(start, stop, device=self._starts.device)
        if stop > total:
            number.clamp_(max=total - 1)
        owner = torch.searchsorted(self._starts[1:-1], number, right=True)  # of T-1 starts, hence below T
        number.sub_(self._starts.index_select(0, owner))
        across = self._across.index_select(0, owner)
        blocks = self._boxes.take(owner)
        blocks.rows[X0].add_(torch.fmod(number, across), alpha=self._side)
        blocks.rows[Y0].sub_(torch.div(number, across, rounding_mode="trunc"), alpha=self._side)
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

    Each barycentric is affine over the box, so its extreme is the value at the middle plus what the half sizes can add.
    """
    middle, half = (boxes.rows[X0:X1] + boxes.rows[X1:] - 1) * 0.5, (boxes.rows[X1:] - 1 - boxes.rows[X0:X1]) * 0.5
    bx, gx, by, gy, inv = boxes.rows[BX:X0]
    sign, area = torch.sign(inv), (by * gx - gy * bx).abs()
    x, y = distance = middle + 0.5 - boxes.rows[AX:BX]
    far_x, far_y = distance.abs() + half
    half_x, half_y = half

    def most(slope_x: Tensor, slope_y: Tensor) -> tuple[Tensor, Tensor]:
        across, down = slope_x.abs(), slope_y.abs()
        value = (slope_x * x + slope_y * y) * sign
        return value + down * half_y + across * half_x, (down * far_y + far_x * across) * 2.0**-20

    (beta, beta_slack), (gamma, gamma_slack) = most(bx, by), most(gx, gy)
    rest, _ = most(-bx - gx, -by - gy)
    outside = (beta < -beta_slack) | (gamma < -gamma_slack) | (rest + area < -(beta_slack + gamma_slack))
    sure = torch.isfinite(rest + beta + gamma)
    return (boxes.rows[X1:] > boxes.rows[X0:X1]).all(0) & ~(outside & sure)
