"""Which cell of a grid each point of the surface belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..runtime.threads import share_rows
from .cells import coordinates_of, pack

POOR = 100.0
"""A score in cells: more than any distance to a neighbouring cell."""


@dataclass(frozen=True)
class Grid:
    """Cells to look among: C of N that hold a part of the surface.

    Attributes:
        keys: ``[C]`` int64 ascending; two cells share one where a thin wall has two sides.
        cells: ``[C]`` int64, the cell of each key.
        positions, normals: ``[N, 3]`` float32, of the surface in each cell.
        centre: ``[3]`` the middle of the cube, in mesh coordinates.
        half_side: half its side.
        resolution: cells along each side of it.
    """

    keys: Tensor
    cells: Tensor
    positions: Tensor
    normals: Tensor
    centre: Tensor
    half_side: float
    resolution: int

    @property
    def cell_size(self) -> float:
        """Side of a cell, in mesh units."""
        return 2 * self.half_side / self.resolution


def find(grid: Grid, points: Tensor, normals: Tensor | None) -> Tensor:
    """``[T]`` int64 cells, -1 for none, of points and normals ``[T, 3]`` float32; see :meth:`.GridHierarchy.find`."""
    places = coordinates_of((points - grid.centre) / grid.half_side, grid.resolution)
    found = torch.empty(len(points), dtype=torch.int64, device=points.device)

    def look(part: slice) -> None:
        found[part] = _nearest(grid, places[part], points[part], None if normals is None else normals[part])

    share_rows(look, len(points), points.device, weight=8)
    return found


def _nearest(grid: Grid, places: Tensor, points: Tensor, normals: Tensor | None) -> Tensor:
    """The best of the cells at and around given grid coordinates."""
    best, found = _nearest_in(grid, places, points, normals)
    poor = (best >= POOR).nonzero().squeeze(1)
    if len(poor):
        some, its_points = places.index_select(0, poor), points.index_select(0, poor)
        its_normals = None if normals is None else normals.index_select(0, poor)
        least, cell = best.index_select(0, poor), found.index_select(0, poor)
        for shift in _AROUND:
            near = some + torch.tensor(shift, device=places.device)
            apart, other = _nearest_in(grid, near, its_points, its_normals)
            closer = apart < least
            least, cell = torch.where(closer, apart, least), torch.where(closer, other, cell)
        found = found.index_copy(0, poor, cell)
    return found


def _nearest_in(grid: Grid, places: Tensor, points: Tensor, normals: Tensor | None) -> tuple[Tensor, Tensor]:
    """The better of the cells at given grid coordinates, and how good: distance in cells, much more if turned."""
    inside = ((places >= 0) & (places < grid.resolution)).all(dim=1)
    wanted = torch.where(inside, pack(places, grid.resolution), -1)
    at = torch.searchsorted(grid.keys, wanted)
    best = torch.full(wanted.shape, torch.inf, dtype=torch.float32, device=points.device)
    found = torch.full_like(wanted, -1)
    for side in (0, 1):
        place = (at + side).clamp(max=len(grid.keys) - 1)
        cell = grid.cells.index_select(0, place)
        score = (grid.positions.index_select(0, cell) - points).norm(dim=1) / grid.cell_size
        if normals is not None:
            score = score + POOR * ((grid.normals.index_select(0, cell) * normals).sum(dim=1) < 0)
        score = torch.where(grid.keys.index_select(0, place) == wanted, score, torch.inf)
        better = score < best
        best, found = torch.where(better, score, best), torch.where(better, cell, found)
    return best, found


_AROUND = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)]
