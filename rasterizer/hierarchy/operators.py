"""Building the hierarchy: cells, coarser levels, padding, and neighbourhoods. Every step is one pass over all cells.

Levels are numbered from the finest, 0. A level of resolution R has a coarser one of resolution R // 2. What does not
depend on another level is done for all levels at once, because on a GPU each operator costs more than its work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..runtime.progress import shares
from . import kernels as gpu
from .cells import Numbering, centres, coordinates_of, corners, pack, unpack
from .level import Level
from .neighbors import NEAREST, Cells, Images, corner_flags, layer_rules, neighborhoods
from .surface_samples import NEVER, Samples

_SANE = 1 << 20  # a coordinate beyond this means a position far outside the cube, or NaN
_TABLES = 1 << 28  # bytes of depth tables, beyond which levels are linked one by one


@dataclass(frozen=True)
class Built:
    """Levels, finest first, and what only the finest has."""

    levels: list[Level]
    positions: Tensor  # [N, 3] float32
    normals: Tensor  # [N, 3] float32, zero for padded cells
    original: Tensor  # [N] float32, 1 = seen, 0 = padded
    feats: Tensor | None  # [N, C] float32


def build(
    samples: Samples,
    levels: int,
    resolution: int,
    on_progress: Callable[[float], None],
    split_sides: bool = False,
    kernels: bool | None = None,
) -> Built:
    """Build ``levels`` levels over ``samples``, the finest at ``resolution``.

    ``kernels`` says whether GPU kernels do what they can of it; None means where they work.
    With ``split_sides``, samples that share a finest cell but face away from the first of them get a cell of their own.
    """
    device = samples.positions.device
    if kernels is None and gpu.usable(device):
        ways = (partial(build, samples, levels, resolution, on_progress, split_sides, way) for way in (True, False))
        return gpu.PROGRAM.attempt(device, *ways)
    coordinates = coordinates_of(samples.positions, resolution)
    aliased = _check_inside(coordinates, resolution)
    keys = pack(coordinates, resolution)
    kernels = kernels and len(keys) > 0 and len(set(samples.sizes)) == 1
    number = gpu.numbering if kernels else Numbering.of
    finest = number(keys)
    if split_sides:
        leading = samples.normals.index_select(0, finest.first).index_select(0, finest.number)
        away = (samples.normals * leading).sum(dim=1) < 0
        finest = number(keys * 2 + away)
        finest = replace(finest, keys=finest.keys >> 1)
    first = finest.first
    normals = samples.normals.index_select(0, first)
    # A sample's cell at a coarser level is that of its position. Halving cell coordinates gives the same, unless a
    # resolution was odd or a position lay outside the half-open cube.
    resolutions = [resolution >> level for level in range(levels)]
    direct = [level > 0 and (aliased or resolution % (1 << level) > 0) for level in range(levels)]
    coordinates = coordinates.index_select(0, first)
    if aliased:
        coordinates = unpack(keys.index_select(0, first), resolution)
    if kernels and not aliased and not any(direct):
        return _finish(gpu.regular_levels(coordinates, normals, finest, samples, resolutions), samples, first, normals)
    pyramid, coarse, cells = _pyramid(coordinates, normals, resolutions, any(direct))
    on_progress(0.3)
    if not len(samples.positions):
        _leave_empty(pyramid)
        return _finish(pyramid, samples, first, normals)

    cells = cells.index_select(1, finest.number)
    missing: list[Tensor | None] = [None] * levels
    for number in range(1, levels):
        if direct[number]:
            keys = pack(coordinates_of(samples.positions, resolutions[number]), resolutions[number])
            # The native module looks keys up in a map that makes a missing one, standing for cell 0.
            cells[number], found = coarse.find(keys, number)
            missing[number] = ~found
    _see(pyramid, samples, cells)
    on_progress(0.4)
    known = [finest.find] + [lambda keys, number=number: coarse.find(keys, number) for number in range(1, levels)]
    for number in range(1, levels - 1):
        if missing[number] is not None:
            known[number] = _with_made_keys(known[number], pyramid[number], number, samples, cells, missing[number])
    for number in reversed(range(levels - 1)):
        shared = aliased or resolutions[number] % 2 > 0
        _pad(pyramid[number], pyramid[number + 1], known[number], shared)
    on_progress(0.5)

    together = levels if 4 * levels * samples.slots <= _TABLES else 1
    report = shares(lambda share: on_progress(0.5 + 0.5 * share), -(-levels // together))
    for start in range(0, levels, together):
        done = next(report)
        _link(pyramid, samples, cells, range(start, min(start + together, levels)))
        done(1.0)
    return _finish(pyramid, samples, first, normals)


def _check_inside(coordinates: Tensor, resolution: int) -> bool:
    """Whether some coordinate lies outside ``0 .. resolution - 1``; raises if one is no coordinate at all."""
    if not len(coordinates):
        return False
    least, most = torch.stack(torch.aminmax(coordinates)).tolist()
    if least < -_SANE or most > _SANE:
        raise ValueError("view_layer_positions: a valid pixel holds NaN or lies far outside, expected x, y, z in -1..1")
    return least < 0 or most >= resolution


def _dominant_axis(vectors: Tensor) -> Tensor:
    """The axis of the largest component, the first of equal ones; NaN is never the largest."""
    x, y, z = vectors.unbind(-1)
    later = y > x
    largest = torch.where(later, y, x)
    return later.to(torch.int64).masked_fill_(z > largest, 2)


@dataclass(frozen=True)
class _Coarse:
    """Numbers of the cells of all levels but the finest: one numbering, whose keys are set apart level by level."""

    numbering: Numbering
    apart: int  # between the keys of two levels
    offsets: list[int]  # of each level's first number, and the end; levels count from 1

    def find(self, keys: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The numbers, within ``level``, of keys of that level, and whether each is known; 0 where it is not."""
        numbers, found = self.numbering.find(keys + level * self.apart)
        return (numbers - self.offsets[level - 1]) * found, found


