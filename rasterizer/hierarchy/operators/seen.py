"""What the views show of each cell: whether they do, how it finds its neighbours, and where in its block it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..surface_samples import NEVER
from .neighbors import Cells, corner_flags, layer_rules
from .pyramid import LevelCells, Pyramid


@dataclass(frozen=True)
class Shown:
    """The N cells of one level, and what views show of them.

    Attributes:
        level: the cells.
        seen: ``[N]`` bool.
        rules: ``[N]`` int64, see :func:`.neighbors.layer_rules`.
        corners: ``[2, N]`` int32 flags, even and odd.
    """

    level: LevelCells
    seen: Tensor
    rules: Tensor
    corners: Tensor


def joined(levels: Sequence[LevelCells], first_level: int = 0) -> tuple[Cells, list[int]]:
    """The cells of some levels one after the other, and how many each has."""
    counts = [len(level.cells) for level in levels]
    device = levels[0].cells.device
    numbers = [torch.full((count,), first_level + number, device=device) for number, count in enumerate(counts)]
    points, dims = torch.cat([level.points for level in levels]), torch.cat([level.dims for level in levels])
    return Cells(points, dims, torch.cat(numbers)), counts


def see(pyramid: Pyramid) -> tuple[Shown, ...]:
    """Find out where each cell is seen first, and what follows from that."""
    samples, cells = pyramid.samples, pyramid.cells
    together, counts = joined(pyramid.levels)
    offsets = [sum(counts[:number]) for number in range(len(counts))]
    numbers = cells + torch.tensor(offsets).to(cells.device, non_blocking=True)[:, None]
    first = torch.full_like(together.dims, NEVER)
    visits = samples.visit.expand(len(counts), -1).reshape(-1)
    first.scatter_reduce_(0, numbers.view(-1), visits, "amin")
    seen = first < NEVER
    rules = layer_rules(first, together.dims, samples)
    sizes = sorted(set(samples.sizes))
    if len(sizes) == 1:
        flags = corner_flags(together, seen, sizes[0])
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
            flags |= corner_flags(together, shown, size)
    parts = (seen.split(counts), rules.split(counts), flags.to(torch.int32).split(counts, dim=1))
    return tuple(Shown(*values) for values in zip(pyramid.levels, *parts, strict=True))
