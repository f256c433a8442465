"""Layout for GPUs: what belongs together lies in one tensor, for few launches. See :mod:`.layout`.

Corners of ``T`` triangles, or of pixels of any shape, are a tensor ``[6, 3, T]``::

              c     a     b         in this order, for the slopes are differences of neighbours:
    -sx    |     |     |     |
    -sy    |     |     |     |      (c, a) - (a, b) of -sy:   BX = ay - cy    GX = by - ay
     sx    |     |     |     |      (c, a) - (a, b) of  sx:   BY = cx - ax    GY = ax - bx
     sy    |     |     |     |
     sz    |     |     |     |      The negative coordinates also make one maximum give both ends
      w    |     |     |     |      of the bounding box.

All six rows are NaN for a vertex that has a coordinate which is not finite. Beta and gamma of candidate pixels are the
planes 1 and 2 of ``[4, ..., P]``; plane 0 is for alpha, plane 3 for the depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...contract.rule import DEPTH_STEPS, complement, constant, to_screen
from .boxes import AX, BX, INV, LEAST_SLACK, MOST_SLACK, SLACK_UNIT, SURE_SLACK, WA, X0, X1, ZA
from .fragments import NEAREST, Target, pixel_centres
from .layout import Blend, Edges, Vertices


def map_vertices(pos: Tensor, size: tuple[int, int], chunk: int) -> tuple[Tensor, bool]:
    """``[6, K]``, all mapped at once; see :meth:`.Layout.map_vertices`.

    Whether every w is 1 is left unknown: an answer would have to be waited for.
    """
    return _map(pos, size), False


def _map(pos: Tensor, size: tuple[int, int]) -> Tensor:
    """``[6, K]`` from ``[K, 4]``."""
    pos, (height, width) = pos.t(), size
    screen = to_screen(pos, width, height)
    nothing = (screen - screen).sum(0)  # 0, or NaN if one of them is not finite
    return torch.cat((-screen[:2], screen[:3], pos[3:])) + nothing


def look_up(vertices: Vertices, faces: Tensor, offset: Tensor | None) -> Tensor:
    """``[6, 3, ...]``; see :meth:`.Layout.look_up`."""
    a, b, c = faces.clamp(0, vertices.count - 1).unbind(-1)
    index = torch.stack((c, a, b))
    if offset is not None:
        index = index + offset
    flat = index.view(-1)
    if vertices.screen is None:
        corners = _map(vertices.pos.index_select(0, flat), vertices.size)
    else:
        corners = vertices.screen.index_select(1, flat)
    return corners.view(6, *index.shape)


def set_up(corners: Tensor, size: tuple[int, int], rows: Tensor) -> None:
    """See :meth:`.Layout.set_up`."""
    far = rows[ZA:AX].unflatten(0, (2, 3))  # depth and w, each of a, b and c
    far[:, :2], far[:, 2] = corners[4:, 1:], corners[4:, 0]
    rows[AX:BX], _, inv = _edges(corners, rows[BX:INV].unflatten(0, (2, 2)), rows[INV])

    reach = corners[:4].amax(1)  # -x, -y, x, y: what bounds the one end of an axis bounds the other
    extent = reach[2:] + reach[:2]
    grown = torch.add(constant((1.0,), extent.device), extent, alpha=4.0)
    share = (grown[0] * grown[1]).mul_(inv).abs_()
    share = torch.where(share < SURE_SLACK, share, constant((torch.inf,), extent.device))
    slack = (extent * share).mul_(SLACK_UNIT).clamp_(LEAST_SLACK, MOST_SLACK)

    reach = reach.view(2, 2, -1)
    native = (reach + constant((0.0, 1.0), extent.device).view(2, 1, 1)).ceil_()
    bounds = torch.minimum(native, torch.round(reach + slack)).view(4, -1)
    height, width = size
    least = constant((-width, -height, 0.0, 0.0), extent.device)[:, None]
    most = constant((0.0, 0.0, width, height), extent.device)[:, None]
    # NaN also stands for triangles without an extent or an area.
    torch.clamp(bounds, least, most, out=rows[X0:]).nan_to_num_(0.0)
    rows[X0:X1].neg_()


def keep(rows: Tensor, kept: Tensor) -> None:
    """See :meth:`.Layout.keep`."""
    kept.copy_(rows)


def edges_kept(kept: Tensor, index: Tensor) -> Edges:
    """See :meth:`.Layout.edges_kept`."""
    rows = kept.index_select(1, index.reshape(-1)).view(-1, *index.shape)
    first = len(kept) - (INV + 1 - AX)  # of AX; rows of w come before it
    slopes, weights = rows[first + BX - AX : -1].unflatten(0, (2, 2)), rows[:first]
    return Edges(rows[first : first + BX - AX], slopes, rows[-1], weights if first else None)


def edges(corners: Tensor, empty: Tensor | None) -> Edges:
    """Differentiable in the corners; see :meth:`.Layout.edges`."""
    corner, slopes, inv = _edges(corners)
    weights = torch.stack([corners[5, place] for place in (1, 2, 0)])
    if empty is None:
        return Edges(corner, slopes, inv, weights)
    corner, slopes, inv = (values.masked_fill(empty, 0.0) for values in (corner, slopes, inv))
    return Edges(corner, slopes, inv, weights.masked_fill(empty, 1.0))


def _edges(corners: Tensor, slopes: Tensor | None = None, inv: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """All but the weights of :class:`.Edges`, with ``slopes`` and ``inv`` written where there is memory for them."""
    slopes = torch.sub(corners[1:3, :2], corners[1:3, 1:], out=slopes)
    (bx, gx), (by, gy) = slopes
    return corners[2:4, 1], slopes, torch.reciprocal(by * gx - gy * bx, out=inv)


def beta_gamma(edges: Edges, dx: Tensor, dy: Tensor) -> Tensor:
    """``[2, ...]``; see :meth:`.Layout.beta_gamma`."""
    return (edges.slopes[0] * dx + edges.slopes[1] * dy) * edges.inv


def draw(rows: Tensor, face: Tensor, view: Tensor | None, wide: int, high: int, target: Target) -> None:
    """See :meth:`.Layout.draw`."""
    height, width = target.size
    axes = (rows[X0:X1], rows[X1:] - 0.5, rows[AX:BX], rows[BX:INV].unflatten(0, (2, 2)))
    if wide == high:
        (column, row), (across, down) = _lines(axes, wide)
    else:
        (column,), (across,) = _lines([values[:1] for values in axes], wide)
        (row,), (down,) = _lines([values[1:] for values in axes], high)
    if view is not None:
        row += view * height
    pixel = torch.add(column[None], row[:, None], alpha=width)
    weights = rows.new_empty((4, *pixel.shape))
    torch.add(across[:, None], down[:, :, None], out=weights[1:3]).mul_(rows[INV])
    merge(weights, rows[ZA:WA], face, pixel, target)


def _lines(axes: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Columns or rows of boxes, or both at once.

    Args:
        axes: along ``A`` axes, the first pixel and the centre of the last one ``[A, P]``; corner a ``[A, P]`` and rows
            ``BX`` to ``GY`` ``[A, 2, P]`` of boxes.
        count: how many.

    Returns:
        Pixels ``[A, count, P]`` int64, and what they add to beta and gamma ``[A, 2, count, P]``, yet to be multiplied
        by ``1/area``.
    """
    first, last, corner, slopes = axes
    centre = pixel_centres(first[:, None], last[:, None], count)
    return centre.to(torch.int64), slopes[:, :, None] * (centre - corner[:, None])[:, None]


