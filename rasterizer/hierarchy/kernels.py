"""The hierarchy as GPU kernels, where PyTorch's operators cost more to launch than to run.

``kernels.cu`` has a kernel for what takes PyTorch a dozen operators. Results are the same to the last bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..gpu.program import Program
from ..gpu.structs import struct
from .cells import Numbering
from .level import Built, Level
from .numbered import Numbered, number_cells
from .surface_samples import FIRST, LAST, NEAREST, NEVER, Samples, Views, per_view

_LEVELS = 16  # at most
_THREADS = 256  # of a block, in every kernel


_Images = struct(
    "Images",
    ("const float*", "positions[3]", "[layers, height, width, 4] of each view"),
    ("const float*", "normals[3]", "[layers, height, width, 3]"),
    ("i64", "layers[3]", ""),
    ("i64", "height, width", ""),
    ("i64", "most", "layers of the view that has most"),
    ("int*", "drawn", "[all pixels of all layers, view by view] 0 or 1"),
    ("const i64*", "order", "[as drawn] how many are drawn up to each"),
    ("i64*", "count, last, at", "[pixels] as in Samples, and so on"),
    ("float*", "out_positions, out_normals", ""),
    ("i64*", "depth_axis, slot, visit", ""),
)

_Keys = struct(
    "Keys",
    ("const i64*", "ordered", "[keys] ascending"),
    ("const i64*", "order", "[keys] where each comes from"),
    ("int*", "marks", "[2, keys] first of its kind, in ascending and in original order"),
    ("const i64*", "sums", "[2, keys] running sums of marks"),
    ("i64*", "number, first, distinct, number_of_key", "[keys] as in Numbering, and so on"),
    ("i64", "keys", ""),
)

_Level = struct(
    "Level",
    ("i64*", "of_sample", "[samples] the cell of each sample"),
    ("i64*", "first", "[size] the visit at which each cell is seen first, NEVER before `belong`"),
    ("i64*", "cells", "[room, 3]"),
    ("i64*", "dims", "[room]"),
    ("float*", "points", "[room, 3]"),
    ("i64*", "down, rules", "[room] each"),
    ("unsigned char*", "seen", "[room]"),
    ("i64*", "flags", "[2, room] even, odd"),
    ("int*", "votes", "[size, 3] zeros"),
    ("i64*", "count", "[1] cells, with padding; on the device, so that no level waits for the host"),
    ("i64*", "neighbors", "[count, 9]"),
    ("int*", "hits", "[2, room of the coarser level] zeros"),
    ("i64*", "child", "[room of the coarser level] the number of a coarser cell's child"),
    ("int*", "needed", "[room of the coarser level] whether the child is to be made"),
    ("const i64*", "order", "[room of the coarser level] how many are needed up to each coarser cell"),
    ("const i64*", "keys, number_of_key", "[key_count] ascending, of known cells, and their numbers"),
    ("i64", "key_count, key_shift", ""),
    ("i64", "offset", "of a cell's number in a numbering of several levels"),
    ("i64", "size, room", "cells without and with padding"),
    ("i64", "resolution", ""),
)

_Params = struct(
    "Params",
    (_Level, f"level[{_LEVELS}]", ""),
    ("const i64*", "coordinates", "[finest, 3]"),
    ("const float*", "normals", "[finest, 3]"),
    ("const i64*", "finest_number", "[samples] the finest cell of each sample"),
    ("i64*", "coarse_keys", "[levels - 1, finest]"),
    ("const i64*", "coarse_number", "[levels - 1, finest] the numbers of those"),
    ("const i64*", "coarse_first", "[coarser cells]"),
    ("const i64*", "visit", "[samples]"),
    ("const i64*", "at", "[layers * pixels + 1]"),
    ("const i64*", "last, layer_count", "[pixels] each"),
    ("i64", "finest, samples, pixels, layers", ""),
    ("i64", "apart", "between the keys of two levels"),
    ("i64", "height, width", "of each of the three views"),
    ("int", "levels", ""),
    ("int", "current", "the level that vote, elect, hit, lack and adopt work on"),
)


PROGRAM = Program(
    Path(__file__).with_name("kernels.cu"),
    (
        *("survey", "gather", "mark", "rank", "spread", "halve", "represent", "vote", "elect", "belong", "judge"),
        *("hit", "lack", "adopt", "look"),
    ),
    "the grid hierarchy",
    structs=(_Images, _Keys, _Level, _Params),
    defines={"THREADS": _THREADS, "NEVER": NEVER, "FIRST": FIRST, "NEAREST": NEAREST, "LAST": LAST},
)


def _launcher(device: torch.device, params: ctypes.Structure) -> Callable[..., None]:
    """As :meth:`Program.launching`, for so many levels together."""
    return PROGRAM.launching(_THREADS, device, params)


def _integers(device: torch.device, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.int64, device=device)


def suit(views: Views, levels: int, resolution: int) -> bool:
    """Whether the kernels can build this: views of one size that are not empty, resolutions that halve exactly."""
    regular = len(set(views.sizes)) == 1 and all(view.numel() for view in views.positions)
    return regular and levels <= _LEVELS and resolution % (1 << (levels - 1)) == 0


def build(
    views: Views, levels: int, resolution: int, split_sides: bool, on_progress: Callable[[float], None]
) -> Built | None:
    """As :func:`rasterizer.hierarchy.construct.build` for what :func:`suit`, on the views' device.

    Returns:
        None where nothing is seen, or a position lies outside the half-open cube, which operators alone can handle.
    """
    samples = _collect(views)
    if not len(samples.positions):
        return None
    finest = number_cells(samples, resolution, split_sides, _numbering)
    if not finest.inside:
        return None
    return Built.of(finest, _levels(finest, [resolution >> level for level in range(levels)]))


def _collect(views: Views) -> Samples:
    """:func:`rasterizer.hierarchy.surface_samples.collect` of views of one size, not empty."""
    device = views.positions[0].device
    positions = [view.contiguous() for view in views.positions]
    normals = [view.contiguous() for view in views.normals]
    layers = [len(view) for view in positions]
    height, width = positions[0].shape[1:3]
    area, most = height * width, max(layers)
    drawn = torch.empty((sum(layers) * area,), dtype=torch.int32, device=device)
    count, last, at = _integers(device, 3 * area), _integers(device, 3 * area), _integers(device, most * 3 * area + 1)
    params = _Images(
        (ctypes.c_void_p * 3)(*(view.data_ptr() for view in positions)),
        (ctypes.c_void_p * 3)(*(view.data_ptr() for view in normals)),
        (ctypes.c_int64 * 3)(*layers),
        height,
        width,
        most,
        drawn=drawn.data_ptr(),
        count=count.data_ptr(),
        last=last.data_ptr(),
        at=at.data_ptr(),
    )
    launch = _launcher(device, params)
    launch("survey", 3 * area)
    order = drawn.cumsum(0)
    total = int(order[-1])
    points, directions = (torch.empty((total, 3), dtype=torch.float32, device=device) for _ in range(2))
    depth_axis, slot, visit = (_integers(device, total) for _ in range(3))
    params.order, params.out_positions, params.out_normals = order.data_ptr(), points.data_ptr(), directions.data_ptr()
    params.depth_axis, params.slot, params.visit = depth_axis.data_ptr(), slot.data_ptr(), visit.data_ptr()
    launch("gather", most * 3 * area + 1)
    bases = (0, area, 2 * area)
    feats = None
    if views.feats is not None:
        # Where a sample lies among the pixels of all views, one after the other, layer by layer.
        layer = torch.div(slot, 3 * area, rounding_mode="floor")
        pixel = slot - layer * 3 * area
        (start,) = per_view([(sum(layers[:view]) * area - bases[view],) for view in range(3)], pixel // area)
        index = start + layer * area + pixel
        feats = torch.cat([view.reshape(-1, view.shape[-1]) for view in views.feats]).index_select(0, index)
    return Samples(points, directions, feats, depth_axis, slot, visit, at, count, last, views.sizes, bases)


def _numbering(keys: Tensor) -> Numbering:
    """:meth:`Numbering.of` of keys of which there is at least one."""
    device, total = keys.device, len(keys)
    ordered, order = torch.sort(keys, stable=True)
    marks = torch.empty((2 * total,), dtype=torch.int32, device=device)
    number = _integers(device, total)
    params = _Keys(ordered.data_ptr(), order.data_ptr(), marks.data_ptr(), number=number.data_ptr(), keys=total)
    launch = _launcher(device, params)
    launch("mark", total)
    sums = marks.cumsum(0)
    distinct = int(sums[total - 1])
    first, known, number_of_key = (_integers(device, distinct) for _ in range(3))
    params.sums, params.first, params.distinct = sums.data_ptr(), first.data_ptr(), known.data_ptr()
    params.number_of_key = number_of_key.data_ptr()
    launch("rank", total)
    launch("spread", total)
    return Numbering(number, first, known, number_of_key)


@dataclass(frozen=True)
class _Tables:
    """What the kernels write of all levels, finest first: ``room`` cells, of which ``size`` are there before padding.

    Attributes:
        sizes: cells of each level without padding.
        rooms: and most with it: each cell of the coarser level may lack a child.
        starts: first cell of each level, and the end.
        cells: ``[room, 3]`` int64.
        points: ``[room, 3]`` float32.
        dims, down, rules: ``[room]`` int64.
        flags: ``[2 * room]`` int64, even and odd of a level, then of the next.
        seen: ``[room]`` uint8.
        child: ``[room]`` int64, of the coarser cell, for the level below it.
        needed: ``[room]`` int32, likewise.
        hits: ``[2 * room]`` int32 zeros, likewise.
        first: ``[size]`` int64.
        votes: ``[size, 3]`` int32 zeros.
        of_sample: ``[levels, samples]`` int64.
        counts: ``[levels]`` int64.
    """

    sizes: list[int]
    rooms: list[int]
    starts: list[int]
    cells: Tensor
    points: Tensor
    dims: Tensor
    down: Tensor
    rules: Tensor
    flags: Tensor
    seen: Tensor
    child: Tensor
    needed: Tensor
    hits: Tensor
    first: Tensor
    votes: Tensor
    of_sample: Tensor
    counts: Tensor

    @classmethod
    def of(cls, sizes: list[int], samples: int, device: torch.device) -> _Tables:
        """Room for levels of ``sizes`` cells over so many samples."""
        levels, size = len(sizes), sum(sizes)
        rooms = [sum(sizes[number:]) for number in range(levels)]
        starts = [0, *accumulate(rooms)]
        room = starts[-1]
        dims, down, rules, child = (_integers(device, room) for _ in range(4))
        hits, votes = torch.zeros((2 * room + 3 * size,), dtype=torch.int32, device=device).split([2 * room, 3 * size])
        return cls(
            sizes,
            rooms,
            starts,
            cells=_integers(device, room, 3),
            points=torch.empty((room, 3), dtype=torch.float32, device=device),
            dims=dims,
            down=down,
            rules=rules,
            flags=_integers(device, 2 * room),
            seen=torch.empty((room,), dtype=torch.uint8, device=device),
            child=child,
            needed=torch.empty((room,), dtype=torch.int32, device=device),
            hits=hits,
            first=torch.full((size,), NEVER, dtype=torch.int64, device=device),
            votes=votes,
            of_sample=_integers(device, levels, samples),
            counts=_integers(device, levels),
        )

    def describe(self, number: int, row: Any) -> None:
        """Fill in where a level's parts are, for a ``Level`` of kernels.cu."""
        start, above = self.starts[number], self.starts[number + 1]  # above: what belongs to cells of the coarser level
        before = sum(self.sizes[:number])
        row.size, row.room = self.sizes[number], self.rooms[number]
        row.of_sample = self.of_sample[number].data_ptr()
        row.first, row.votes = self.first.data_ptr() + 8 * before, self.votes.data_ptr() + 12 * before
        row.cells, row.points = self.cells.data_ptr() + 24 * start, self.points.data_ptr() + 12 * start
        row.dims, row.down, row.rules = (one.data_ptr() + 8 * start for one in (self.dims, self.down, self.rules))
        row.flags, row.seen = self.flags.data_ptr() + 16 * start, self.seen.data_ptr() + start
        row.hits, row.needed = self.hits.data_ptr() + 8 * above, self.needed.data_ptr() + 4 * above
        row.child, row.count = self.child.data_ptr() + 8 * above, self.counts.data_ptr() + 8 * number

    def level(self, number: int, resolution: int, neighbors: Tensor) -> Level:
        """A level that is finished."""
        start, room, total = self.starts[number], self.rooms[number], len(neighbors)
        part = slice(start, start + total)
        corners = self.flags[2 * start : 2 * (start + room)].view(2, room)[:, :total]
        below = self.down[part] if number + 1 < len(self.sizes) else None
        return Level(resolution, self.cells[part], corners, neighbors, below)