def _pyramid(
    coordinates: Tensor, normals: Tensor, resolutions: list[int], irregular: bool
) -> tuple[list[Level], _Coarse | None, Tensor]:
    """All levels without padding, the numbering of the coarser ones, and ``[levels, N0]`` each finest cell's cell."""
    resolution, count, levels = resolutions[0], len(coordinates), len(resolutions)
    device = coordinates.device
    dims = torch.remainder(_dominant_axis(normals.abs()) + 1, 3)
    pyramid = [Level(resolution, coordinates, dims)]
    own = torch.arange(count, device=device)
    if levels == 1:
        pyramid[0].points = centres(coordinates, resolution)
        return pyramid, None, own[None]

    sizes = torch.tensor(resolutions).to(device, non_blocking=True)
    if irregular:
        chain = [coordinates]
        for finer, coarser in zip(resolutions, resolutions[1:], strict=False):
            place = coordinates_of(centres(chain[-1], finer), coarser)
            chain.append(unpack(pack(place, coarser), coarser))
        stack = torch.stack(chain)
        apart = 4 * _SANE * (resolution + 1) ** 2
    else:
        stack = coordinates >> torch.arange(levels, device=device)[:, None, None]
        apart = resolution**3
    level_numbers = torch.arange(levels, device=device)
    keys = pack(stack, sizes[:, None, None]) + (level_numbers * apart)[:, None]
    numbering = Numbering.of(keys[1:].reshape(-1))
    bounds = level_numbers * count
    offsets = torch.searchsorted(numbering.first, bounds).tolist()
    cells = numbering.number.view(levels - 1, count) - torch.tensor(offsets[:-1]).to(device, non_blocking=True)[:, None]
    everyone = torch.cat((own, numbering.first + count))
    chosen = stack.view(-1, 3).index_select(0, everyone)
    level_of = torch.div(everyone, max(count, 1), rounding_mode="floor")
    points = centres(chosen, sizes.index_select(0, level_of)[:, None])
    pyramid[0].points = points[:count]
    for level, coarser in enumerate(resolutions[1:]):
        part = slice(count + offsets[level], count + offsets[level + 1])
        below = pyramid[-1]
        # Every cell of the level below has one finest cell that it is known by, and so a cell of this level.
        below.downsample = cells[level].index_select(0, own)
        own = numbering.first[offsets[level] : offsets[level + 1]] - level * count
        votes = torch.zeros((len(own), 3), dtype=torch.int32, device=device)
        ballot = below.downsample * 3 + below.dims
        votes.view(-1).scatter_add_(0, ballot, torch.ones_like(ballot, dtype=torch.int32))
        pyramid.append(Level(coarser, chosen[part], _dominant_axis(votes), points[part]))
    return pyramid, _Coarse(numbering, apart, offsets), torch.cat((torch.arange(count, device=device)[None], cells))


