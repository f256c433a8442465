"""Texels as rows of one table, and the four that surround a point of a flat texture.

Quantities of ``P`` pixels at ``L`` levels each are ``[L, P]``, those of the four texels ``[4, L, P]``, in the order
(low column, low row), (high column, low row), (low column, high row), (high column, high row). Texel ``(i, j)`` of a
level with ``W`` columns has its centre at ``s = (i + 0.5) / W``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ....contract.rule import constant
from ....contract.types import Boundary
from .rounding import fused

LONGEST = 65536.0
"""No side is longer."""


class Table:
    """All levels of a texture as rows of one table: level after level, of each the images of the batch, of each the
    faces, row by row; behind them, where texels outside are 0, a row of zeros.

    Attributes:
        levels: the levels.
        sizes: of each level height and width.
        batch: textures in the batch.
        faces: of a cube map 6, else 1.
        channels: of a texel.
        count: rows.
        outside: which row is zeros; None if there is none.
    """

    def __init__(self, levels: list[Tensor], boundary: Boundary) -> None:
        self.levels = levels
        self.sizes = [(level.shape[-3], level.shape[-2]) for level in levels]
        self.batch, self.channels = levels[0].shape[0], levels[0].shape[-1]
        self.faces = 6 if boundary == "cube" else 1
        texels = self.batch * self.faces * sum(height * width for height, width in self.sizes)
        self.outside = texels if boundary == "zero" else None
        self.count = texels if self.outside is None else texels + 1
        self._powers = all(side & (side - 1) == 0 for size in self.sizes for side in size)

    def rows(self) -> Tensor:
        """``[count, C]``; what is one level is not copied, but where texels outside are 0."""
        parts = [level.view(-1, self.channels) for level in self.levels]
        if self.outside is not None:
            parts.append(parts[0].new_zeros((1, self.channels)))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def at(self, level: Tensor | None, image: Tensor | None) -> Place:
        """Where the levels of pixels lie.

        Args:
            level: ``[L, P]`` int64; None for level 0 of all.
            image: ``[P]`` int64 which texture of the batch; None if there is one.
        """
        device = self.levels[0].device
        areas = [height * width * self.faces for height, width in self.sizes]
        firsts = [self.batch * sum(areas[:number]) for number in range(len(areas))]
        tables = [
            constant(tuple(width for _, width in self.sizes), device),
            constant(tuple(height for height, _ in self.sizes), device),
            constant(tuple(firsts), device, torch.int64),
            constant(tuple(areas), device, torch.int64),
        ]
        if level is None:
            width, height, first, area = (table[:1, None] for table in tables)
        else:
            width, height, first, area = (table.index_select(0, level.view(-1)).view_as(level) for table in tables)
        if image is not None:
            first = first + image * area
        return Place(width, height, first, self._powers)


class Place(NamedTuple):
    """Levels that pixels read; each tensor is ``[L, P]``, or ``[1, 1]`` where it is the same for all.

    Attributes:
        width, height: float32.
        first: int64 row of the first texel.
        powers: whether all sides are powers of two.
    """

    width: Tensor
    height: Tensor
    first: Tensor
    powers: bool

    def scaled(self, coordinate: Tensor, size: Tensor) -> Tensor:
        """Where ``coordinate`` lies between the centres of texels, ``coordinate * size - 0.5`` rounded once."""
        return (coordinate * size).sub_(0.5) if self.powers else fused(coordinate, size, -0.5)


@dataclass(frozen=True)
class Taps:
    """The texels around points.

    Attributes:
        index: ``[4, L, P]`` rows of the table; ``[1, L, P]`` if only the nearest counts.
        between: ``[L, P]`` each, how far points lie from the low columns to the high ones, and likewise for rows, 0..1;
            None if only the nearest counts.
        missing: ``[4, L, P]`` texels that do not exist, at corners of a cube map; None elsewhere.
    """

    index: Tensor
    between: tuple[Tensor, Tensor] | None
    missing: Tensor | None = None


def around(s: Tensor, t: Tensor, place: Place, boundary: Boundary, outside: int | None) -> Taps:
    """The four texels around points ``s, t [P]`` of a flat texture."""
    columns, across = _ends(s, place.width, place, boundary)
    rows, down = _ends(t, place.height, place, boundary)
    index = four(columns.to(torch.int64), rows.to(torch.int64), place)
    if outside is not None:
        # Those outside stand at -1 or below, or at the length of the side or above.
        inside = (columns >= 0) & (columns < place.width), (rows >= 0) & (rows < place.height)
        index = torch.where(pairs(*inside, torch.logical_and), index, outside)
    return Taps(index, (across, down))


def four(columns: Tensor, rows: Tensor, place: Place) -> Tensor:
    """``[4, L, P]`` entries of the table from int64 columns and rows, low and high, ``[2, L, P]`` each."""
    return pairs(columns, (rows * place.width.to(torch.int64)).add_(place.first), torch.add)


def pairs(columns: Tensor, rows: Tensor, operator: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """``[4, L, P]`` what an operator makes of each column and each row, ``[2, L, P]`` both."""
    return operator(columns[None], rows[:, None]).flatten(0, 1)


def _ends(coordinate: Tensor, size: Tensor, on: Place, boundary: Boundary) -> tuple[Tensor, Tensor]:
    """Low and high texel ``[2, L, P]``, whole float32 numbers, and how far between them the point lies, ``[L, P]``."""
    if boundary == "wrap":
        coordinate = (coordinate - coordinate.floor()).nan_to_num_(0.0)
    elif boundary == "clamp":
        coordinate = coordinate.nan_to_num(0.0).clamp_(0.0, 1.0)
    place = on.scaled(coordinate, size)
    if boundary == "clamp":
        place = torch.minimum(place.clamp_(min=0.0), size - 1.0)
    low = place.floor()
    part = place - low
    if boundary == "wrap":
        high = low + 1.0
        return torch.stack((torch.where(low < 0.0, size - 1.0, low), torch.where(high < size, high, 0.0))), part
    if boundary == "clamp":
        # On the centre of the first texel, where all that is before it comes to lie, both are the same.
        return torch.stack((low, torch.minimum(low + (place > 0.0), size - 1.0))), part
    low = low.nan_to_num_(-2.0).clamp_(-2.0, LONGEST)
    return torch.stack((low, low + 1.0)), part


def nearest(s: Tensor, t: Tensor, place: Place, boundary: Boundary, outside: int | None) -> Taps:
    """The texel that each of the points ``s, t [P]`` lies in."""
    i, j = _cell(s, place.width, boundary), _cell(t, place.height, boundary)
    column, row = (
        torch.minimum(each.clamp(min=0.0), size - 1.0) for each, size in ((i, place.width), (j, place.height))
    )
    index = (row.to(torch.int64) * place.width.to(torch.int64)).add_(column.to(torch.int64)).add_(place.first)
    if outside is not None:
        index = torch.where((column == i) & (row == j), index, outside)
    return Taps(index[None], None)


def _cell(coordinate: Tensor, size: Tensor, boundary: Boundary) -> Tensor:
    if boundary == "wrap":
        coordinate = coordinate - coordinate.floor()
    return (coordinate * size).floor_().nan_to_num_(0.0)