def _levels(numbered: Numbered, resolutions: Sequence[int]) -> list[Level]:
    """All levels, padded and linked, of resolutions that halve exactly, finest first; at least one sample."""
    samples, finest = numbered.samples, numbered.numbering
    coordinates, normals = numbered.coordinates.contiguous(), numbered.normals.contiguous()
    device, levels, count = coordinates.device, len(resolutions), len(coordinates)
    params = _Params(
        coordinates=coordinates.data_ptr(),
        normals=normals.data_ptr(),
        finest_number=finest.number.data_ptr(),
        visit=samples.visit.data_ptr(),
        at=samples.at.data_ptr(),
        last=samples.last.data_ptr(),
        layer_count=samples.count.data_ptr(),
        finest=count,
        samples=len(samples.visit),
        pixels=samples.pixels,
        layers=samples.layers,
        apart=resolutions[0] ** 3,
        height=samples.sizes[0][0],
        width=samples.sizes[0][1],
        levels=levels,
    )
    for row, resolution in zip(params.level, resolutions, strict=False):
        row.resolution = resolution
    launch = _launcher(device, params)
    offsets, coarse = [0], finest
    if levels > 1:
        keys = _integers(device, (levels - 1) * count)
        params.coarse_keys = keys.data_ptr()
        launch("halve", count, levels - 1)
        coarse = _numbering(keys)
        params.coarse_number, params.coarse_first = coarse.number.data_ptr(), coarse.first.data_ptr()
        bounds = torch.arange(levels, device=device) * count
        offsets = torch.searchsorted(coarse.first, bounds).tolist()
    sizes = [count, *(stop - start for start, stop in zip(offsets, offsets[1:], strict=False))]
    tables = _Tables.of(sizes, params.samples, device)
    for number in range(levels):
        row, known = params.level[number], coarse if number else finest
        tables.describe(number, row)
        row.offset = offsets[number - 1] if number else 0
        row.keys, row.number_of_key = known.keys.data_ptr(), known.number_of_key.data_ptr()
        row.key_count, row.key_shift = len(known.keys), number * params.apart
    neighbors = _fill_in(params, tables, launch)
    return [tables.level(number, resolutions[number], rows) for number, rows in enumerate(neighbors)]


def _fill_in(params: Any, tables: _Tables, launch: Callable[..., None]) -> list[Tensor]:
    """Run the kernels that fill the tables; ``[N, 9]`` int64 neighbours of each level's cells, with padding."""
    levels, device = params.levels, tables.cells.device
    launch("represent", max(tables.sizes), levels)
    for params.current in range(levels - 1):
        launch("vote", tables.sizes[params.current])
        launch("elect", tables.sizes[params.current + 1])
    launch("belong", params.samples, levels)
    launch("judge", max(tables.sizes), levels)
    orders = []  # to be kept until the kernels have run
    for params.current in reversed(range(levels - 1)):
        finer, coarser = params.level[params.current], params.current + 1
        launch("hit", finer.size)
        launch("lack", tables.rooms[coarser])
        orders.append(tables.needed[tables.starts[coarser] : tables.starts[coarser + 1]].cumsum(0))
        finer.order = orders[-1].data_ptr()
        launch("adopt", tables.rooms[coarser])
    neighbors = [_integers(device, total, 9) for total in tables.counts.tolist()]
    for row, rows in zip(params.level, neighbors, strict=False):
        row.neighbors = rows.data_ptr()
    launch("look", 9 * max(map(len, neighbors)), levels)
    return neighbors
