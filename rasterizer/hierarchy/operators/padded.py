"""Padding: every cell of a coarser level gets a child in an even corner of its block, and one in an odd corner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..cells import Numbering, coordinates_of, corners, pack, unpack
from ..surface_samples import NEAREST, NEVER
from .neighbors import Cells, Images, neighborhoods
from .pyramid import LevelCells, Pyramid
from .seen import Shown

Find = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Keys to the numbers of a level's cells, and whether there is such a cell."""


def pad_levels(pyramid: Pyramid, shown: Sequence[Shown]) -> tuple[Shown, ...]:
    """All levels with their padded cells, which come last."""
    finders = [_finder(pyramid, shown[number], number) for number in range(len(shown))]
    coarser = shown[-1]
    padded = [coarser]
    for number in reversed(range(len(shown) - 1)):
        shared = not pyramid.finest.inside or shown[number].level.resolution % 2 > 0
        coarser = _pad(shown[number], coarser.level, finders[number], shared)
        padded.append(coarser)
    return tuple(reversed(padded))


def _finder(pyramid: Pyramid, shown: Shown, number: int) -> Find:
    """How padding finds a level's cells. Looking up pixels makes keys of those that are missing."""
    missing = pyramid.missing[number]
    if missing is None or not 0 < number < len(pyramid.levels) - 1:  # the coarsest is not padded
        return lambda keys: pyramid.find(keys, number)
    made = _made_keys(pyramid, shown, number, missing)

    def find(keys: Tensor) -> tuple[Tensor, Tensor]:
        cell, found = pyramid.find(keys, number)
        if not len(made):
            return cell, found
        at = torch.searchsorted(made, keys).clamp_(max=len(made) - 1)
        return cell * found, found | (made.index_select(0, at) == keys)

    return find


def _made_keys(pyramid: Pyramid, shown: Shown, number: int, missing: Tensor) -> Tensor:
    """Keys, ascending, that looking up pixels makes; they stand for cell 0."""
    samples, level = pyramid.samples, shown.level
    touched = torch.zeros(samples.pixels, dtype=torch.bool, device=missing.device)
    images = Images.of(samples, pyramid.cells[number : number + 1], [level.points], number)
    own = torch.arange(len(level.cells), device=missing.device)
    there = Cells(level.points, level.dims, torch.full_like(own, number))
    neighborhoods(images, there, shown.rules, own, touched)
    layer = torch.div(samples.slot, samples.pixels, rounding_mode="floor")
    pixel = samples.slot - layer * samples.pixels
    behind = touched.index_select(0, pixel) & (layer > 0) & (layer <= samples.last.index_select(0, pixel))
    looked_up = missing & ((samples.visit < NEVER) | behind)
    return torch.unique(pack(coordinates_of(samples.positions[looked_up], level.resolution), level.resolution))


def _pad(shown: Shown, coarser: LevelCells, find: Find, shared: bool) -> Shown:
    """A level with a child more for each cell of the (padded) coarser level that lacks one.

    With ``shared``, two coarser cells may ask for the same child.
    """
    level = shown.level
    assert level.downsample is not None  # the coarsest level has none, and no coarser one to be padded for
    size, count = len(level.cells), len(coarser.cells)
    hits = torch.zeros((2, count), dtype=torch.int32, device=level.cells.device)
    hits.scatter_reduce_(1, level.downsample.expand(2, -1), shown.corners, "amax")
    lacking = 1 - hits
    points = corners(coarser.cells, coarser.resolution)
    places = coordinates_of(points, level.resolution)
    keys = pack(places, level.resolution)
    children, found = find(keys)
    parent = (lacking.any(dim=0) > found).nonzero().squeeze(1)
    number = torch.arange(len(parent), device=parent.device)
    if shared:
        added = Numbering.of(keys.index_select(0, parent))
        children[parent] = added.number + size
        parent = parent.index_select(0, added.first)
    else:
        children.scatter_(0, parent, number + size)
    new = places.index_select(0, parent)
    cells = replace(
        level,
        cells=torch.cat((level.cells, unpack(pack(new, level.resolution), level.resolution) if shared else new)),
        dims=torch.cat((level.dims, coarser.dims.index_select(0, parent))),
        points=torch.cat((level.points, points.index_select(0, parent))),
        downsample=torch.cat((level.downsample, parent)),
    )
    more = (0, len(parent))
    flags = pad(shown.corners, more).scatter_reduce_(1, children.expand(2, -1), lacking, "amax")
    return Shown(cells, pad(shown.seen, more, value=True), pad(shown.rules, more, value=NEAREST), flags)
