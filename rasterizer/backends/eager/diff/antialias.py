"""Silhouettes blended into the pixels that they cross, and gradients of colours and of positions."""

from __future__ import annotations

import torch
from torch import Tensor

from ....contract.diff_rule import SLOPE_OFFSET
from ....runtime.threads import on_own_threads
from .scatter import add_rows
from .silhouettes import Crossings, Silhouettes


@on_own_threads
def antialias(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor) -> tuple[Tensor, None]:
    """:class:`~rasterizer.backends.diff_interface.Antialias`."""
    channels = color.shape[-1]
    out, given = color.clone(), color.view(-1, channels)
    for found in Silhouettes(rast, pos, tri, topology).crossings(channels):
        step = _step(given, found) * found.alpha[:, None].to(color.dtype)
        out.view(-1, channels).index_add_(0, torch.where(found.alpha > 0, found.p, found.q), step)
    return out, None


@on_own_threads
def antialias_backward(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    topology: Tensor,
    work: Tensor | None,
    d_out: Tensor,
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """:class:`~rasterizer.backends.diff_interface.AntialiasBackward`."""
    channels = color.shape[-1]
    upstream = d_out.view(-1, channels)
    d_color, d_pos = d_out.clone() if wanted[0] else None, torch.zeros_like(pos) if wanted[1] else None
    for found in Silhouettes(rast, pos, tri, topology).crossings(channels):
        changed = torch.where(found.alpha > 0, found.p, found.q)
        g = upstream.index_select(0, changed)
        if d_color is not None:
            part = torch.where((found.alpha != 0)[:, None], g * found.alpha[:, None].to(g.dtype), 0.0)
            d_color.view(-1, channels).index_add_(0, torch.cat((found.p, found.q)), torch.cat((-part, part)))
        if d_pos is not None:
            d_alpha = (g * _step(color.view(-1, channels), found)).sum(1)
            rows = _of_ends(found, d_alpha, pos.view(-1, 4), rast.shape[1:3])
            d_pos.view(-1, 4).add_(add_rows(d_pos.numel() // 4, found.ends.view(-1), rows))
    return d_color, d_pos


def _step(color: Tensor, found: Crossings) -> Tensor:
    """Colours of Q less those of P, ``[N, C]``, 0 where nothing is to be done."""
    step = color.index_select(0, found.q).sub_(color.index_select(0, found.p))
    return step.masked_fill_((found.alpha == 0)[:, None], 0.0)


def _of_ends(found: Crossings, d_alpha: Tensor, pos: Tensor, size: torch.Size) -> Tensor:
    """Gradients of the vertices at the ends of edges.

    ``alpha`` follows the place where the edge meets the line between the two pixels, unless that lies beyond one of
    their centres.

    Args:
        found: pairs, and edges.
        d_alpha: ``[N]``, gradient of ``alpha``.
        pos: ``[K, 4]``, vertices of all meshes.
        size: ``(H, W)``.

    Returns:
        ``[2 N, 4]``: of the edges' first ends, then of the second.
    """
    height, width = (0.5 * side for side in size)
    (x1, x2), (y1, y2) = found.x, found.y
    along_x, along_y = x2 - x1, y2 - y1
    inverse = 1.0 / (along_y + torch.copysign(torch.full_like(along_y, SLOPE_OFFSET), along_y))
    crossing = (x1 * along_y - y1 * along_x) * inverse
    flows = (found.alpha != 0) & (found.alpha.abs() < 0.5) & (d_alpha != 0)
    by = torch.where(flows, d_alpha.to(inverse.dtype) * inverse, 0.0)
    scale_x = torch.where(found.vertical, height, width)
    scale_y = torch.where(found.vertical, width, height)
    along = torch.stack((-by * y2, by * y1)) * scale_x
    aside = torch.stack((-by * (crossing - x2), by * (crossing - x1))) * scale_y

    x, y, _, w = pos.index_select(0, found.ends.view(-1)).to(inverse.dtype).view(2, -1, 4).unbind(2)
    d_x, d_y = torch.where(found.vertical, aside, along) / w, torch.where(found.vertical, along, aside) / w
    d_w = -(x * d_x + y * d_y) / w
    rows = torch.stack((d_x, d_y, torch.zeros_like(d_x), d_w), 2).view(-1, 4)
    return torch.where(flows.repeat(2)[:, None], rows, 0.0).to(pos.dtype)
