"""Neighbourhoods of all cells, which completes the levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ...runtime.progress import shares
from ..level import Level
from .neighbors import Images, neighborhoods
from .pyramid import Pyramid
from .seen import Shown, joined

_TABLES = 1 << 28  # bytes of depth tables, beyond which levels are linked one by one


def link(pyramid: Pyramid, padded: Sequence[Shown], on_progress: Callable[[float], None]) -> list[Level]:
    """All levels, with the neighbours of each cell."""
    count = len(padded)
    together = count if 4 * count * pyramid.samples.slots <= _TABLES else 1
    starts = range(0, count, together)
    levels = []
    for start, report in zip(starts, shares(on_progress, len(starts)), strict=True):
        levels += _link(pyramid, padded[start : start + together], start)
        report(1.0)
    return levels


def _link(pyramid: Pyramid, some: Sequence[Shown], start: int) -> list[Level]:
    """Levels from number ``start`` on, linked together."""
    parts = [shown.level for shown in some]
    rows = pyramid.cells[start : start + len(some)]
    images = Images.of(pyramid.samples, rows, [part.points for part in parts], start)
    cells, counts = joined(parts, start)
    own = torch.cat([torch.arange(count, device=rows.device) for count in counts])
    rules = torch.cat([shown.rules for shown in some])
    seen = torch.cat([shown.seen for shown in some])
    neighbors = neighborhoods(images, cells, rules, own).masked_fill_(~seen[:, None], -1).split(counts)
    return [
        Level(part.resolution, part.cells, shown.corners, around, part.downsample)
        for part, shown, around in zip(parts, some, neighbors, strict=True)
    ]


def unlinked(pyramid: Pyramid) -> list[Level]:
    """The levels of no samples, which have no cells."""
    return [
        Level(
            part.resolution,
            part.cells,
            part.cells.new_empty((2, 0), dtype=torch.int32),
            part.cells.new_empty((0, 9)),
            part.downsample,
        )
        for part in pyramid.levels
    ]