def _joined(pyramid: list[Level]) -> tuple[Cells, list[int]]:
    """The cells of some levels one after the other, and how many each has."""
    counts = [len(level.cells) for level in pyramid]
    device = pyramid[0].cells.device
    levels = torch.cat([torch.full((count,), number, device=device) for number, count in enumerate(counts)])
    points, dims = torch.cat([level.points for level in pyramid]), torch.cat([level.dims for level in pyramid])
    return Cells(points, dims, levels), counts


def _see(pyramid: list[Level], samples: Samples, cells: Tensor) -> None:
    """Find out where each cell is seen first, and from that ``seen``, ``rules`` and ``corners``."""
    joined, counts = _joined(pyramid)
    offsets = [sum(counts[:number]) for number in range(len(counts))]
    numbers = cells + torch.tensor(offsets).to(cells.device, non_blocking=True)[:, None]
    first = torch.full_like(joined.dims, NEVER)
    visits = samples.visit.expand(len(pyramid), -1).reshape(-1)
    first.scatter_reduce_(0, numbers.view(-1), visits, "amin")
    seen = first < NEVER
    rules = layer_rules(first, joined.dims, samples)
    sizes = sorted(set(samples.sizes))
    if len(sizes) == 1:
        flags = corner_flags(joined, seen, sizes[0])
    else:  # a cell's pixel depends on the size of the view, and only views that show it count
        flags = torch.zeros((2, len(first)), dtype=torch.bool, device=first.device)
        pixel = torch.remainder(samples.slot, samples.pixels)
        for size in sizes:
            inside = torch.zeros_like(pixel, dtype=torch.bool)
            for base, other in zip(samples.bases, samples.sizes, strict=True):
                if other == size:
                    inside |= (pixel >= base) & (pixel < base + size[0] * size[1])
            inside &= samples.visit < NEVER
            shown = torch.zeros_like(seen).index_fill_(0, numbers[:, inside].reshape(-1), True)
            flags |= corner_flags(joined, shown, size)
    flags = flags.to(torch.int32)
    parts = zip(pyramid, seen.split(counts), rules.split(counts), flags.split(counts, dim=1), strict=True)
    for level, its_seen, its_rules, its_corners in parts:
        level.seen, level.rules, level.corners = its_seen, its_rules, its_corners


Find = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Keys to the numbers of a level's cells, and whether there is such a cell."""


def _with_made_keys(find: Find, level: Level, number: int, samples: Samples, cells: Tensor, missing: Tensor) -> Find:
    """``find``, and besides the keys that looking up pixels makes; they stand for cell 0."""
    touched = torch.zeros(samples.pixels, dtype=torch.bool, device=missing.device)
    images = Images.of(samples, cells[number : number + 1], [level.points], number)
    own = torch.arange(len(level.cells), device=missing.device)
    there = Cells(level.points, level.dims, torch.full_like(own, number))
    neighborhoods(images, there, level.rules, own, touched)
    layer = torch.div(samples.slot, samples.pixels, rounding_mode="floor")
    pixel = samples.slot - layer * samples.pixels
    behind = touched.index_select(0, pixel) & (layer > 0) & (layer <= samples.last.index_select(0, pixel))
    looked_up = missing & ((samples.visit < NEVER) | behind)
    made = torch.unique(pack(coordinates_of(samples.positions[looked_up], level.resolution), level.resolution))

    def find_made(keys: Tensor) -> tuple[Tensor, Tensor]:
        cell, found = find(keys)
        if not len(made):
            return cell, found
        at = torch.searchsorted(made, keys).clamp_(max=len(made) - 1)
        return cell * found, found | (made.index_select(0, at) == keys)

    return find_made


