"""Vertex attributes over rasterized faces, in chunks of pixels.

A pixel's corners are looked up in tables whose first entry stands for the background, so that no pixel has to be
selected and no GPU waited for. A CPU skips chunks of background, and selects the drawn pixels of those that are mostly
background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ...runtime.policy import DevicePolicy, device_policy
from ...runtime.threads import on_own_threads, share, share_rows, threads_for

WORKING_BYTES = 256 << 20
"""Chunks stay below this: what is gathered for a chunk, not for the image, is the temporary."""

_FEW_CHANNELS = 8
"""Up to this many a CPU works channel by channel, along contiguous memory."""

_Blend = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@on_own_threads
def interpolate(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor, budget: int = 0) -> Tensor:
    """:func:`rasterizer.interpolate` for arguments that have been checked, where nothing needs a gradient.

    Args:
        col: ``[1, N, C]`` or ``[B, N, C]``.
        findices: ``[B, H, W]``, any dtype.
        barycentric: ``[B, H, W, 3]``.
        tri: ``[M, 3]``.
        budget: bytes that a chunk may take, 0 for :data:`WORKING_BYTES`.

    Returns:
        ``[B, H, W, C]``.
    """
    views, channels = findices.shape[0], col.shape[2]
    dtype = torch.promote_types(col.dtype, barycentric.dtype)
    if not findices.numel():
        return torch.empty((*findices.shape, channels), dtype=dtype, device=col.device)
    policy = device_policy(col.device)
    found, weights = findices.reshape(views, -1), barycentric.reshape(views, -1, 3)
    pixels, chunk = found.shape[1], _chunk(policy, channels, budget)
    if policy.by_column and channels <= _FEW_CHANNELS:
        columns = _corner_columns(tri, col.shape[1]).unbind(0)
        tables = ([channel.contiguous() for channel in one.unbind(1)] for one in _with_background(col))
        blends: list[_Blend] = [partial(_by_channel, columns, table) for table in tables]
    else:
        blends = _pixel_blends(col, tri)
    run = _drawn_only if policy.by_column else _all
    out = torch.empty((views, pixels, channels), dtype=dtype, device=col.device)

    def tasks() -> Iterator[Callable[[], object]]:
        for view in range(views):
            for start in range(0, pixels, chunk):
                some = slice(start, start + chunk)
                yield partial(run, blends[view % len(blends)], found[view, some], weights[view, some], out[view, some])

    share(tasks(), threads_for(policy, views * pixels))
    return out.view(*findices.shape, channels)


@on_own_threads
def interpolate_out_of_place(
    col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor, budget: int = 0
) -> Tensor:
    """:func:`interpolate` by operators alone that write into no tensor there is, so that autograd can pass through."""
    views, channels = findices.shape[0], col.shape[2]
    if not findices.numel():
        nothing = col[..., :0].sum() + barycentric[..., :0].sum()  # of their dtype, and gradients pass through it
        return nothing.expand(*findices.shape, channels).clone()
    found, weights = findices.reshape(views, -1), barycentric.reshape(views, -1, 3)
    chunk = _chunk(device_policy(col.device), channels, budget)
    blends = _pixel_blends(col, tri)
    parts = [
        blends[view % len(blends)](some, weight, None)
        for view in range(views)
        for some, weight in zip(found[view].split(chunk), weights[view].split(chunk), strict=True)
    ]
    return torch.cat(parts).view(*findices.shape, channels)


def _chunk(policy: DevicePolicy, channels: int, budget: int) -> int:
    """Pixels at once. Each takes a face, three corners, and at most three times its channels."""
    return min(policy.chunk, max(256, (budget or WORKING_BYTES) // (32 + 12 * channels)))


def _with_background(col: Tensor) -> Tensor:
    """``[V, N+1, C]``: face 0 is the background; its corners are vertex 0, whose attributes are 0."""
    return pad(col, (0, 0, 1, 0))


def _pixel_blends(col: Tensor, tri: Tensor) -> list[_Blend]:
    corners = _corners(tri, col.shape[1])
    return [partial(_by_pixel, corners, table) for table in _with_background(col)]


def _corners(tri: Tensor, vertices: int) -> Tensor:
    """``[M+1, 3]`` int64 rows of the table that each face refers to."""
    return pad(tri.to(torch.int64).clamp(0, vertices - 1) + 1, (0, 0, 1, 0))


def _corner_columns(tri: Tensor, vertices: int) -> Tensor:
    """The same as ``[3, M+1]``."""
    columns = torch.zeros((3, len(tri) + 1), dtype=torch.int64, device=tri.device)

    def fill(part: slice) -> None:
        some = tri[part].to(torch.int64).clamp(0, vertices - 1) + 1
        columns[:, part.start + 1 : part.stop + 1] = some.t()

    share_rows(fill, len(tri), tri.device, weight=4)
    return columns


def _all(blend: _Blend, found: Tensor, weights: Tensor, out: Tensor) -> None:
    blend(found, weights, out)


def _drawn_only(blend: _Blend, found: Tensor, weights: Tensor, out: Tensor) -> None:
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


def _by_pixel(corners: Tensor, table: Tensor, found: Tensor, weights: Tensor, out: Tensor | None) -> Tensor:
    """Corners ``[M+1, 3]``, table ``[N+1, C]``; ``found [P]``, ``weights [P, 3]``; to ``[P, C]``."""
    index = corners.index_select(0, found.to(torch.int64).clamp(0, len(corners) - 1))
    total = table.index_select(0, index[:, 0]) * weights[:, 0:1]
    total = total + table.index_select(0, index[:, 1]) * weights[:, 1:2]
    return torch.add(total, table.index_select(0, index[:, 2]) * weights[:, 2:3], out=out)


def _by_channel(
    corners: Sequence[Tensor], table: list[Tensor], found: Tensor, weights: Tensor, out: Tensor | None
) -> Tensor:
    """As :func:`_by_pixel`, from the columns of ``corners`` and ``table``."""
    face = found.to(torch.int64).clamp(0, len(corners[0]) - 1)
    index = [corner.index_select(0, face) for corner in corners]
    shares = [weight.contiguous() for weight in weights.unbind(1)]
    for channel, values in zip(table, out.unbind(1), strict=True):
        total = channel.index_select(0, index[0]) * shares[0]
        total += channel.index_select(0, index[1]) * shares[1]
        torch.add(total, channel.index_select(0, index[2]) * shares[2], out=values)
    return out
