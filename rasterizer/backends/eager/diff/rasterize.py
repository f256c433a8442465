"""Rasterization for the differentiable primitives by plain PyTorch operators, on any device.

An image is drawn tile by tile. Vertices are snapped (:mod:`.vertices`), triangles clipped where they must be
(:mod:`.clip`) and set up in bounded batches as boxes of candidate pixels (:mod:`.setup`), which the machinery of the
other rule draws in bounded chunks (:mod:`..classes`, on a CPU :mod:`..spans`) by this rule (:mod:`.draw`, :mod:`.runs`)
into its z-buffer. From the triangles that are shown follow barycentrics and derivatives (:mod:`.resolve`); the gradient
is in :mod:`.backward`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ....contract.diff_rule import Tile, tiles
from ....contract.types import RasterOptions
from ....runtime.memory import default_budget
from ....runtime.policy import DevicePolicy, device_policy
from ....runtime.threads import on_own_threads
from ...diff_interface import NO_LAYER
from ..classes import SUB_TILE, class_tasks
from ..fragments import BYTES_PER_PIXEL as BYTES_PER_OTHER_PIXEL
from ..frame import Frame
from ..spans import span_tasks
from ..zbuffer import make_zbuffer
from . import draw, setup
from .backward import rasterize_backward
from .draw import DepthTarget, shown
from .resolve import resolve
from .runs import DepthDrawing
from .setup import TileMesh

__all__ = ["rasterize", "rasterize_backward"]


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
    resolve(pos, tri, ids, policy, budget, rast, rast_db)
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
    side = max(SUB_TILE, *policy.box_sizes)
    beyond = side * (tile.width + 1)  # candidates past the last pixel, which cover nothing
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
