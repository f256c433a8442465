"""Rasterization by plain PyTorch operators, on any device.

Triangles are set up in bounded batches (:mod:`.triangles`), as boxes of candidate pixels (:mod:`.boxes`). Those are
evaluated in bounded chunks, merged into an integer z-buffer (:mod:`.zbuffer`), and the winners turned into barycentrics
(:mod:`.resolve`). All modes evaluate the same arithmetic on different sets of candidates and give the same bits. A GPU
is given few large pieces (:mod:`.classes`) of quantities in :mod:`.stacks`, because launches are dear. A CPU is given
pieces that fit its cache, in :mod:`.columns`, those of a large image shared between threads
(:mod:`rasterizer.runtime.threads`), and instead of square tiles of large triangles runs of pixels in one row
(:mod:`.spans`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ...contract.rule import depth_threshold
from ...contract.types import RasterInfo, RasterOptions
from ...runtime.memory import default_budget
from ...runtime.policy import DevicePolicy, device_policy
from ...runtime.progress import shares
from ...runtime.threads import on_own_threads, share, threads_for
from ..interface import takes_single_views
from . import columns, stacks
from .classes import class_tasks
from .fragments import BYTES_PER_PIXEL, LEAST_DEPTH, Target
from .frame import Frame
from .half_planes import RuleDrawing
from .layout import Layout
from .resolve import BYTES_PER_PIXEL as BYTES_PER_RESULT
from .resolve import resolve
from .spans import SMALL, span_tasks
from .triangles import ScreenCorners, Triangles, batch_of
from .zbuffer import make_zbuffer


@on_own_threads
@takes_single_views
def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize ``pos [B, N, 4]`` float32 with ``tri [M, 3]`` int; both validated and on one device.

    Returns:
        ``findices [B, H, W]`` int32, ``barycentric [B, H, W, 3]`` float32, and an account.
    """
    views = pos.shape[0]
    height, width = options.resolution
    policy = device_policy(pos.device)
    layout: Layout = columns if policy.layout == "columns" else stacks
    options = replace(options, budget=options.budget or default_budget(pos.device))
    findices = torch.empty((views, height, width), dtype=torch.int32, device=pos.device)
    shape = (views, height, width, 3 if options.barycentrics else 0)
    barycentric = torch.empty(shape, dtype=torch.float32, device=pos.device)
    together = views if policy.views_together else 1
    infos = []
    for start, report in zip(range(0, views, together), shares(options.on_progress, views // together), strict=True):
        some = slice(start, start + together)
        prior = None if options.depth_prior is None else options.depth_prior[some]
        part = replace(options, depth_prior=prior, on_progress=report)
        infos.append(_rasterize(pos[some], tri, part, policy, layout, findices[some], barycentric[some]))
    tiled = next((info for info in infos if info.mode == "tiled"), infos[0])
    return findices, barycentric, replace(tiled, invalid=sum(int(info.invalid) for info in infos))


def _rasterize(
    pos: Tensor,
    tri: Tensor,
    options: RasterOptions,
    policy: DevicePolicy,
    layout: Layout,
    findices: Tensor,
    barycentric: Tensor,
) -> RasterInfo:
    """Rasterize views that share a z-buffer into ``findices`` and ``barycentric``, which may be empty."""
    views, height, width = findices.shape
    threshold = None
    if options.depth_prior is not None:
        threshold = depth_threshold(options.depth_prior, options.occlusion_truncation).reshape(-1)
        threshold = threshold.nan_to_num_(nan=-1.0, posinf=torch.inf).clamp_(min=LEAST_DEPTH)  # NaN hides nothing
    zbuffer = make_zbuffer(views * height * width, pos.device, policy)
    target = Target(zbuffer, (height, width), threshold, policy.float64)
    frame = Frame(
        target=target,
        options=options,
        policy=policy,
        drawing=RuleDrawing(layout, target),
        chunk=max(256, min(policy.chunk, options.budget // 2 // BYTES_PER_PIXEL)),
    )
    corners = ScreenCorners(pos, tri, (height, width), options.budget, layout, policy.chunk)
    triangles = Triangles(corners, options.budget if options.barycentrics else 0, policy.chunk)
    batch = options.batch_size or batch_of(policy, options.budget)
    for task in _draw_tasks(triangles, batch, frame):
        frame.tick()
        task()
    frame.done = 1.0
    threads = threads_for(policy, views * height * width)
    share(_resolve_tasks(triangles, findices, barycentric, frame), threads, frame.tick)
    return _account(frame, pos.device)


def _draw_tasks(triangles: Triangles, batch: int, frame: Frame) -> Iterator[Callable[[], None]]:
    """Set up the triangles in batches, and yield tasks that draw them."""
    for start in range(0, triangles.count, batch):
        stop = min(start + batch, triangles.count)
        boxes = triangles.set_up(start, stop)
        spans = frame.policy.spans and frame.options.mode != "batched"
        drawn = 0
        for pixels, task in (span_tasks if spans else class_tasks)(boxes, frame):
            part = min(1.0, drawn / max(1, frame.batch_pixels))
            frame.done = (start + part * (stop - start)) / triangles.count
            drawn += pixels
            yield task


def _resolve_tasks(
    triangles: Triangles, findices: Tensor, barycentric: Tensor, frame: Frame
) -> Iterator[Callable[[], None]]:
    """Tasks that read the z-buffer out and write the results."""
    views, height, width = findices.shape
    lines, results = findices.view(-1, width), barycentric.flatten(0, 1)
    step = max(1, min(frame.policy.chunk, frame.options.budget // BYTES_PER_RESULT) // width)

    def task(start: int, stop: int) -> None:
        lines[start:stop] = frame.target.zbuffer.findices(start * width, stop * width).view(-1, width)
        if frame.options.barycentrics:
            resolve(lines[start:stop], triangles, start, height, frame.policy.float64, results[start:stop])

    for start in range(0, views * height, step):
        yield partial(task, start, min(start + step, views * height))


def _account(frame: Frame, device: torch.device) -> RasterInfo:
    mode, reason = frame.options.mode, "asked for"
    if frame.options.mode == "auto":
        part = frame.large_pixels / max(1, frame.all_pixels)
        side = SMALL if frame.policy.spans else frame.policy.box_sizes[-1]
        reason = f"{part:.0%} of the candidate pixels lie in boxes above {side} pixels"
        if frame.listed:
            reason = f"{frame.all_pixels:.0f} candidate pixels are few enough to be listed"
        mode = "tiled" if frame.used_tiles else "batched"
    return RasterInfo("torch", mode, reason, str(device), frame.invalid)
