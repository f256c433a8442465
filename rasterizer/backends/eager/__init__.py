"""The eager backend: plain PyTorch operators on any device.

Triangles are set up in bounded batches (:mod:`.boxes`), their candidate pixels evaluated in bounded chunks
(:mod:`.fragments`), merged into an integer z-buffer (:mod:`.zbuffer`), and the winners turned into barycentrics
(:mod:`.resolve`). Both modes evaluate the same arithmetic on different sets of candidates and give the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from ...arithmetic import MAX_DEPTH, depth_threshold
from ...device import DevicePolicy, device_policy
from ...memory import default_budget
from ...raster_types import RasterInfo, RasterOptions, shares
from .boxes import BYTES_PER_TRIANGLE, X0, ZA, ZC, Boxes, count_tiles, cut, set_up, touched
from .fragments import BYTES_PER_PIXEL, draw
from .resolve import BYTES_PER_PIXEL as BYTES_PER_RESULT
from .resolve import Corners, resolve
from .zbuffer import PackedZBuffer, TwoPassZBuffer, make_zbuffer

SUB_TILE = 8
"""Side of the second, finer grid of the tiled mode."""

LARGE_SHARE = 0.05
"""``auto`` uses tiles once this share of all candidate pixels lies in boxes above the largest class."""


@dataclass
class _Frame:
    """State shared by the batches of one call."""

    zbuffer: PackedZBuffer | TwoPassZBuffer
    threshold: Tensor | None
    options: RasterOptions
    policy: DevicePolicy
    chunk: int
    invalid: int = 0
    large_pixels: int = 0
    all_pixels: int = 0
    used_tiles: bool = False
    done: float = 0.0
    span: float = 0.0
    batch_pixels: int = 0
    batch_drawn: int = 0

    def tick(self, pixels: int = 0) -> None:
        """Let the caller see, and stop, a call between two chunks; ``pixels`` are about to be evaluated."""
        part = min(1.0, self.batch_drawn / max(1, self.batch_pixels))
        self.options.on_progress(self.done + self.span * part)
        self.batch_drawn += pixels


def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize ``pos [B, N, 4]`` float32 with ``tri [M, 3]`` int; both validated and on one device.

    Returns:
        ``findices [B, H, W]`` int32, ``barycentric [B, H, W, 3]`` float32, and an account.
    """
    views = pos.shape[0]
    height, width = options.resolution
    policy = device_policy(pos.device)
    if views > 1 and not policy.int64_min:
        return _view_by_view(pos, tri, options)  # every merge of the two-pass z-buffer reads all of it
    options = replace(options, budget=options.budget or default_budget(pos.device))
    threshold = None
    if options.depth_prior is not None:
        threshold = depth_threshold(options.depth_prior, options.occlusion_truncation).reshape(-1)
    frame = _Frame(
        zbuffer=make_zbuffer(views * height * width, pos.device, policy),
        threshold=threshold,
        options=options,
        policy=policy,
        chunk=max(256, min(policy.chunk, options.budget // 2 // BYTES_PER_PIXEL)),
    )
    corners = Corners(pos, tri, (height, width), options.budget, policy.by_column)
    faces = tri.shape[0]
    batch = options.batch_size or max(1024, min(policy.batch, options.budget // 2 // BYTES_PER_TRIANGLE))
    frame.span = min(1.0, batch / (views * faces))
    for start in range(0, views * faces, batch):
        frame.done, frame.batch_drawn = start / (views * faces), 0
        _draw_batch(_triangles(corners, start, min(start + batch, views * faces)), frame)
    frame.done, frame.span = 1.0, 0.0

    findices = torch.empty((views, height, width), dtype=torch.int32, device=pos.device)
    barycentric = torch.empty((views, height, width, 3), dtype=torch.float32, device=pos.device)
    lines, results = findices.view(-1, width), barycentric.view(-1, width, 3)
    step = max(1, min(policy.chunk, options.budget // BYTES_PER_RESULT) // width)
    for start in range(0, views * height, step):
        stop = min(start + step, views * height)
        frame.tick()
        lines[start:stop] = frame.zbuffer.findices(start * width, stop * width).view(-1, width)
        resolve(findices, corners, start, policy.float64, results[start:stop])
    return findices, barycentric, _account(frame, pos.device)


def _view_by_view(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    results = []
    for view, report in enumerate(shares(options.on_progress, len(pos))):
        prior = None if options.depth_prior is None else options.depth_prior[view : view + 1]
        results.append(rasterize(pos[view : view + 1], tri, replace(options, depth_prior=prior, on_progress=report)))
    findices, barycentric, infos = zip(*results, strict=True)
    tiled = next((info for info in infos if info.mode == "tiled"), infos[0])
    info = replace(tiled, invalid=sum(info.invalid_faces for info in infos))
    return torch.cat(findices), torch.cat(barycentric), info


def _triangles(corners: Corners, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    """``[3, 4, T]`` screen-space corners, face index and view of the triangles ``start`` to ``stop`` of all views."""
    flat = torch.arange(start, stop, device=corners.device)
    view = torch.div(flat, corners.faces, rounding_mode="floor")
    face = flat - view * corners.faces
    found = corners.at(face, view if corners.views > 1 else None, (0, 1, 2, 3))
    return torch.stack([torch.stack(corner) for corner in found]), face, view


def _draw_batch(batch: tuple[Tensor, Tensor, Tensor], frame: _Frame) -> None:
    """Set up a batch of triangles and draw each class of boxes in its own way."""
    corners, face, view = batch
    height, width = frame.options.resolution
    boxes, invalid = set_up(corners, face, view, width, height)
    shapes = _shapes(frame.policy)
    boxes, bounds, far, large_share = _sort_by_class(boxes, invalid, len(shapes), frame)
    for (wide, high), start, stop in zip(shapes, bounds, bounds[1:], strict=False):
        if start < stop:
            _draw_class(boxes.slice(start, stop), wide, high, frame, far)
    start, stop = bounds[-2:]
    if start < stop:
        tiled = frame.options.mode == "tiled" or (frame.options.mode == "auto" and large_share > LARGE_SHARE)
        frame.used_tiles |= tiled
        (_draw_tiled if tiled else _draw_blocks)(boxes.slice(start, stop), frame, far)


def _shapes(policy: DevicePolicy) -> list[tuple[int, int]]:
    """``(wide, high)`` of each class of boxes."""
    if policy.square_boxes:
        return [(side, side) for side in policy.box_sizes]
    return [(wide, high) for high in policy.box_sizes for wide in policy.box_sizes]


def _sort_by_class(boxes: Boxes, invalid: Tensor, classes: int, frame: _Frame) -> tuple[Boxes, list[int], bool, float]:
    """Sort boxes by class: the shapes in order, then larger boxes; empty ones are dropped.

    Returns:
        The boxes, where each class starts and the last one ends, whether a corner is so far away that depth steps could
        overflow, and the share of the candidate pixels that lies in larger boxes.
    """
    sides = frame.policy.box_sizes
    x0, x1, y0, y1 = boxes.rows[X0:]
    limits = _constant(sides, x0.device)
    across, down = torch.bucketize(x1 - x0, limits), torch.bucketize(y1 - y0, limits)
    most = torch.maximum(across, down)
    empty, large = x1 <= x0, most == len(sides)
    kind = most if frame.policy.square_boxes else down * len(sides) + across
    kind = kind.masked_fill(large, classes).masked_fill_(empty, classes + 1)
    kind, order = torch.sort(kind.to(torch.int32))

    pixels = (x1 - x0) * (y1 - y0) * ~empty
    far = (boxes.rows[ZA : ZC + 1] >= MAX_DEPTH - 1.0).any()
    sums = torch.stack((invalid.sum(), far.long(), (pixels * large).sum().long(), pixels.sum().long()))
    bounds = torch.searchsorted(kind, torch.arange(classes + 2, dtype=torch.int32, device=kind.device))
    *bounds, n_invalid, far, large_pixels, all_pixels = torch.cat((bounds, sums)).tolist()  # the one synchronisation
    frame.invalid += n_invalid
    frame.large_pixels += large_pixels
    frame.all_pixels += all_pixels
    frame.batch_pixels = all_pixels
    return boxes.take(order[: bounds[-1]]), bounds, bool(far), large_pixels / max(1, all_pixels)


@lru_cache(maxsize=16)
def _constant(values: tuple[int, ...], device: torch.device) -> Tensor:
    """A small float32 tensor, copied to the device once: every copy would be a synchronisation."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def _draw_class(boxes: Boxes, wide: int, high: int, frame: _Frame, far: bool) -> None:
    """Draw boxes none of which is larger than ``wide x high``, in chunks."""
    most = max(1, frame.chunk // (wide * high))
    for start in range(0, len(boxes), most):
        run = boxes.slice(start, min(start + most, len(boxes)))
        frame.tick(len(run) * wide * high)
        if frame.policy.pad_shapes:  # repeating a box changes nothing, a minimum is idempotent
            padded = min(most, 1 << (len(run) - 1).bit_length())
            run = run.take(torch.arange(padded, device=run.face.device).clamp_(max=len(run) - 1))
        draw(run, wide, high, frame.zbuffer, frame.options.resolution, frame.threshold, far, frame.policy.float64)


def _draw_blocks(boxes: Boxes, frame: _Frame, far: bool) -> None:
    """The batched mode's way with large boxes: every pixel of them, in blocks of the largest class."""
    side = frame.policy.box_sizes[-1]
    counts = count_tiles(boxes, side)
    total = int(counts[2][-1])
    most = max(1, frame.chunk // (side * side))
    for start in range(0, total, most):
        _draw_class(cut(boxes, side, start, min(start + most, total), counts), side, side, frame, far)


def _draw_tiled(boxes: Boxes, frame: _Frame, far: bool) -> None:
    """The tiled mode's way with large boxes: cut at the tile grid, drop tiles the triangle cannot touch, twice."""
    side = frame.options.tile_size
    counts = count_tiles(boxes, side)
    total = int(counts[2][-1])
    fine = (math.ceil(side / SUB_TILE) + (side % SUB_TILE > 0)) ** 2  # most sub-tiles a tile can meet
    most = max(1, min(frame.chunk // 64, frame.options.budget // 2 // (fine * BYTES_PER_TRIANGLE)))
    for start in range(0, total, most):
        frame.tick()
        tiles = _touched_only(cut(boxes, side, start, min(start + most, total), counts))
        if len(tiles):
            pieces = cut(tiles, SUB_TILE, 0, len(tiles) * fine, count_tiles(tiles, SUB_TILE))
            _draw_class(_touched_only(pieces), SUB_TILE, SUB_TILE, frame, far)


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
        share = frame.large_pixels / max(1, frame.all_pixels)
        reason = f"{share:.0%} of the candidate pixels lie in boxes above {frame.policy.box_sizes[-1]} pixels"
        mode = "tiled" if frame.used_tiles else "batched"
    return RasterInfo("torch", mode, reason, str(device), frame.invalid)
