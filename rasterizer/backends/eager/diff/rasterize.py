"""Rasterization for the differentiable primitives by plain PyTorch operators, on any device, and its gradient.

An image is drawn tile by tile. Vertices are snapped (:mod:`.vertices`), triangles clipped where they must be
(:mod:`.clip`) and set up in bounded batches as boxes of candidate pixels (:mod:`.setup`), which the machinery of the
other rule draws in bounded chunks (:mod:`..classes`, on a CPU :mod:`..spans`) by this rule (:mod:`.draw`, :mod:`.runs`)
into its z-buffer. From the triangles that are shown follow barycentrics and derivatives (:mod:`.values`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ....contract.diff_rule import Tile, decode_ids, encode_ids, tiles
from ....contract.types import RasterOptions
from ....runtime.memory import default_budget
from ....runtime.policy import DevicePolicy, device_policy
from ....runtime.threads import on_own_threads, share, threads_for
from ...diff_interface import NO_LAYER
from ..classes import class_tasks
from ..fragments import BYTES_PER_PIXEL as BYTES_PER_OTHER_PIXEL
from ..frame import Frame
from ..spans import span_tasks
from ..zbuffer import make_zbuffer
from . import draw, gradient, setup, values
from .draw import DepthTarget, shown
from .gradient import gradient_at
from .lookup import Shown
from .runs import DepthDrawing
from .scatter import add_rows
from .setup import TileMesh
from .values import write_values


@on_own_threads
def rasterize(
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None,
    behind: Tensor | None,
    keep_depth: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """See :class:`~...diff_interface.Rasterize`."""
    height, width = resolution
    images = pos.shape[0] if ranges is None else ranges.shape[0]
    shape, device = (images, height, width), pos.device
    ids = torch.zeros(shape, dtype=torch.int32, device=device)
    depth = torch.full(shape, NO_LAYER, dtype=torch.int32, device=device) if keep_depth else None
    rast, rast_db = (torch.empty((*shape, 4), dtype=torch.float32, device=device) for _ in range(2))
    if not ids.numel():
        return rast, rast_db, depth
    if not (len(tri) and pos.shape[-2]):
        return rast.zero_(), rast_db.zero_(), depth
    policy, budget = device_policy(device), default_budget(device)
    for some, view_pos, first, stop in _portions(pos, len(tri), ranges, policy):
        if first < stop:
            limit = None if behind is None else behind[some]
            kept = None if depth is None else depth[some]
            _draw(view_pos, tri[first:stop], first, policy, budget, limit, ids[some], kept)
    _resolve(pos, tri, ids, policy, budget, rast, rast_db)
    return rast, rast_db, depth


def _portions(
    pos: Tensor, triangles: int, ranges: Tensor | None, policy: DevicePolicy
) -> Iterator[tuple[slice, Tensor, int, int]]:
    """Images that are drawn at once: which, their vertices ``[b, V, 4]``, first triangle and end."""
    if ranges is None:
        together = len(pos) if policy.views_together else 1
        for start in range(0, len(pos), together):
            yield slice(start, start + together), pos[start : start + together], 0, triangles
        return
    for image, (first, count) in enumerate(ranges.tolist()):
        yield slice(image, image + 1), pos[None], max(0, first), min(triangles, first + count)


def _draw(
    pos: Tensor,
    tri: Tensor,
    first: int,
    policy: DevicePolicy,
    budget: int,
    behind: Tensor | None,
    ids: Tensor,
    depth: Tensor | None,
) -> None:
    """Draw some images.

    Args:
        pos: ``[b, V, 4]``.
        tri: ``[T, 3]``.
        first: ids begin after it.
        policy, budget: what suits the device.
        behind: ``[b, H, W]``, see :class:`~...diff_interface.Rasterize`.
        ids, depth: ``[b, H, W]``, where the result goes.
    """
    views, height, width = ids.shape
    columns = [column.contiguous() for column in pos.reshape(-1, 4).unbind(1)]
    corners = [corner.contiguous() for corner in tri.unbind(1)]
    for tile in tiles(height, width):
        part = (slice(None), slice(tile.top, tile.top + tile.height), slice(tile.left, tile.left + tile.width))
        mesh = TileMesh(columns, corners, views, (height, width), tile, policy, budget)
        limit = None if behind is None else behind[part].reshape(-1)
        zbuffer = _draw_tile(mesh, tile, policy, budget, limit).zbuffer
        pixels = views * tile.height * tile.width
        found = shown(zbuffer.findices(0, pixels))
        if first:
            found = torch.where(found > 0, found + first, 0)
        ids[part] = found.view(views, tile.height, tile.width)
        if depth is not None:
            depth[part] = zbuffer.steps_of(0, pixels).view(views, tile.height, tile.width)


def _draw_tile(mesh: TileMesh, tile: Tile, policy: DevicePolicy, budget: int, behind: Tensor | None) -> DepthTarget:
    pixels = mesh.views * tile.height * tile.width
    beyond = policy.box_sizes[-1] * (tile.width + 1)  # candidates past the last pixel, which cover nothing
    device = mesh.device
    target = DepthTarget(
        zbuffer=make_zbuffer(pixels + beyond, device, policy, NO_LAYER),
        size=(tile.height, tile.width),
        threshold=None,
        float64=policy.float64,
        behind=behind,
        looks=policy.layout == "columns",
    )
    part = budget * BYTES_PER_OTHER_PIXEL // draw.BYTES_PER_PIXEL
    frame = Frame(
        target=target,
        options=RasterOptions(target.size, budget=part),
        policy=policy,
        drawing=DepthDrawing(target),
        chunk=max(256, min(policy.chunk, budget // 2 // draw.BYTES_PER_PIXEL)),
    )
    batch = max(1024, min(policy.batch, budget // 2 // setup.BYTES_PER_TRIANGLE))
    for start in range(0, mesh.count, batch):
        for boxes in mesh.boxes(start, min(start + batch, mesh.count)):
            for _, task in (span_tasks if policy.spans else class_tasks)(boxes, frame):
                task()
    return target


def _resolve(
    pos: Tensor, tri: Tensor, ids: Tensor, policy: DevicePolicy, budget: int, rast: Tensor, rast_db: Tensor
) -> None:
    """Write the values of all pixels from ``ids [B, H, W]``."""
    images, height, width = ids.shape
    mesh = Shown(pos, tri, policy.float64)
    flat = ids.view(-1)
    step = max(1, min(policy.chunk, budget // values.BYTES_PER_PIXEL))

    def task(start: int) -> None:
        found = flat[start : start + step]
        pixel = torch.arange(start, start + len(found), device=ids.device)
        column, row, view = mesh.places(pixel, (height, width))
        corners = mesh.corners(mesh.vertices_of(found, view))
        some = slice(start, start + len(found))
        to, to_db = rast.view(-1, 4)[some], rast_db.view(-1, 4)[some]
        write_values(corners, column, row, (height, width), to.unbind(1), to_db.unbind(1))
        empty = (found == 0)[:, None]
        to[:, 3] = encode_ids(found, len(tri))
        to.masked_fill_(empty, 0.0)
        to_db.masked_fill_(empty, 0.0)

    tasks: Iterator[Callable[[], None]] = (partial(task, start) for start in range(0, len(flat), step))
    share(tasks, threads_for(policy, len(flat)))


@on_own_threads
def rasterize_backward(pos: Tensor, tri: Tensor, rast: Tensor, d_rast: Tensor | None, d_db: Tensor | None) -> Tensor:
    """See :class:`~...diff_interface.RasterizeBackward`."""
    gradient_of = torch.zeros_like(pos)
    if not (pos.numel() and len(tri) and rast.numel()) or (d_rast is None and d_db is None):
        return gradient_of
    device = pos.device
    policy, budget = device_policy(device), default_budget(device)
    size = (rast.shape[1], rast.shape[2])
    mesh = Shown(pos, tri, policy.float64)
    rows = pos.numel() // 4
    pixels = rast.numel() // 4
    step = max(1, min(policy.chunk, budget // gradient.BYTES_PER_PIXEL))
    total = torch.zeros((rows, 3), dtype=pos.dtype, device=device)
    for start in range(0, pixels, step):
        some = slice(start, min(start + step, pixels))
        upstream = [None if each is None else each.reshape(-1, 4)[some] for each in (d_rast, d_db)]
        total += _gradient_part(mesh, rast.view(-1, 4)[some, 3], upstream[0], upstream[1], start, size, rows, policy)
    flat = gradient_of.view(-1, 4)
    flat[:, :2], flat[:, 3] = total[:, :2], total[:, 2]
    return gradient_of


def _gradient_part(
    mesh: Shown,
    float_ids: Tensor,
    d_rast: Tensor | None,
    d_db: Tensor | None,
    start: int,
    size: tuple[int, int],
    rows: int,
    policy: DevicePolicy,
) -> Tensor:
    """Gradient ``[rows, 3]`` of x, y, w from pixels ``start`` on, of ids ``[P]`` and upstream gradients ``[P, 4]``."""
    ids = decode_ids(float_ids)
    counts = (ids > 0) & (ids <= mesh.triangles)
    given = torch.zeros_like(counts)
    for upstream in ([] if d_rast is None else [d_rast[:, :2]]) + ([] if d_db is None else [d_db]):
        given |= (upstream != 0.0).any(1)
    counts &= given
    pixel = torch.arange(start, start + len(ids), device=ids.device)
    if policy.layout == "columns":
        chosen = torch.from_numpy(np.flatnonzero(counts.numpy()))
        ids, pixel = ids.index_select(0, chosen), pixel.index_select(0, chosen)
        d_rast = None if d_rast is None else d_rast.index_select(0, chosen)
        d_db = None if d_db is None else d_db.index_select(0, chosen)
        counts = counts.index_select(0, chosen)
    column, row, view = mesh.places(pixel, size)
    vertices = mesh.vertices_of(ids, view)
    d_uv = [torch.zeros_like(column)] * 2 if d_rast is None else [d.to(column.dtype) for d in d_rast[:, :2].unbind(1)]
    of_db = None if d_db is None else [d.to(column.dtype) for d in d_db.unbind(1)]
    gradients = gradient_at(mesh.corners(vertices), column, row, size, d_uv, of_db)
    parts = torch.cat([torch.stack(each, 1) for each in gradients]).to(torch.float32)
    if policy.layout != "columns":
        parts = torch.where(counts.repeat(3)[:, None], parts, 0.0)
    return add_rows(rows, torch.cat(vertices), parts)