def merge(weights: Tensor, depths: Tensor, face: Tensor, pixel: Tensor, target: Target) -> None:
    """``weights [4, ..., P]``, ``depths [3, P]``; see :meth:`.Layout.merge`."""
    complement(weights[1], weights[2], target.float64, out=weights[0])
    parts = weights[:3] * depths.view(3, *[1] * (weights.ndim - 2), -1)
    depth = torch.add(parts[0], parts[1], out=weights[3]).add_(parts[2])
    step = torch.div(depth, -1.0 / DEPTH_STEPS, rounding_mode="trunc")
    if target.threshold is not None:
        depth.sub_(target.threshold.index_select(0, pixel.view(-1)).view(pixel.shape))
    if target.threshold is not None or not target.float64:
        step.clamp_(max=NEAREST)  # on Metal too, where positive depths may give 0.0
    # Alpha, beta and gamma all being at least 0 implies that none is above 1.
    drawn = torch.ge(weights.amin(0), 0.0, out=torch.empty_like(step, dtype=torch.int32))
    target.zbuffer.merge(pixel, drawn.mul_(step.view(torch.int32)), face)


def blender(tri: Tensor, vertices: int, channels: int) -> Callable[[Tensor], Blend]:
    """Pixel by pixel, all channels together, differentiable in tables and weights; see :meth:`.Layout.blender`."""
    # Face 0 is the background, whose corners are entry 0 of the table.
    corners = pad(tri.to(torch.int64).clamp(0, vertices - 1) + 1, (0, 0, 1, 0))
    return lambda table: partial(_by_pixel, corners, table)


def _by_pixel(corners: Tensor, table: Tensor, found: Tensor, weights: Tensor, out: Tensor | None) -> Tensor:
    """Corners ``[M+1, 3]``, table ``[N+1, C]``; ``found [P]``, ``weights [P, 3]``; to ``[P, C]``."""
    index = corners.index_select(0, found.to(torch.int64).clamp(0, len(corners) - 1))
    total = table.index_select(0, index[:, 0]) * weights[:, 0:1]
    total = total + table.index_select(0, index[:, 1]) * weights[:, 1:2]
    return torch.add(total, table.index_select(0, index[:, 2]) * weights[:, 2:3], out=out)
