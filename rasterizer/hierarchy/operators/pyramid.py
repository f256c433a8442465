"""The cells of all levels without padding, and the cell of each sample at each level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..cells import Numbering, centres, coordinates_of, pack, unpack
from ..numbered import SANE, Numbered
from ..surface_samples import Samples


@dataclass(frozen=True)
class LevelCells:
    """The N cells of one level.

    Attributes:
        resolution: cells along a side of the cube.
        cells: ``[N, 3]`` int64 coordinates.
        dims: ``[N]`` int64, the view that each faces most.
        points: ``[N, 3]`` float32, from where its neighbours are looked for.
        downsample: ``[N]`` int64 cells of the coarser level; None on the coarsest.
    """

    resolution: int
    cells: Tensor
    dims: Tensor
    points: Tensor
    downsample: Tensor | None


@dataclass(frozen=True)
class CoarseNumbers:
    """Numbers of the cells of all levels but the finest: one numbering, whose keys are set apart level by level."""

    numbering: Numbering
    apart: int  # between the keys of two levels
    offsets: list[int]  # of each level's first number, and the end; levels count from 1

    def find(self, keys: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The numbers, within ``level``, of keys of that level, and whether each is known; 0 where it is not."""
        numbers, found = self.numbering.find(keys + level * self.apart)
        return (numbers - self.offsets[level - 1]) * found, found


@dataclass(frozen=True)
class Pyramid:
    """The levels, finest first.

    Attributes:
        finest: the numbered cells that everything follows from.
        levels: their cells.
        coarse: the numbering of the coarser levels; None where there is but one level.
        cells: ``[levels, n]`` int64, the cell of each sample at each level.
        missing: per level ``[n]`` bool, samples whose cell was looked up by position and is not there, so that cell 0
            stands for it; None where no cell was.
    """

    finest: Numbered
    levels: tuple[LevelCells, ...]
    coarse: CoarseNumbers | None
    cells: Tensor
    missing: tuple[Tensor | None, ...]

    @property
    def samples(self) -> Samples:
        """What the views show."""
        return self.finest.samples

    def find(self, keys: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The numbers of a level's cells by their keys, and whether each is known."""
        return self.coarse.find(keys, level) if level and self.coarse else self.finest.numbering.find(keys)

    @classmethod
    def over(cls, finest: Numbered, count: int) -> Pyramid:
        """``count`` levels over the finest cells.

        A sample's cell at a coarser level is that of its position. Halving cell coordinates gives the same, unless a
        resolution was odd or a position lay outside the half-open cube; such levels are looked up by position.
        """
        resolutions = [finest.resolution >> level for level in range(count)]
        looked_up = [
            level > 0 and (not finest.inside or finest.resolution % (1 << level) > 0) for level in range(count)
        ]
        levels, coarse, cells = _stack(finest, resolutions, any(looked_up))
        none = cls(finest, levels, coarse, cells, (None,) * count)
        samples = finest.samples
        if not len(samples.positions):
            return none
        cells = cells.index_select(1, finest.numbering.number)
        if not any(looked_up):
            return replace(none, cells=cells)
        rows = list(cells)
        missing: list[Tensor | None] = [None] * count
        for level in range(1, count):
            if looked_up[level]:
                keys = pack(coordinates_of(samples.positions, resolutions[level]), resolutions[level])
                # The native module looks keys up in a map that makes a missing one, standing for cell 0.
                rows[level], found = none.find(keys, level)
                missing[level] = ~found
        return replace(none, cells=torch.stack(rows), missing=tuple(missing))


def _dominant_axis(vectors: Tensor) -> Tensor:
    """The axis of the largest component, the first of equal ones; NaN is never the largest."""
    x, y, z = vectors.unbind(-1)
    later = y > x
    largest = torch.where(later, y, x)
    return later.to(torch.int64).masked_fill_(z > largest, 2)


def _stack(
    finest: Numbered, resolutions: list[int], irregular: bool
) -> tuple[tuple[LevelCells, ...], CoarseNumbers | None, Tensor]:
    """All levels, the numbering of the coarser ones, and ``[levels, N0]`` each finest cell's cell."""
    coordinates, resolution = finest.coordinates, finest.resolution
    count, levels, device = len(coordinates), len(resolutions), coordinates.device
    dims = torch.remainder(_dominant_axis(finest.normals.abs()) + 1, 3)
    own = torch.arange(count, device=device)
    if levels == 1:
        only = LevelCells(resolution, coordinates, dims, centres(coordinates, resolution), None)
        return (only,), None, own[None]

    sizes = torch.tensor(resolutions).to(device, non_blocking=True)
    stack, apart = _halved(coordinates, resolutions, irregular)
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

    parts = [slice(0, count)]
    parts += [slice(count + start, count + stop) for start, stop in zip(offsets, offsets[1:], strict=False)]
    made = []
    for level, part in enumerate(parts):
        # Every cell has one finest cell that it is known by, and so a cell of the coarser level.
        up = cells[level].index_select(0, own) if level + 1 < levels else None
        made.append(LevelCells(resolutions[level], chosen[part], dims, points[part], up))
        if up is not None:
            own = numbering.first[offsets[level] : offsets[level + 1]] - level * count
            votes = torch.zeros((len(own), 3), dtype=torch.int32, device=device)
            ballot = up * 3 + dims
            votes.view(-1).scatter_add_(0, ballot, torch.ones_like(ballot, dtype=torch.int32))
            dims = _dominant_axis(votes)
    every = torch.cat((torch.arange(count, device=device)[None], cells))
    return tuple(made), CoarseNumbers(numbering, apart, offsets), every


def _halved(coordinates: Tensor, resolutions: list[int], irregular: bool) -> tuple[Tensor, int]:
    """``[levels, N, 3]`` the finest cells' coordinates at every level, and what sets the keys of two levels apart."""
    if not irregular:
        halvings = torch.arange(len(resolutions), device=coordinates.device)
        return coordinates >> halvings[:, None, None], resolutions[0] ** 3
    chain = [coordinates]
    for finer, coarser in zip(resolutions, resolutions[1:], strict=False):
        place = coordinates_of(centres(chain[-1], finer), coarser)
        chain.append(unpack(pack(place, coarser), coarser))
    return torch.stack(chain), 4 * SANE * (resolutions[0] + 1) ** 2
