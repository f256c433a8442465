"""Layout for CPUs: every quantity is a tensor of its own, contiguous and in the cache. See :mod:`.layout`.

Corners are three tuples, of a, b and c: ``sx``, ``sy``, ``sz``, and ``w`` where it is not always 1. ``sx`` and ``sz``
are NaN for a vertex that has a coordinate which is not finite. Beta and gamma of candidate pixels are a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...contract.rule import DEPTH_STEPS, complement, constant, screen_columns
from ...runtime.threads import share_rows
from . import stacks
from .boxes import AX, LEAST_SLACK, MOST_SLACK, SLACK_UNIT, SURE_SLACK, X0, X1, ZA
from .fragments import NEAREST, Target, pixel_centres
from .layout import Blend, Edges, Vertices

_FEW_CHANNELS = 8
"""Up to this many channels are interpolated one by one, along contiguous memory."""


def map_vertices(pos: Tensor, size: tuple[int, int], chunk: int) -> tuple[Tensor, bool]:
    """Chunk by chunk, to ``[4, K]``; see :meth:`.Layout.map_vertices`."""
    screen, orthographic = torch.empty((4, len(pos)), dtype=pos.dtype, device=pos.device), True
    for start in range(0, len(pos), chunk):
        mapped = _map(pos[start : start + chunk], size)
        keep(mapped, screen[:, start : start + chunk])
        orthographic &= bool((mapped[3] == 1.0).all())
    return screen, orthographic


def _map(pos: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """``sx, sy, sz, w`` from ``[K, 4]``."""
    (x, y, z, w), (height, width) = pos.unbind(1), size
    sx, sy, sz = screen_columns(x, y, z, w, width, height)
    nothing = (sx - sx).add_(sy - sy).add_(sz - sz).add_(w - w)  # 0, or NaN if one of them is not finite
    return sx.add_(nothing), sy, sz.add_(nothing), w


def look_up(vertices: Vertices, faces: Tensor, offset: Tensor | None) -> list[tuple[Tensor, ...]]:
    """Of a, b and c; see :meth:`.Layout.look_up`."""
    corners = [corner.clamp(0, vertices.count - 1) for corner in faces.unbind(-1)]
    return [_at(vertices, index if offset is None else index + offset) for index in corners]


def _at(vertices: Vertices, index: Tensor) -> tuple[Tensor, ...]:
    """Vertices ``[...]``, as :func:`_map` gives them, without ``w`` where it is always 1."""
    flat = index.view(-1)
    if vertices.screen is None:
        found = _map(vertices.pos.index_select(0, flat), vertices.size)
    else:
        rows = vertices.screen[: 4 - vertices.orthographic].unbind(0)
        found = tuple(row.index_select(0, flat) for row in rows)
    return tuple(column.view(index.shape) for column in found)


def set_up(corners: Sequence[Sequence[Tensor]], size: tuple[int, int], rows: Tensor) -> None:
    """Leaves rows ``WA`` to ``WC`` alone where every w is 1; see :meth:`.Layout.set_up`."""
    to = rows.unbind(0)
    a, b, c = corners
    *slopes, inv = _slopes(a, b, c)
    for place, row in enumerate((*a[:2], *slopes, inv), AX):
        to[place].copy_(row)
    far = [corner[quantity] for quantity in range(2, len(a)) for corner in corners]  # depth and w, each of a, b and c
    for place, row in enumerate(far, ZA):
        to[place].copy_(row)

    (low_x, high_x), (low_y, high_y) = _ends(a[0], b[0], c[0]), _ends(a[1], b[1], c[1])
    extent_x, extent_y = high_x - low_x, high_y - low_y
    share = (extent_x * 4.0).add_(1.0).mul_((extent_y * 4.0).add_(1.0)).mul_(inv).abs_()
    share = torch.where(share < SURE_SLACK, share, constant((torch.inf,), share.device))
    height, width = size
    for axis, low, high, extent, pixels in (
        (0, low_x, high_x, extent_x, width),
        (1, low_y, high_y, extent_y, height),
    ):
        slack = (extent * share).mul_(SLACK_UNIT).clamp_(LEAST_SLACK, MOST_SLACK)
        first = torch.maximum(torch.floor(low), (low - slack).round_()).clamp_(0.0, pixels)
        stop = torch.minimum((high + 1.0).ceil_(), slack.add_(high).round_()).clamp_(0.0, pixels)
        # NaN also stands for triangles without an extent or an area.
        torch.nan_to_num(first, 0.0, out=to[X0 + axis])
        torch.nan_to_num(stop, 0.0, out=to[X1 + axis])


def _ends(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    return torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)


def _slopes(a: Sequence[Tensor], b: Sequence[Tensor], c: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Rows ``BX`` to ``INV`` of boxes from corners ``sx, sy, ...``."""
    (ax, ay, *_), (bx, by, *_), (cx, cy, *_) = a, b, c
    slopes = ay - cy, by - ay, cx - ax, ax - bx
    return *slopes, torch.reciprocal(slopes[2] * slopes[1] - slopes[3] * slopes[0])


def keep(rows: Tensor | Sequence[Tensor], kept: Tensor) -> None:
    """See :meth:`.Layout.keep`."""
    for row, place in zip(rows, kept.unbind(0), strict=True):
        place.copy_(row)


def edges_kept(kept: Tensor, index: Tensor) -> Edges:
    """See :meth:`.Layout.edges_kept`."""
    flat = index.reshape(-1)
    *weights, ax, ay, bx, gx, by, gy, inv = (row.index_select(0, flat).view(index.shape) for row in kept.unbind(0))
    return Edges((ax, ay), ((bx, gx), (by, gy)), inv, weights or None)


