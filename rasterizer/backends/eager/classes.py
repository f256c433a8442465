"""Boxes drawn in squares or classes of size: a batch of triangles in few large pieces, as a GPU wants them.

All candidates go into one list of small squares, if they are few or in small boxes. Else boxes are sorted into classes
of size, each drawn whole, and those above the largest class are cut into tiles, or into blocks of that class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch

from ...contract.rule import constant
from ...runtime.policy import DevicePolicy
from .boxes import BYTES_PER_TRIANGLE, BlockList, Boxes, count_tiles, cut, touched
from .fragments import BYTES_PER_BLOCK, BYTES_PER_PIXEL
from .frame import LARGE_SHARE, Frame

SUB_TILE = 8
"""Side of the second, finer grid of the tiled mode."""

BLOCKS = (2, 4)
"""Sides of the squares that a GPU cuts boxes into; it takes the size that costs less for the mesh."""

BLOCK_COST = 3
"""What a square costs beside its pixels, in pixels."""

LISTED_SIDE = 64
"""Boxes of more pixels than a square of this side are cut into tiles rather than listed, if they are many."""

Tasks = Iterator[tuple[int, Callable[[], None]]]
"""Numbers of candidate pixels, and what draws them."""


def class_tasks(boxes: Boxes, frame: Frame) -> Tasks:
    """Draw a batch of triangles."""
    listed = _worth_listing(boxes, frame) if frame.options.mode == "auto" else None
    if listed is not None:
        yield from _listed_tasks(*listed, frame)
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


def block_sides(size: tuple[int, int]) -> tuple[int, ...]:
    """Sides of squares of which float32 counts as many as a box may have in an image ``(height, width)``."""
    most_squares = math.prod(-(-side // BLOCKS[0]) for side in size)
    return BLOCKS if most_squares <= 1 << 24 else (8,)


def _worth_listing(boxes: Boxes, frame: Frame) -> tuple[BlockList, int, int, int] | None:
    """The boxes as a list of squares, if their candidates are few or in small boxes.

    Returns:
        The list, its length, the side of its squares, and how many may be drawn at once.
    """
    sides = block_sides(frame.target.size)
    extent = boxes.extent()
    pixels = extent.prod(0)
    listed = BlockList(boxes, extent, sides)
    sums = torch.cat((listed.counts, pixels[None], torch.threshold(pixels, LISTED_SIDE**2, 0.0)[None]))
    numbers = torch.cat((sums.sum(1, dtype=torch.int64), boxes.invalid()[None]))
    *counts, all_pixels, large_pixels, invalid = numbers.tolist()  # the one synchronisation, where that is all
    _, total, side = min(
        (count * (side * side + BLOCK_COST), count, side) for count, side in zip(counts, sides, strict=True)
    )
    square, room = side * side, frame.options.budget // 4 * 3  # the rest holds the triangles
    most = max(1, min(frame.policy.chunk // square, room // (square * BYTES_PER_PIXEL + BYTES_PER_BLOCK)))
    if total > most and large_pixels > LARGE_SHARE * all_pixels:
        return None
    frame.invalid += invalid
    frame.all_pixels += all_pixels
    frame.batch_pixels = total
    frame.listed = True
    listed.choose(side)
    return listed, total, side, most


def _listed_tasks(listed: BlockList, total: int, side: int, most: int, frame: Frame) -> Tasks:
    """Draw ``total`` squares, ``most`` at once."""

    def task(start: int, stop: int) -> None:
        blocks = listed.cut(start, stop, total)
        frame.drawing.draw(blocks.rows, blocks.face, blocks.view, side, side)

    for start in range(0, total, most):
        size = min(most, total - start)
        padded = min(most, 1 << (size - 1).bit_length()) if frame.policy.pad_shapes else size
        yield size, partial(task, start, start + padded)


def _shapes(policy: DevicePolicy) -> list[tuple[int, int]]:
    """``(wide, high)`` of each class of boxes."""
    if policy.square_boxes:
        return [(side, side) for side in policy.box_sizes]
    return [(wide, high) for high in policy.box_sizes for wide in policy.box_sizes]


def _sort_by_class(boxes: Boxes, classes: int, frame: Frame) -> tuple[Boxes, list[int], float]:
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
    starts = torch.searchsorted(kind, torch.arange(classes + 2, dtype=torch.int32, device=kind.device))
    *bounds, invalid, large_pixels, all_pixels = torch.cat((starts, sums)).tolist()  # the one synchronisation
    frame.invalid += invalid
    frame.large_pixels += large_pixels
    frame.all_pixels += all_pixels
    frame.batch_pixels = all_pixels
    return boxes.take(order[: bounds[-1]]), bounds, large_pixels / max(1, all_pixels)


def _box_tasks(boxes: Boxes, wide: int, high: int, frame: Frame) -> Tasks:
    """Draw boxes none of which is larger than ``wide x high``, in chunks."""
    most = max(1, frame.chunk // (wide * high))
    for start in range(0, len(boxes), most):
        run = boxes.slice(start, min(start + most, len(boxes)))
        pixels = len(run) * wide * high
        if frame.policy.pad_shapes:  # repeating a box changes nothing, a minimum is idempotent
            padded = min(most, 1 << (len(run) - 1).bit_length())
            run = run.take(torch.arange(padded, device=run.face.device).clamp_(max=len(run) - 1))
        yield pixels, partial(frame.drawing.draw, run.rows, run.face, run.view, wide, high)


def _block_tasks(boxes: Boxes, frame: Frame) -> Tasks:
    """The batched mode's way with large boxes: every pixel of them, in blocks of the largest class."""
    side = frame.policy.box_sizes[-1]
    counts = count_tiles(boxes, side)
    total = int(counts[2][-1])
    most = max(1, frame.chunk // (side * side))
    for start in range(0, total, most):
        yield from _box_tasks(cut(boxes, side, start, min(start + most, total), counts), side, side, frame)


def _tile_tasks(boxes: Boxes, frame: Frame) -> Tasks:
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
