"""Which triangle is seen at every pixel, as GPU kernels: ``coverage.cu`` holds them and their design.

A call is cut into passes, each of which draws one tile of several images into the same z-buffer. That stays small: so
it mostly lies in the GPU's cache, while a pass is drawn and read.
"""

from __future__ import annotations

import ctypes
import struct as packing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ....contract import diff_rule
from ....gpu.platforms import Launch
from ....gpu.program import Loaded, Program, parameters_of
from ....gpu.structs import struct
from ....runtime.memory import call_when_memory_is_short
from ..workload import is_shared, looks_first, small_box

_STREAMS = 4  # whose buffers are kept at a time
_KEPT_WORDS = 1 << 19  # of a z-buffer that is kept between calls
_PASS_PIXELS = 1 << 22  # of a pass at most: those of the largest tile; 32 MiB of z-buffer
_PASS_TRIANGLES = 1 << 31  # of a pass, as 32 bits count them, unless one image has more
_RANGES = 128  # images of a pass, where each has triangles of its own
_COUNTERS = ("N_RECORDS", "N_REGIONS", "N_ASIDE")
_COUNTER_WORDS = 8  # of the z-buffer's, in front of it
_THREADS = 256  # of a block, in every kernel
_BLOCK = 16  # side of what large boxes are cut into; `regions` draws two rows of it at a time
_RUN = 8  # blocks of a region, or more where there would be more regions than _PARTS
_PARTS = 256  # regions of a box at most
_ASIDE = 8  # bytes of an entry

# Entries of each queue at most. Full queues cost time, not pixels.
_RECORDS = 1 << 19
_REGIONS = 1 << 21

Record = struct(
    "Record",
    ("u32", "a, b, c", "corners: x in the lower half, y in the upper, in 16ths of a pixel"),
    ("u32", "za, zb, zc", "their depth"),
    ("u32", "face, view", "view: image of the pass"),
)

Params = struct(
    "Params",
    ("const float4*", "pos", "[images or 1, vertices] clip space"),
    ("const u32*", "tri", "[faces, 3]"),
    ("const int*", "behind", "[images, height, width] depths of the layer before, or null"),
    ("float*", "rast, db", "[images, height, width, 4]"),
    ("int*", "depth", "[images, height, width], or null"),
    ("u64*", "words", "[views, tile_height, tile_width], after COUNTER_WORDS that hold the counters"),
    ("Record*", "records", "triangles that are handed over"),
    ("u64*", "aside", "number of 32 triangles, counted through all views, and which of them are to be clipped"),
    ("u32*", "regions", ""),
    ("u32", "first", "image that is the first view"),
    ("u32", "stride", "vertices from one image to the next, 0 where they share them"),
    ("u32", "vertices, faces", ""),
    ("u32", "width, height", "of the images"),
    ("u32", "left, top, tile_width, tile_height", "of the tile"),
    ("int", "tiled", "whether that is less than the image"),
    ("float", "scale_x, shift_x, scale_y, shift_y", "to the tile's clip coordinates: x*scale + w*shift"),
    ("float", "half_x, half_y", "half the tile, in 16ths of a pixel"),
    ("int", "small_box", "pixels of a box that is not handed over"),
    ("int", "look_first", "whether a word is read before its atomic"),
    ("u32", "view_groups", "32 triangles each, of a view"),
    ("u32", "record_capacity, region_capacity", ""),
    ("u32", "parts", "of a box at most; those of all boxes can be counted in 32 bits"),
    ("int", "ranged", "whether views have triangles of their own"),
    ("u32", f"ranges[{2 * _RANGES}]", "the first of them, and one past the last"),
)

write_addresses = packing.Struct("3P").pack_into
"""``write_addresses(params, place, *addresses)`` fills in three of :data:`Params`, those of what is drawn from
``place`` 0, and of images from :data:`IMAGES`."""

IMAGES = Params.rast.offset