def edges(corners: Sequence[Sequence[Tensor]], empty: Tensor | None) -> Edges:
    """See :meth:`.Layout.edges`."""

    def filled(values: Sequence[Tensor], value: float) -> Sequence[Tensor]:
        return values if empty is None else [column.masked_fill(empty, value) for column in values]

    a, b, c = corners
    ax, ay, bx, gx, by, gy, inv = filled((*a[:2], *_slopes(a, b, c)), 0.0)
    weights = [corner[3] for corner in corners if len(corner) > 3]
    return Edges((ax, ay), ((bx, gx), (by, gy)), inv, filled(weights, 1.0) or None)


def beta_gamma(edges: Edges, dx: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
    """A pair; see :meth:`.Layout.beta_gamma`."""
    return tuple((x * dx).add_(y * dy) * edges.inv for x, y in zip(*edges.slopes, strict=True))


def draw(
    rows: Tensor | Sequence[Tensor], face: Tensor, view: Tensor | None, wide: int, high: int, target: Target
) -> None:
    """See :meth:`.Layout.draw`."""
    height, width = target.size
    *depths, _, _, _, ax, ay, bx, gx, by, gy, inv, x0, y0, x1, y1 = rows
    column, dx = _line(x0, x1 - 0.5, ax, wide)
    row, dy = _line(y0, y1 - 0.5, ay, high)
    if view is not None:
        row += view * height
    pixel = row.mul_(width)[:, None] + column[None]
    beta = (bx * dx)[None] + (by * dy)[:, None]
    gamma = (gx * dx)[None] + (gy * dy)[:, None]
    merge((beta.mul_(inv), gamma.mul_(inv)), depths, face, pixel, target)


def _line(first: Tensor, last: Tensor, corner: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pixels along an axis of boxes.

    Args:
        first, last: ``[P]`` first pixel, and centre of the last one.
        corner: ``[P]`` coordinate of corner a.
        count: how many.

    Returns:
        Pixels ``[count, P]`` int64, and the distance of their centres from corner a.
    """
    centre = pixel_centres(first, last, count)
    return centre.to(torch.int64), centre.sub_(corner)


def merge(
    weights: tuple[Tensor, Tensor], depths: Sequence[Tensor], face: Tensor, pixel: Tensor, target: Target
) -> None:
    """See :meth:`.Layout.merge`."""
    beta, gamma = weights
    alpha = complement(beta, gamma, target.float64)
    least = torch.minimum(torch.minimum(alpha, beta), gamma)  # at least 0 implies that none is above 1
    depth = alpha.mul_(depths[0]).add_(beta.mul_(depths[1])).add_(gamma.mul_(depths[2]))
    step = torch.div(depth, -1.0 / DEPTH_STEPS, rounding_mode="trunc")  # not negative for a depth below 0
    if target.threshold is not None:
        step.clamp_(max=NEAREST)
        depth.sub_(target.threshold.index_select(0, pixel.view(-1)).view(pixel.shape))
        least = torch.minimum(least, depth)
    step.div_(least.ge_(0.0))  # by 1 or 0
    target.zbuffer.merge(pixel, step.view(torch.int32), face)


def blender(tri: Tensor, vertices: int, channels: int) -> Callable[[Tensor], Blend]:
    """Channel by channel where they are few, and only what is drawn where that is less; see :meth:`.Layout.blender`."""
    if channels > _FEW_CHANNELS:
        by_pixel = stacks.blender(tri, vertices, channels)
        return lambda table: partial(_drawn_only, by_pixel(table))
    corners = _corner_columns(tri, vertices).unbind(0)

    def of(table: Tensor) -> Blend:
        columns = [channel.contiguous() for channel in table.unbind(1)]
        return partial(_drawn_only, partial(_by_channel, corners, columns))

    return of


def _corner_columns(tri: Tensor, vertices: int) -> Tensor:
    """``[3, M+1]`` int64 entries of the table that each face refers to; face 0 is the background."""
    columns = torch.zeros((3, len(tri) + 1), dtype=torch.int64, device=tri.device)

    def fill(part: slice) -> None:
        some = tri[part].to(torch.int64).clamp(0, vertices - 1) + 1
        columns[:, part.start + 1 : part.stop + 1] = some.t()

    share_rows(fill, len(tri), tri.device, weight=4)
    return columns


def _drawn_only(blend: Blend, found: Tensor, weights: Tensor, out: Tensor) -> None:
    """Waits for the device, which a CPU does not mind."""
    drawn = found > 0
    count = int(drawn.sum())
    if 2 * count > len(found):
        blend(found, weights, out)
        return
    out.zero_()
    if count:
        pixel = torch.from_numpy(np.flatnonzero(drawn.numpy()))
        some = out.new_empty((count, out.shape[1]))
        blend(found.index_select(0, pixel), weights.index_select(0, pixel), some)
        out.index_copy_(0, pixel, some)


def _by_channel(
    corners: Sequence[Tensor], table: Sequence[Tensor], found: Tensor, weights: Tensor, out: Tensor
) -> None:
    """Corners ``[M+1]`` each, channels ``[N+1]`` each; ``found [P]``, ``weights [P, 3]``; to ``[P, C]``."""
    face = found.to(torch.int64).clamp(0, len(corners[0]) - 1)
    index = [corner.index_select(0, face) for corner in corners]
    shares = [weight.contiguous() for weight in weights.unbind(1)]
    for channel, values in zip(table, out.unbind(1), strict=True):
        total = channel.index_select(0, index[0]) * shares[0]
        total += channel.index_select(0, index[1]) * shares[1]
        torch.add(total, channel.index_select(0, index[2]) * shares[2], out=values)
