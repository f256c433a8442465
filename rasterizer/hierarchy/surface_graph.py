"""Graphs of cells joined along the surface, from fine to coarse.

Neighbours in a view's image need not be neighbours on the surface: behind an edge the next pixel shows another sheet.
An edge is kept only where the step from cell to cell runs along the surface, and coarser nodes are made of cells that
hang together, so two sheets in one coarse cell stay two nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..runtime.policy import device_policy
from .cells import unpack
from .grid import GridHierarchy

_STEEPEST = 0.5  # largest sine between a step and the surface: sheets 0.82 cells apart are not joined, creases are
_OPPOSED = -0.5  # least cosine between the normals of joined cells: a crease of up to 120 degrees
_SPREAD = 0.5  # floor of the distance in a weight, in cells, so that no two cells are glued together


@dataclass(frozen=True, eq=False)
class SurfaceGraph:
    """Nodes on the surface and their neighbours.

    Attributes:
        points, normals: ``[N, 3]`` float32.
        neighbors: ``[N, K]`` int64, ascending, padded with -1; who is a neighbour of whom is mutual.
        weights: ``[N, K]`` float32, the inverse squared distance in cells; 0 where there is no neighbour.
        voxels: ``[N, 3]`` int64 coordinates of the grid cell that a node lies in.
        cell_size: side of that cell.
    """

    points: Tensor
    normals: Tensor
    neighbors: Tensor
    weights: Tensor
    voxels: Tensor
    cell_size: float

    @classmethod
    def of(cls, hierarchy: GridHierarchy) -> tuple[SurfaceGraph, Tensor]:
        """The graph of level 0 without padded cells, and ``[N0]`` int64 the node of each cell (-1: padded)."""
        seen = hierarchy.original.nonzero().squeeze(1)
        node = torch.full_like(hierarchy.keys[0], -1)
        node[seen] = torch.arange(len(seen), device=node.device)
        around = hierarchy.neighbors[0].index_select(0, seen)
        here = torch.arange(len(seen), device=node.device)[:, None].expand_as(around)
        there = torch.where(around >= 0, node[around.clamp(min=0)], -1)
        points, normals = hierarchy.positions.index_select(0, seen), hierarchy.normals.index_select(0, seen)
        real = (there >= 0) & (there != here)
        start, end = here[real], there[real]
        step = points[end] - points[start]
        one, other = normals[start], normals[end]
        mean = torch.nn.functional.normalize(one + other, dim=1)
        along = (step * mean).sum(dim=1).abs() <= _STEEPEST * step.norm(dim=1)
        kept = along & ((one * other).sum(dim=1) >= _OPPOSED)
        keys = hierarchy.keys[0].index_select(0, seen)
        voxels = unpack(keys, hierarchy.resolution)
        graph = _graph(points, normals, start[kept], end[kept], voxels, hierarchy.cell_size)
        return graph, node

    def coarser(self) -> tuple[SurfaceGraph, Tensor]:
        """The graph of half the resolution, and ``[N]`` int64 the coarser node of each node.

        A coarser node is a set of nodes that share a coarse cell and hang together within it.
        """
        voxels = torch.div(self.voxels, 2, rounding_mode="floor")
        count = len(voxels)
        here = torch.arange(count, device=voxels.device)
        linked = self.neighbors.clamp(min=0)
        together = (self.neighbors >= 0) & (voxels[linked] == voxels[:, None]).all(dim=2)
        label = here
        while True:  # the least node of each set; a set has few nodes, so this takes few rounds
            least = torch.where(together, label[linked], count).amin(dim=1, keepdim=False)
            lower = torch.minimum(label, least)
            lower = lower[lower]
            if torch.equal(lower, label):
                break
            label = lower
        roots, parent = torch.unique(label, return_inverse=True)
        real = self.neighbors >= 0
        start, end = parent[:, None].expand_as(linked)[real], parent[linked][real]
        apart = start != end
        points, normals = group_mean(self.points, parent, len(roots)), group_mean(self.normals, parent, len(roots))
        normals = torch.nn.functional.normalize(normals, dim=1)
        graph = _graph(points, normals, start[apart], end[apart], voxels[roots], 2 * self.cell_size)
        return graph, parent


def group_mean(values: Tensor, group: Tensor, count: int, weights: Tensor | None = None) -> Tensor:
    """``[count, C]`` mean of the rows of ``values [N, C]`` in each group, weighted; 0 where nothing weighs anything."""
    share = torch.ones_like(values[:, :1]) if weights is None else weights
    # The order of a float scatter is not defined on a GPU; a running sum over sorted rows is the same every time.
    order = torch.argsort(group, stable=True)
    rows = torch.cat((values * share, share), dim=1).index_select(0, order).to(_wide(values))
    ends = torch.searchsorted(group.index_select(0, order), torch.arange(count, device=group.device), right=True)
    running = torch.cat((torch.zeros_like(rows[:1]), rows.cumsum(0)))
    total = running.index_select(0, ends)
    total[1:] = total[1:] - total[:-1].clone()
    mean = total[:, :-1] / torch.where(total[:, -1:] > 0, total[:, -1:], 1.0)
    return mean.to(values.dtype)


def _wide(values: Tensor) -> torch.dtype:
    """float64 where the device has it: running sums lose digits."""
    return torch.float64 if device_policy(values.device).float64 else torch.float32


def _graph(
    points: Tensor, normals: Tensor, start: Tensor, end: Tensor, voxels: Tensor, cell_size: float
) -> SurfaceGraph:
    """From directed edges, in any number and order; each is taken both ways."""
    count = len(points)
    edges = torch.unique(torch.cat((start * count + end, end * count + start)))
    start = torch.div(edges, max(count, 1), rounding_mode="floor")
    end = edges - start * count
    first = torch.searchsorted(start, torch.arange(count, device=start.device))
    rank = torch.arange(len(start), device=start.device) - first.index_select(0, start)
    width = int(rank.max()) + 1 if len(rank) else 1
    neighbors = torch.full((count * width,), -1, dtype=torch.int64, device=points.device)
    neighbors[start * width + rank] = end
    neighbors = neighbors.view(count, width)
    apart = (points[neighbors.clamp(min=0)] - points[:, None]).norm(dim=2) / cell_size
    weights = torch.where(neighbors >= 0, 1 / (apart * apart + _SPREAD * _SPREAD), 0.0)
    return SurfaceGraph(points, normals, neighbors, weights, voxels, cell_size)