SHARED_DEFINES = {"COUNTER_WORDS": _COUNTER_WORDS, "DEPTH_ORIGIN": diff_rule.DEPTH_ORIGIN, "COUNTERS": len(_COUNTERS)}
"""Constants of every program that takes :data:`Params`."""

PROGRAM = Program(
    Path(__file__).with_name("coverage.cu"),
    ("draw", "draw_shared", "clip", "regions"),
    "rasterizing differentiably",
    structs=(Record, Params),
    defines={
        **SHARED_DEFINES,
        **{name: place for place, name in enumerate(_COUNTERS)},
        "THREADS": _THREADS,
        "BLOCK": _BLOCK,
        "RUN": _RUN,
        "PARTS": _PARTS,
        "DEPTH_SCALE": diff_rule.DEPTH_SCALE,
        "DEPTH_MOST": diff_rule.DEPTH_MOST,
        "MOST_POINTS": diff_rule.MOST_POINTS,
    },
)
"""The kernels that draw; they are tested with those of :mod:`.rasterize`, which read what they have drawn."""


class Call(NamedTuple):
    """What the work of a call depends on, but for the values of its tensors.

    Attributes:
        images: how many there are.
        triangles: most of an image.
        faces, vertices: of the mesh; ``vertices`` of one image, where each has its own.
        ranged: whether images have triangles of their own, and all of them the same vertices.
        height, width: of the images.
    """

    images: int
    triangles: int
    faces: int
    vertices: int
    ranged: bool
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class _Pass:
    """Some images of a call, or one tile of them.

    Attributes:
        template: bytes of :data:`Params`.
        first, views: its images.
        size: ``(rows, columns)`` of the tile.
        launches: kernels that draw it, in their order; none where there is nothing to draw.
    """

    template: bytes
    first: int
    views: int
    size: tuple[int, int]
    launches: tuple[Launch, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """What follows from a :class:`Call`.

    Attributes:
        passes: its parts.
        words: pixels of the largest.
        records, aside, regions: bytes of its queues.
    """

    passes: tuple[_Pass, ...]
    words: int
    records: int
    aside: int
    regions: int


@lru_cache(maxsize=64)
def plan_of(program: Loaded, call: Call) -> Plan:
    """The passes of a call by a loaded :data:`PROGRAM`."""
    tiles = diff_rule.tiles(call.height, call.width)
    views = min(_PASS_PIXELS // max(tile.height * tile.width for tile in tiles), 65535, call.images)
    views = min(views, _PASS_TRIANGLES // max(1, call.triangles), _RANGES if call.ranged else views)
    views = max(1, views)
    groups = -(-call.triangles // _THREADS) * (_THREADS // 32)
    total = views * call.triangles
    most = min(total, _RECORDS), min(total * _PARTS, _REGIONS)
    passes = tuple(
        _pass(program, call, tile, first, min(views, call.images - first), most)
        for tile in tiles
        for first in range(0, call.images, views)
    )
    words = views * max(tile.height * tile.width for tile in tiles)
    return Plan(passes, words, most[0] * ctypes.sizeof(Record), views * groups * _ASIDE, most[1] * 4)


def _pass(
    program: Loaded, call: Call, tile: diff_rule.Tile, first: int, views: int, capacities: tuple[int, int]
) -> _Pass:
    blocks = -(-call.triangles // _THREADS)
    total, pixels = views * call.triangles, views * tile.height * tile.width
    shared = is_shared(total, pixels)
    scale_x, shift_x = diff_rule.to_tile(call.width, tile.left, tile.width)
    scale_y, shift_y = diff_rule.to_tile(call.height, tile.top, tile.height)
    params = Params(
        first=first,
        stride=0 if call.ranged else call.vertices,
        vertices=call.vertices,
        faces=call.faces,
        width=call.width,
        height=call.height,
        left=tile.left,
        top=tile.top,
        tile_width=tile.width,
        tile_height=tile.height,
        tiled=(tile.height, tile.width) != (call.height, call.width),
        scale_x=scale_x,
        shift_x=shift_x,
        scale_y=scale_y,
        shift_y=shift_y,
        half_x=diff_rule.SUBPIXELS // 2 * tile.width,
        half_y=diff_rule.SUBPIXELS // 2 * tile.height,
        small_box=small_box(total, shared),
        look_first=looks_first(total, pixels),
        view_groups=blocks * (_THREADS // 32),
        record_capacity=capacities[0],
        region_capacity=capacities[1],
        parts=min(_PARTS, max(1, (2**32 - 2) // max(1, total))),
        ranged=call.ranged,
    )
    launches: tuple[Launch, ...] = ()
    if total:
        launches = (
            program.launcher("draw_shared" if shared else "draw", (blocks, views, 1), _THREADS),
            program.launcher("clip", 4 * program.processors, _THREADS),
            program.launcher("regions", 8 * program.processors, _THREADS),
        )
    return _Pass(bytes(params), first, views, (tile.height, tile.width), launches)


class Buffers:
    """What calls work in, and the parameters of the last one, a :data:`Params` and its arguments for each pass.

    Between calls all bits of the z-buffer and its counters are set: whoever reads them sets them again.
    """

    def __init__(self, plan: Plan, device: torch.device, once: bool) -> None:
        self.once = once  # not to be kept
        self.words = torch.full((plan.words + _COUNTER_WORDS,), -1, dtype=torch.int64, device=device)
        self.queues: Tensor | None = None
        self.plan: Plan | None = None

    def prepare(self, plan: Plan) -> None:
        """Set what is the same for all calls of a plan."""
        size = plan.records + plan.aside + plan.regions
        if self.queues is None or self.queues.shape[0] < size:
            self.queues = torch.empty(size, dtype=torch.uint8, device=self.words.device)
        self.plan = plan
        self.params = [Params.from_buffer_copy(one.template) for one in plan.passes]
        self.arguments = [parameters_of(params) for params in self.params]
        words, queues = self.words.data_ptr() + 8 * _COUNTER_WORDS, self.queues.data_ptr()
        for params in self.params:
            params.words, params.records = words, queues
            params.aside, params.regions = queues + plan.records, queues + plan.records + plan.aside


_kept: dict[tuple[int, int], Buffers] = {}  # by device and stream, whose order of work keeps calls apart
call_when_memory_is_short(_kept.clear)


def take(key: tuple[int, int], plan: Plan, device: torch.device) -> Buffers:
    """Buffers for a call on ``key``'s device and stream, to be given to :func:`keep` once everything is launched.

    Whoever uses kept ones takes them away, so that no other thread draws into them, and they are lost when a launch
    fails. A graph that is being captured gets some that it clears itself.
    """
    once = torch.cuda.is_current_stream_capturing()
    buffers = None if once else _kept.pop(key, None)
    if buffers is None or buffers.words.shape[0] < plan.words + _COUNTER_WORDS:
        buffers = Buffers(plan, device, once)
    if buffers.plan is not plan:
        buffers.prepare(plan)
    return buffers


def keep(key: tuple[int, int], buffers: Buffers) -> None:
    """Keep buffers for the next call on the same device and stream. Large ones are given back: filling them anew takes
    little beside all else that such images need."""
    if buffers.once or buffers.words.shape[0] > _KEPT_WORDS + _COUNTER_WORDS:
        return
    if len(_kept) >= _STREAMS:
        _kept.clear()
    _kept[key] = buffers


def triangle_ranges(ranges: Tensor, faces: int) -> list[tuple[int, int]]:
    """First triangle of each image and one past its last, of those there are, from ``[B, 2]`` starts and counts."""
    found = []
    for start, count in ranges.tolist():
        first = min(max(start, 0), faces)
        found.append((first, min(max(start + count, first), faces)))
    return found
