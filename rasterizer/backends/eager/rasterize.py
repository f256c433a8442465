"""The eager backend: plain PyTorch operators on any device.

Triangles are set up in bounded batches (:mod:`.triangles`, :mod:`.boxes`), their candidate pixels evaluated in bounded
chunks (:mod:`.fragments`), merged into an integer z-buffer (:mod:`.zbuffer`), and the winners turned into barycentrics
(:mod:`.resolve`). All modes evaluate the same arithmetic on different sets of candidates and give the same bits. A GPU
is given few large pieces, because launches are dear; a CPU pieces that fit its cache, those of a large image shared
between threads (:mod:`rasterizer.runtime.threads`), and instead of square tiles of large triangles runs of pixels in
one row (:mod:`.spans`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ...contract.rule import constant, depth_threshold
from ...contract.types import RasterInfo, RasterOptions
from ...runtime.memory import default_budget
from ...runtime.policy import DevicePolicy, device_policy
from ...runtime.progress import shares
from ...runtime.threads import on_own_threads, share, threads_for
from ..interface import takes_single_views
from .boxes import BYTES_PER_TRIANGLE, X0, BlockList, Boxes, count_tiles, cut, touched
from .fragments import BYTES_PER_BLOCK, BYTES_PER_PIXEL, LEAST_DEPTH, Target, draw
from .resolve import BYTES_PER_PIXEL as BYTES_PER_RESULT
from .resolve import resolve
from .spans import SMALL, SMALL_SHAPES, gather, small_classes, sort_by_kind, span_tasks
from .triangles import Corners, Triangles
from .zbuffer import make_zbuffer

SUB_TILE = 8
"""Side of the second, finer grid of the tiled mode."""

FEW = 256
"""Classes of fewer small boxes than this are not worth a turn of their own, where boxes can be cut into runs."""

BLOCKS = (2, 4)
"""Sides of the squares that a GPU cuts boxes into; it takes the size that costs less for the mesh."""

BLOCK_COST = 3
"""What a square costs beside its pixels, in pixels."""

LISTED_SIDE = 64
"""Boxes of more pixels than a square of this side are cut into tiles rather than listed, if they are many."""

LARGE_SHARE = 0.05
"""``auto`` uses tiles once this share of all candidate pixels lies in boxes above the largest class."""


@dataclass
class _Frame:
    """State shared by the batches of one call."""

    target: Target
    options: RasterOptions
    policy: DevicePolicy
    chunk: int
    invalid: int = 0
    large_pixels: float = 0.0
    all_pixels: float = 0.0
    used_tiles: bool = False
    listed: bool = False
    batch_pixels: float = 0.0
    done: float = 0.0

    def tick(self) -> None:
        """Let the caller see, and stop, a call between two chunks."""
        self.options.on_progress(self.done)


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
    options = replace(options, budget=options.budget or default_budget(pos.device))
    findices = torch.empty((views, height, width), dtype=torch.int32, device=pos.device)
    barycentric = torch.empty((views, height, width, 3), dtype=torch.float32, device=pos.device)
    together = views if policy.views_together else 1
    infos = []
    for start, report in zip(range(0, views, together), shares(options.on_progress, views // together), strict=True):
        some = slice(start, start + together)
        prior = None if options.depth_prior is None else options.depth_prior[some]
        part = replace(options, depth_prior=prior, on_progress=report)
        infos.append(_rasterize(pos[some], tri, part, policy, findices[some], barycentric[some]))
    tiled = next((info for info in infos if info.mode == "tiled"), infos[0])
    return findices, barycentric, replace(tiled, invalid=sum(info.invalid for info in infos))


def _rasterize(
    pos: Tensor, tri: Tensor, options: RasterOptions, policy: DevicePolicy, findices: Tensor, barycentric: Tensor
) -> RasterInfo:
    """Rasterize views that share a z-buffer into ``findices`` and ``barycentric``."""
    views, height, width = findices.shape
    threshold = None
    if options.depth_prior is not None:
        threshold = depth_threshold(options.depth_prior, options.occlusion_truncation).reshape(-1)
        threshold = threshold.nan_to_num_(nan=-1.0, posinf=torch.inf).clamp_(min=LEAST_DEPTH)  # NaN hides nothing
    frame = _Frame(
        target=Target(
            make_zbuffer(views * height * width, pos.device, policy),
            options.resolution,
            threshold,
            policy.float64,
            policy.by_column,
        ),
        options=options,
        policy=policy,
        chunk=max(256, min(policy.chunk, options.budget // 2 // BYTES_PER_PIXEL)),
    )
    corners = Corners(pos, tri, (height, width), options.budget, policy.chunk if policy.by_column else 0)
    triangles = Triangles(corners, (height, width), options.budget, policy.by_column, policy.chunk)
    batch = options.batch_size or max(1024, min(policy.batch, options.budget // 2 // BYTES_PER_TRIANGLE))
    for task in _draw_tasks(triangles, batch, frame):
        frame.tick()
        task()
    frame.done = 1.0
    threads = threads_for(policy, views * height * width)
    share(_resolve_tasks(triangles, findices, barycentric, frame), threads, frame.tick)
    return _account(frame, pos.device)


def _draw_tasks(triangles: Triangles, batch: int, frame: _Frame) -> Iterator[Callable[[], None]]:
    """Set up the triangles in batches, and yield tasks that draw them."""
    for start in range(0, triangles.count, batch):
        stop = min(start + batch, triangles.count)
        boxes = triangles.set_up(start, stop)
        spans = frame.policy.spans and frame.options.mode != "batched"
        drawn = 0
        for pixels, task in (_span_tasks if spans else _class_tasks)(boxes, frame):
            part = min(1.0, drawn / max(1, frame.batch_pixels))
            frame.done = (start + part * (stop - start)) / triangles.count
            drawn += pixels
            yield task


def _resolve_tasks(
    triangles: Triangles, findices: Tensor, barycentric: Tensor, frame: _Frame
) -> Iterator[Callable[[], None]]:
    """Tasks that read the z-buffer out and write the results."""
    views, height, width = findices.shape
    lines, results = findices.view(-1, width), barycentric.view(-1, width, 3)
    step = max(1, min(frame.policy.chunk, frame.options.budget // BYTES_PER_RESULT) // width)

    def task(start: int, stop: int) -> None:
        lines[start:stop] = frame.target.zbuffer.findices(start * width, stop * width).view(-1, width)
        resolve(findices, triangles, start, frame.policy.float64, results[start:stop])

    for start in range(0, views * height, step):
        yield partial(task, start, min(start + step, views * height))


def _class_tasks(boxes: Boxes, frame: _Frame) -> Iterator[tuple[int, Callable[[], None]]]:
    """Draw a batch of triangles: all candidates in a list, if they are few or in small boxes, else each class of boxes
    in its own way."""
    if frame.options.mode == "auto":
        sides = BLOCKS if math.prod(frame.target.size) <= BLOCKS[0] ** 2 << 24 else (8,)  # float32 counts them exactly
        extent = boxes.extent()
        pixels = extent.prod(0)
        listed = BlockList(boxes, extent, sides)
        sums = torch.cat((listed.counts, pixels[None], torch.threshold(pixels, LISTED_SIDE**2, 0.0)[None]))
        numbers = torch.cat((sums.sum(1, dtype=torch.int64), boxes.invalid()[None]))
        *counts, pixels, large, bad = numbers.tolist()  # the one synchronisation, where that is all
        del extent, sums
        _, total, side = min(
            (count * (side * side + BLOCK_COST), count, side) for count, side in zip(counts, sides, strict=True)
        )
        square, room = side * side, frame.options.budget // 4 * 3  # the rest holds the triangles
        most = max(1, min(frame.policy.chunk // square, room // (square * BYTES_PER_PIXEL + BYTES_PER_BLOCK)))
        if total <= most or large <= LARGE_SHARE * pixels:
            frame.invalid += bad
            frame.all_pixels += pixels
            frame.batch_pixels = total
            frame.listed = True
            listed.choose(side)
            for start in range(0, total, most):
                size = min(most, total - start)
                padded = min(most, 1 << (size - 1).bit_length()) if frame.policy.pad_shapes else size
                yield size, partial(_draw_listed, listed, start, start + padded, total, side, frame.target)
            return
    shapes = _shapes(frame.policy)
    boxes, bounds, large_share = _sort_by_class(boxes, len(shapes), frame)
    for (wide, high), start, stop in zip(shapes, bounds, bounds[1:], strict=False):
        if start < stop:
            yield from _box_tasks(boxes.slice(start, stop), wide, high, frame)
    start, stop = bounds[-2:]
    if start < stop:
        tiled = frame.options.mode == "tiled" or (frame.options.mode == "auto" and large_share > LARGE_SHARE)
        frame.used_tiles |= tiled
        yield from (_tile_tasks if tiled else _block_tasks)(boxes.slice(start, stop), frame)


def _draw_listed(listed: BlockList, start: int, stop: int, total: int, side: int, target: Target) -> None:
    blocks = listed.cut(start, stop, total)
    draw(blocks.rows, blocks.face, blocks.view, side, side, target)


def _span_tasks(boxes: Boxes, frame: _Frame) -> Iterator[tuple[int, Callable[[], None]]]:
    """Draw small boxes whole and large ones in runs of one row. For a CPU: it waits for numbers where it likes."""
    rows = boxes.rows.unbind(0)
    classes, kinds = len(SMALL_SHAPES), torch.empty(len(boxes), dtype=torch.uint8, device=boxes.face.device)
    all_pixels = large_pixels = 0.0
    for start in range(0, len(boxes), frame.chunk):
        some = boxes.slice(start, start + frame.chunk)
        x0, y0, x1, y1 = some.rows[X0:].unbind(0)
        wide, high = (x1 - x0).clamp_(min=0.0), (y1 - y0).clamp_(min=0.0)
        pixels = wide * high
        code = high.clamp_(max=SMALL + 1.0).mul_(SMALL + 2.0).add_(wide.clamp_(max=SMALL + 1.0)).to(torch.int64)
        kind = torch.index_select(small_classes(), 0, code, out=kinds[start : start + frame.chunk])
        all_pixels += float(pixels.sum())
        large_pixels += float(pixels.mul_(kind == classes).sum())
        frame.invalid += int(some.invalid())
    frame.batch_pixels = all_pixels
    frame.all_pixels += all_pixels
    frame.large_pixels += large_pixels
    frame.used_tiles |= frame.options.mode == "tiled" or large_pixels > LARGE_SHARE * all_pixels
    order, bounds = sort_by_kind(kinds, classes + 1)

    def task(index: Tensor, across: int, down: int) -> None:
        draw(gather(rows, index), boxes.face.index_select(0, index), None, across, down, frame.target)

    large = [order[bounds[-2] : bounds[-1]]]
    for (across, down), start, stop in zip(SMALL_SHAPES, bounds, bounds[1:], strict=False):
        if stop - start < FEW:
            large.append(order[start:stop])
            continue
        most = max(1, frame.chunk // (across * down))
        for begin in range(start, stop, most):
            index = order[begin : min(begin + most, stop)]
            yield len(index) * across * down, partial(task, index, across, down)
    index = torch.cat(large)
    for begin in range(0, len(index), frame.chunk):
        piece = index[begin : begin + frame.chunk]
        some, face = gather(rows, piece), boxes.face.index_select(0, piece)
        yield from span_tasks(some, face, frame.target, frame.chunk)


def _shapes(policy: DevicePolicy) -> list[tuple[int, int]]:
    """``(wide, high)`` of each class of boxes."""
    if policy.square_boxes:
        return [(side, side) for side in policy.box_sizes]
    return [(wide, high) for high in policy.box_sizes for wide in policy.box_sizes]


def _sort_by_class(boxes: Boxes, classes: int, frame: _Frame) -> tuple[Boxes, list[int], float]:
    """Sort boxes by class: the shapes in order, then larger boxes; empty ones are dropped.

    Returns:
        The boxes, where each class starts and the last one ends, and the share of the candidate pixels that lies in
        larger boxes.
    """
    sides = frame.policy.box_sizes
    extent = boxes.extent()
    pixels = extent.prod(0)
    across, down = torch.bucketize(extent, constant(sides, extent.device))
    most = torch.maximum(across, down)
    large = most == len(sides)
    kind = most if frame.policy.square_boxes else down * len(sides) + across
    kind = kind.masked_fill(large, classes).masked_fill_(pixels == 0.0, classes + 1)
    kind, order = torch.sort(kind.to(torch.int32))

    sums = torch.stack((boxes.invalid(), (pixels * large).sum().long(), pixels.sum().long()))
    bounds = torch.searchsorted(kind, torch.arange(classes + 2, dtype=torch.int32, device=kind.device))
    *bounds, n_invalid, large_pixels, all_pixels = torch.cat((bounds, sums)).tolist()  # the one synchronisation
    frame.invalid += n_invalid
    frame.large_pixels += large_pixels
    frame.all_pixels += all_pixels
    frame.batch_pixels = all_pixels
    return boxes.take(order[: bounds[-1]]), bounds, large_pixels / max(1, all_pixels)


def _box_tasks(boxes: Boxes, wide: int, high: int, frame: _Frame) -> Iterator[tuple[int, Callable[[], None]]]:
    """Draw boxes none of which is larger than ``wide x high``, in chunks."""
    most = max(1, frame.chunk // (wide * high))
    for start in range(0, len(boxes), most):
        run = boxes.slice(start, min(start + most, len(boxes)))
        pixels = len(run) * wide * high
        if frame.policy.pad_shapes:  # repeating a box changes nothing, a minimum is idempotent
            padded = min(most, 1 << (len(run) - 1).bit_length())
            run = run.take(torch.arange(padded, device=run.face.device).clamp_(max=len(run) - 1))
        yield pixels, partial(draw, run.rows, run.face, run.view, wide, high, frame.target)


def _block_tasks(boxes: Boxes, frame: _Frame) -> Iterator[tuple[int, Callable[[], None]]]:
    """The batched mode's way with large boxes: every pixel of them, in blocks of the largest class."""
    side = frame.policy.box_sizes[-1]
    counts = count_tiles(boxes, side)
    total = int(counts[2][-1])
    most = max(1, frame.chunk // (side * side))
    for start in range(0, total, most):
        yield from _box_tasks(cut(boxes, side, start, min(start + most, total), counts), side, side, frame)


def _tile_tasks(boxes: Boxes, frame: _Frame) -> Iterator[tuple[int, Callable[[], None]]]:
    """The tiled mode's way with large boxes: cut at the tile grid, drop tiles the triangle cannot touch, twice."""
    side = frame.options.tile_size
    counts = count_tiles(boxes, side)
    total = int(counts[2][-1])
    fine = (math.ceil(side / SUB_TILE) + (side % SUB_TILE > 0)) ** 2  # most sub-tiles a tile can meet
    most = max(1, min(frame.chunk // 64, frame.options.budget // 2 // (fine * 2 * BYTES_PER_TRIANGLE)))
    for start in range(0, total, most):
        tiles = _touched_only(cut(boxes, side, start, min(start + most, total), counts))
        if len(tiles):
            pieces = cut(tiles, SUB_TILE, 0, len(tiles) * fine, count_tiles(tiles, SUB_TILE))
            yield from _box_tasks(_touched_only(pieces), SUB_TILE, SUB_TILE, frame)


def _touched_only(boxes: Boxes) -> Boxes:
    """The boxes that their triangle may touch. One synchronisation, and no ``nonzero``, which some devices lack."""
    keep = touched(boxes)
    place = torch.cumsum(keep, 0, dtype=torch.int64)
    slot = torch.where(keep, place - 1, len(boxes))
    index = torch.zeros(len(boxes) + 1, dtype=torch.int64, device=slot.device)
    index.scatter_(0, slot, torch.arange(len(boxes), device=slot.device))
    return boxes.take(index[: int(place[-1])])


def _account(frame: _Frame, device: torch.device) -> RasterInfo:
    mode, reason = frame.options.mode, "asked for"
    if frame.options.mode == "auto":
        part = frame.large_pixels / max(1, frame.all_pixels)
        side = SMALL if frame.policy.spans else frame.policy.box_sizes[-1]
        reason = f"{part:.0%} of the candidate pixels lie in boxes above {side} pixels"
        if frame.listed:
            reason = f"{frame.all_pixels:.0f} candidate pixels are few enough to be listed"
        mode = "tiled" if frame.used_tiles else "batched"
    return RasterInfo("torch", mode, reason, str(device), frame.invalid)
