"""Cells of a grid over the cube [-1, 1]³: their keys, their centres, and numbering them by first occurrence.

A cell's key at resolution R is ``(x * R + y) * R + z`` of its integer coordinates. A position exactly at +1 has the
coordinate R, which makes its key that of a cell of the next row; callers of the native module rely on that.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CENTRE = (0.5, 0.5, 0.5)
CORNER = (0.75, 0.25, 0.75)
"""Where in a cell a point is taken, along x, y and z."""


def grid_coordinates(positions: Tensor, resolution: int) -> Tensor:
    """``[..., 3]`` float32 positions to int64 coordinates, toward zero; float64 in between, as the native module."""
    return (positions * 0.5).to(torch.float64).add_(0.5).mul_(resolution).to(torch.int64)


def pack(coordinates: Tensor, resolution: int) -> Tensor:
    """Keys of ``[..., 3]`` coordinates."""
    x, y, z = coordinates.unbind(-1)
    return (x * resolution + y) * resolution + z


def cell_keys(positions: Tensor, resolution: int) -> Tensor:
    """Keys of the cells that ``[..., 3]`` positions lie in."""
    return pack(grid_coordinates(positions, resolution), resolution)


def cell_points(keys: Tensor, resolution: int, offset: tuple[float, float, float] = CENTRE) -> Tensor:
    """``[N, 3]`` float32 points of cells, at ``offset`` within each."""
    row = torch.div(keys, resolution, rounding_mode="trunc")
    coordinates = torch.stack(
        (
            torch.div(row, resolution, rounding_mode="trunc"),
            torch.fmod(row, resolution),
            torch.fmod(keys, resolution),
        ),
        dim=-1,
    )
    shifted = coordinates + torch.tensor(offset, dtype=torch.float64, device=keys.device)
    return shifted.div_(resolution).sub_(0.5).mul_(2.0).to(torch.float32)


@dataclass(frozen=True)
class Numbering:
    """Distinct keys numbered in the order of their first occurrence.

    Attributes:
        number: ``[n]`` int64, the number of each key's cell.
        first: ``[N]`` int64, where each cell occurs first.
        keys: ``[N]`` int64, the distinct keys, ascending (two cells share one where sides were split).
        number_of_key: ``[N]`` int64, the number of each of ``keys``.
    """

    number: Tensor
    first: Tensor
    keys: Tensor
    number_of_key: Tensor

    @classmethod
    def of(cls, keys: Tensor) -> Numbering:
        """Number ``[n]`` int64 keys. One device synchronisation, for their count."""
        ordered, order = torch.sort(keys, stable=True)
        starts = torch.ones_like(ordered, dtype=torch.bool)
        torch.ne(ordered[1:], ordered[:-1], out=starts[1:])
        where = starts.nonzero().squeeze(1)
        first_of_key = order.index_select(0, where)
        # Among all keys in their original order, count those that occur for the first time.
        is_first = torch.zeros_like(keys).index_fill_(0, first_of_key, 1)
        number_of_key = is_first.cumsum(0).sub_(1).index_select(0, first_of_key)
        run = starts.cumsum(0).sub_(1)
        number = torch.empty_like(keys)
        number[order] = number_of_key.index_select(0, run)
        first = torch.empty_like(first_of_key)
        first[number_of_key] = first_of_key
        return cls(number, first, ordered.index_select(0, where), number_of_key)

    def find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of ``[m]`` keys, and whether each is known; the number of an unknown key is that of another."""
        if not len(self.keys):
            return torch.zeros_like(keys), torch.zeros_like(keys, dtype=torch.bool)
        at = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        return self.number_of_key.index_select(0, at), self.keys.index_select(0, at) == keys

    def including(self, keys: Tensor) -> Numbering:
        """The same with further keys, all of which stand for cell 0, as missing ones do in the native module's map."""
        extra = torch.unique(keys)
        ordered, order = torch.sort(torch.cat((self.keys, extra)))
        numbers = torch.cat((self.number_of_key, torch.zeros_like(extra)))
        return Numbering(self.number, self.first, ordered, numbers.index_select(0, order))
