"""Building the hierarchy: cells, coarser levels, neighbourhoods, and padding. Every step is one pass over all cells.

Levels are numbered from the finest, 0. A level of resolution R has a coarser one of resolution R // 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..raster_types import shares
from .cells import CORNER, Numbering, cell_keys, cell_points, grid_coordinates, pack
from .layers import NEVER, Samples
from .neighbors import NEAREST, LevelImages, corner_flags, first_visits, layer_rule, neighborhoods

_SANE = 1 << 20  # a coordinate beyond this means a position far outside the cube, or NaN


@dataclass
class Level:
    """One level while it is built; ``neighbors`` and what follows exist once :func:`_link` has run."""

    resolution: int
    keys: Tensor  # [N] int64
    dims: Tensor  # [N] int64, the view that a cell faces most
    numbering: Numbering
    downsample: Tensor | None = None  # [N] int64, into the coarser level
    neighbors: Tensor | None = None  # [N, 9] int64
    even: Tensor | None = None  # [N] int64
    odd: Tensor | None = None


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
) -> Built:
    """Build ``levels`` levels over ``samples``, the finest at ``resolution``.

    With ``split_sides``, samples that share a finest cell but face away from the first of them get a cell of their own.
    """
    report = shares(on_progress, levels + 1)
    coordinates = grid_coordinates(samples.positions, resolution)
    aliased = _check_inside(coordinates, resolution)
    keys = pack(coordinates, resolution)
    finest = Numbering.of(keys)
    if split_sides:
        leading = samples.normals.index_select(0, finest.first).index_select(0, finest.number)
        away = (samples.normals * leading).sum(dim=1) < 0
        finest = Numbering.of(keys * 2 + away)
        finest = replace(finest, keys=finest.keys >> 1)
    first = finest.first
    facing = _dominant_axis(samples.normals.index_select(0, first))
    built = [Level(resolution, _keys_in_order(finest), torch.remainder(facing + 1, 3), finest)]
    to_level = [finest.number]
    for _ in range(levels - 1):
        built.append(_coarser(built[-1]))
        to_level.append(built[-2].downsample.index_select(0, to_level[-1]))
    next(report)(1.0)

    # A sample's cell at a coarser level is that of its position. Halving cell coordinates gives the same, unless a
    # resolution was odd or a position lay outside the half-open cube.
    direct = [aliased or any(level.resolution % 2 for level in built[:number]) for number in range(levels)]
    direct[0] = False
    for number in reversed(range(levels)):
        step = next(report)
        _link(built, number, samples, to_level.pop(), direct[number])
        step(1.0)

    finest_level = built[0]
    padded = len(finest_level.keys) - len(first)
    positions = samples.positions.index_select(0, first)
    extra = cell_points(finest_level.keys[len(first) :], resolution)
    feats = samples.feats
    if feats is not None:
        feats = torch.cat((feats.index_select(0, first), feats.new_full((padded, feats.shape[1]), 0.5)))
    return Built(
        built,
        torch.cat((positions, extra)),
        torch.cat((samples.normals.index_select(0, first), torch.zeros_like(extra))),
        torch.cat((torch.ones_like(positions[:, 0]), torch.zeros_like(extra[:, 0]))),
        feats,
    )


def _check_inside(coordinates: Tensor, resolution: int) -> bool:
    """Whether some coordinate lies outside ``0 .. resolution - 1``; raises if one is no coordinate at all."""
    if not len(coordinates):
        return False
    least, most = torch.stack((coordinates.amin(), coordinates.amax())).tolist()
    if least < -_SANE or most > _SANE:
        raise ValueError("view_layer_positions: a valid pixel holds NaN or lies far outside, expected x, y, z in -1..1")
    return least < 0 or most >= resolution


def _keys_in_order(numbering: Numbering) -> Tensor:
    keys = torch.empty_like(numbering.keys)
    keys[numbering.number_of_key] = numbering.keys
    return keys


def _dominant_axis(normals: Tensor) -> Tensor:
    """The axis of the largest component, the first of equal ones; NaN is never the largest."""
    x, y, z = normals.abs().unbind(-1)
    largest = torch.where(y > x, y, x)
    return torch.where(z > largest, 2, (y > x).to(torch.int64))


def _coarser(level: Level) -> Level:
    """The level of half the resolution, whose cells face as most of their children do."""
    resolution = level.resolution // 2
    numbering = Numbering.of(cell_keys(cell_points(level.keys, level.resolution), resolution))
    level.downsample = numbering.number
    count = len(numbering.keys)
    votes = torch.zeros(count * 3, dtype=torch.int32, device=level.keys.device)
    votes.scatter_add_(0, numbering.number * 3 + level.dims, torch.ones_like(level.dims, dtype=torch.int32))
    a, b, c = votes.view(count, 3).unbind(1)
    dims = torch.where(c > torch.maximum(a, b), 2, (b > a).to(torch.int64))
    return Level(resolution, _keys_in_order(numbering), dims, numbering)


def _link(levels: list[Level], number: int, samples: Samples, cells: Tensor, direct: bool) -> None:
    """Find the neighbourhoods of a level, then pad it so that every coarser cell has an even and an odd corner."""
    level = levels[number]
    known, touched, missing = level.numbering, None, None
    if direct:
        keys = cell_keys(samples.positions, level.resolution)
        cells, found = known.find(keys)
        # The native module looks keys up in a map that makes a missing one, standing for cell 0.
        cells = torch.where(found, cells, 0)
        missing = ~found
        touched = torch.zeros(samples.pixels, dtype=torch.bool, device=keys.device)
    centres = cell_points(level.keys, level.resolution)
    images = LevelImages.of(samples, cells, centres, 1 << number)
    first = first_visits(images, len(level.keys))
    rules = layer_rule(first, level.dims, samples)
    own = torch.arange(len(level.keys), device=level.keys.device)
    neighbors = neighborhoods(images, centres, level.dims, rules, own, touched)
    level.neighbors = torch.where((first < NEVER)[:, None], neighbors, -1)
    level.even, level.odd = corner_flags(images, centres, level.dims, first)
    if number + 1 == len(levels):
        return
    if missing is not None:
        layer = torch.div(samples.slot, samples.pixels, rounding_mode="floor")
        pixel = samples.slot - layer * samples.pixels
        looked_up = (samples.visit < NEVER) | (touched[pixel] & (layer > 0) & (layer <= samples.last[pixel]))
        known = known.including(keys[missing & looked_up])
    _pad(level, levels[number + 1], known, images)


def _pad(level: Level, coarser: Level, known: Numbering, images: LevelImages) -> None:
    """Give every cell of the coarser level a child whose pixel is an even corner, and one that is an odd one."""
    count = len(coarser.keys)
    hit_even = _any_child(level.even, level.downsample, count)
    hit_odd = _any_child(level.odd, level.downsample, count)
    wanting = (~(hit_even & hit_odd)).nonzero().squeeze(1)
    points = cell_points(coarser.keys.index_select(0, wanting), coarser.resolution, CORNER)
    keys = cell_keys(points, level.resolution)
    cells, found = known.find(keys)

    size = len(level.keys)
    new = (~found).nonzero().squeeze(1)
    added = Numbering.of(keys.index_select(0, new))  # two coarse cells may share a key where a resolution is odd
    cells[new] = added.number + size
    parent = wanting.index_select(0, new.index_select(0, added.first))
    level.keys = torch.cat((level.keys, _keys_in_order(added)))
    level.dims = torch.cat((level.dims, coarser.dims.index_select(0, parent)))
    level.downsample = torch.cat((level.downsample, parent))

    padding = level.keys.new_zeros(len(parent))
    level.even = _set(torch.cat((level.even, padding)), cells, ~hit_even.index_select(0, wanting))
    level.odd = _set(torch.cat((level.odd, padding)), cells, ~hit_odd.index_select(0, wanting))
    own = torch.arange(size, size + len(parent), device=parent.device)
    points = points.index_select(0, new.index_select(0, added.first))
    rules = torch.full_like(own, NEAREST)
    rows = neighborhoods(images, points, level.dims[size:], rules, own)
    level.neighbors = torch.cat((level.neighbors, rows))


def _any_child(flags: Tensor, downsample: Tensor, count: int) -> Tensor:
    hits = torch.zeros(count, dtype=torch.int64, device=flags.device)
    return hits.scatter_reduce_(0, downsample, flags, "amax") > 0


def _set(flags: Tensor, cells: Tensor, where: Tensor) -> Tensor:
    return flags.scatter_reduce_(0, cells, where.to(torch.int64), "amax")
