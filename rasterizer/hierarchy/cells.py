"""Cells of a grid over the cube [-1, 1]³: coordinates, keys, points, and numbering by first occurrence.

A cell's key at resolution R is ``(x * R + y) * R + z`` of its integer coordinates. A position exactly at +1 has the
coordinate R, which makes its key that of a cell of the next row; callers of the native module rely on that.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Resolution = int | Tensor
"""Cells along a side of the cube: one number, or ``[N, 1]`` int64 with one for each cell."""


def coordinates_of(positions: Tensor, resolution: Resolution) -> Tensor:
    """``[N, 3]`` float32 positions to int64 coordinates, toward zero; float64 in between, as the native module."""
    return (positions * 0.5).to(torch.float64).add_(0.5).mul_(resolution).to(torch.int64)


def pack(coordinates: Tensor, resolution: Resolution) -> Tensor:
    """Keys ``[...]`` of ``[..., 3]`` coordinates."""
    resolution = resolution.squeeze(-1) if isinstance(resolution, Tensor) else resolution
    x, y, z = coordinates.unbind(-1)
    return (x * resolution).add_(y).mul_(resolution).add_(z)


def unpack(keys: Tensor, resolution: int) -> Tensor:
    """Coordinates ``[N, 3]`` of keys, as the C language divides: quotients toward zero."""
    row = torch.div(keys, resolution, rounding_mode="trunc")
    x = torch.div(row, resolution, rounding_mode="trunc")
    return torch.stack((x, row - x * resolution, keys - row * resolution), dim=-1)


def centres(coordinates: Tensor, resolution: Resolution) -> Tensor:
    """``[N, 3]`` float32 middle of cells."""
    return coordinates.to(torch.float64).add_(0.5).div_(resolution).sub_(0.5).mul_(2.0).to(torch.float32)


def corners(coordinates: Tensor, resolution: Resolution) -> Tensor:
    """``[N, 3]`` float32 points at 3/4, 1/4 and 3/4 of cells."""
    place = coordinates.to(torch.float64).add_(0.75)
    place[:, 1] -= 0.5
    return place.div_(resolution).sub_(0.5).mul_(2.0).to(torch.float32)


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
        place = torch.zeros_like(keys).index_fill_(0, first_of_key, 1).cumsum_(0)
        number_of_key = place.index_select(0, first_of_key).sub_(1)
        numbers = number_of_key.index_select(0, starts.cumsum(0).sub_(1))
        number = place.scatter_(0, order, numbers)
        first = torch.empty_like(first_of_key).scatter_(0, number_of_key, first_of_key)
        return cls(number, first, ordered.index_select(0, where), number_of_key)

    def find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of ``[m]`` keys, and whether each is known; the number of an unknown key is that of another."""
        if not len(self.keys):
            return torch.zeros_like(keys), torch.zeros_like(keys, dtype=torch.bool)
        at = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        return self.number_of_key.index_select(0, at), self.keys.index_select(0, at) == keys