def _pad(level: Level, coarser: Level, find: Find, shared: bool) -> None:
    """Give every cell of the coarser level a child whose pixel is an even corner, and one that is an odd one.

    With ``shared``, two coarser cells may ask for the same child.
    """
    size, count = len(level.cells), len(coarser.cells)
    hits = torch.zeros((2, count), dtype=torch.int32, device=level.cells.device)
    hits.scatter_reduce_(1, level.downsample.expand(2, -1), level.corners, "amax")
    lacking = 1 - hits
    points = corners(coarser.cells, coarser.resolution)
    places = coordinates_of(points, level.resolution)
    keys = pack(places, level.resolution)
    cells, found = find(keys)
    parent = (lacking.any(dim=0) > found).nonzero().squeeze(1)
    number = torch.arange(len(parent), device=parent.device)
    if shared:
        added = Numbering.of(keys.index_select(0, parent))
        cells[parent] = added.number + size
        parent = parent.index_select(0, added.first)
    else:
        cells.scatter_(0, parent, number + size)
    new = places.index_select(0, parent)
    level.cells = torch.cat((level.cells, unpack(pack(new, level.resolution), level.resolution) if shared else new))
    level.dims = torch.cat((level.dims, coarser.dims.index_select(0, parent)))
    level.points = torch.cat((level.points, points.index_select(0, parent)))
    level.downsample = torch.cat((level.downsample, parent))
    more = (0, len(parent))
    level.rules = torch.nn.functional.pad(level.rules, more, value=NEAREST)
    level.seen = torch.nn.functional.pad(level.seen, more, value=True)
    flags = torch.nn.functional.pad(level.corners, more)
    level.corners = flags.scatter_reduce_(1, cells.expand(2, -1), lacking, "amax")


def _link(pyramid: list[Level], samples: Samples, cells: Tensor, levels: range) -> None:
    """Find the neighbourhoods of some levels."""
    some = pyramid[levels.start : levels.stop]
    images = Images.of(samples, cells[levels.start : levels.stop], [level.points for level in some], levels.start)
    joined, counts = _joined(some)
    joined = replace(joined, levels=joined.levels + levels.start)
    own = torch.cat([torch.arange(count, device=cells.device) for count in counts])
    rules = torch.cat([level.rules for level in some])
    seen = torch.cat([level.seen for level in some])
    neighbors = neighborhoods(images, joined, rules, own).masked_fill_(~seen[:, None], -1)
    for level, rows in zip(some, neighbors.split(counts), strict=True):
        level.neighbors = rows


def _leave_empty(pyramid: list[Level]) -> None:
    for level in pyramid:
        level.neighbors = level.cells.new_empty((0, 9))
        level.corners = torch.empty((2, 0), dtype=torch.int32, device=level.cells.device)


def _finish(pyramid: list[Level], samples: Samples, first: Tensor, normals: Tensor) -> Built:
    finest = pyramid[0]
    padded = len(finest.cells) - len(first)
    feats = samples.feats
    if feats is not None:
        feats = torch.cat((feats.index_select(0, first), feats.new_full((padded, feats.shape[1]), 0.5)))
    middles = centres(finest.cells[len(first) :], finest.resolution)
    return Built(
        pyramid,
        torch.cat((samples.positions.index_select(0, first), middles)),
        torch.cat((normals, normals.new_zeros((padded, 3)))),
        torch.nn.functional.pad(torch.ones_like(normals[:, 0]), (0, padded)),
        feats,
    )
