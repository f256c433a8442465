"""Vertex attributes over rasterized faces, in chunks of pixels.

A pixel's corners are looked up in tables whose first entry stands for the background, so that no pixel has to be
selected and no GPU waited for. On a CPU (:mod:`.columns`) chunks of background are skipped, and of those that are
mostly background the drawn pixels are selected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...runtime.policy import DevicePolicy, device_policy
from ...runtime.threads import on_own_threads, share, threads_for
from . import columns, stacks
from .layout import Layout

WORKING_BYTES = 256 << 20
"""Chunks stay below this: what is gathered for a chunk, not for the image, is the temporary."""


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
    if not (findices.numel() and channels):
        return torch.empty((*findices.shape, channels), dtype=dtype, device=col.device)
    policy = device_policy(col.device)
    found, weights = findices.reshape(views, -1), barycentric.reshape(views, -1, 3)
    pixels, chunk = found.shape[1], _chunk(policy, channels, budget)
    layout: Layout = columns if policy.layout == "columns" else stacks
    blend_from = layout.blender(tri, col.shape[1], channels)
    blends = [blend_from(table) for table in _with_background(col)]
    out = torch.empty((views, pixels, channels), dtype=dtype, device=col.device)

    def tasks() -> Iterator[Callable[[], object]]:
        for view in range(views):
            for start in range(0, pixels, chunk):
                some = slice(start, start + chunk)
                yield partial(blends[view % len(blends)], found[view, some], weights[view, some], out[view, some])

    share(tasks(), threads_for(policy, views * pixels))
    return out.view(*findices.shape, channels)


@on_own_threads
def interpolate_out_of_place(
    col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor, budget: int = 0
) -> Tensor:
    """:func:`interpolate` by operators alone that write into no tensor there is, so that autograd can pass through."""
    views, channels = findices.shape[0], col.shape[2]
    if not (findices.numel() and channels):
        nothing = col[..., :0].sum() + barycentric[..., :0].sum()  # of their dtype, and gradients pass through it
        return nothing.expand(*findices.shape, channels).clone()
    found, weights = findices.reshape(views, -1), barycentric.reshape(views, -1, 3)
    chunk = _chunk(device_policy(col.device), channels, budget)
    blend_from, tables = stacks.blender(tri, col.shape[1], channels), _with_background(col)
    # Every chunk takes its table anew, so that the gradients of its corners are added up before those of chunks.
    parts = [
        blend_from(tables[view % len(tables)])(some, weight, None)
        for view in range(views)
        for some, weight in zip(found[view].split(chunk), weights[view].split(chunk), strict=True)
    ]
    return torch.cat(parts).view(*findices.shape, channels)


def _chunk(policy: DevicePolicy, channels: int, budget: int) -> int:
    """Pixels at once. Each takes a face, three corners, and at most three times its channels."""
    return min(policy.chunk, max(256, (budget or WORKING_BYTES) // (32 + 12 * channels)))


def _with_background(col: Tensor) -> Tensor:
    """``[V, N+1, C]``: entry 0 is the background's, whose attributes are 0."""
    return pad(col, (0, 0, 1, 0))
