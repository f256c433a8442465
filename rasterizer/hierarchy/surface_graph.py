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
from .cells import pack, unpack
from .grid import GridHierarchy

_STEEPEST = 0.5  # largest sine between a step and the surface: sheets 0.82 cells apart are not joined, creases are
_OPPOSED = -0.5  # least cosine between the normals of joined cells: a crease of up to 120 degrees
_ROUNDS = 3  # in which nodes of a coarser cell find each other; each reaches at least twice as far
_SIDE = 2048  # more cells than a side has
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
    def of(cls, hierarchy: GridHierarchy, wanted: Tensor | None = None) -> tuple[SurfaceGraph, Tensor]:
        """The graph of level 0 without padded cells, and ``[N0]`` int64 the node of each cell (-1: it has none).

        Args:
            hierarchy: whose cells.
            wanted: ``[N0]`` bool, the cells that matter; the graph is of these and all that are joined with one of
                them, with no other edges than theirs. None is all.
        """
        wanted = hierarchy.original if wanted is None else wanted & hierarchy.original
        around = hierarchy.neighbors[0]
        real = around >= 0
        around = around.clamp(min=0)
        matters = wanted[:, None] | (wanted[around] & hierarchy.original[:, None])
        edges = (matters & hierarchy.original[around] & real).view(-1).nonzero().squeeze(1)
        start = torch.div(edges, around.shape[1], rounding_mode="floor")
        end = around.view(-1).index_select(0, edges)
        kept = joined(hierarchy, start, end).nonzero().squeeze(1)
        start, end = start.index_select(0, kept), end.index_select(0, kept)
        taken = wanted.index_fill(0, start, True).index_fill(0, end, True)
        seen = taken.nonzero().squeeze(1)
        node = torch.where(taken, taken.cumsum(0) - 1, -1)
        voxels = unpack(hierarchy.keys[0].index_select(0, seen), hierarchy.resolution)
        start, end = node.index_select(0, start), node.index_select(0, end)
        points, normals = hierarchy.positions.index_select(0, seen), hierarchy.normals.index_select(0, seen)
        count = len(seen)
        edges = torch.cat((start * count + end, end * count + start))
        return _graph(points, normals, edges, voxels, hierarchy.cell_size), node

    def coarser(self, factor: int) -> tuple[SurfaceGraph, Tensor]:
        """The graph of a resolution that is so many times less, and ``[N]`` int64 the coarser node of each node.

        A coarser node is a set of nodes that share a coarse cell and hang together within it.
        """
        voxels = torch.div(self.voxels, factor, rounding_mode="floor")
        count = len(voxels)
        real, linked = self.neighbors >= 0, self.neighbors.clamp(min=0)
        keys = pack(voxels, _SIDE)
        together = real & (keys[linked] == keys[:, None])
        label = torch.arange(count, device=voxels.device)
        near = torch.where(together, linked, label[:, None])
        # The least node of each set. A set that needs more rounds comes in parts, which later levels put together.
        for _ in range(_ROUNDS):
            label = torch.minimum(label, label[near].amin(dim=1))
            label = label[label]
        first = torch.zeros_like(label).index_fill_(0, label, 1)
        parent = (first.cumsum(0) - 1).index_select(0, label)
        roots = first.nonzero().squeeze(1)
        ends = parent[linked]
        apart = (real & (ends != parent[:, None])).view(-1).nonzero().squeeze(1)
        start = parent.index_select(0, torch.div(apart, linked.shape[1], rounding_mode="floor"))
        edges = start * len(roots) + ends.view(-1).index_select(0, apart)
        means = group_mean(torch.cat((self.points, self.normals), dim=1), parent, len(roots))
        normals = torch.nn.functional.normalize(means[:, 3:], dim=1)
        return _graph(means[:, :3], normals, edges, voxels[roots], factor * self.cell_size), parent


def joined(hierarchy: GridHierarchy, start: Tensor, end: Tensor) -> Tensor:
    """``[E]`` bool: whether the surface goes on from cells ``start`` to cells ``end [E]``, which differ from them."""
    step = hierarchy.positions.index_select(0, end) - hierarchy.positions.index_select(0, start)
    one, other = hierarchy.normals.index_select(0, start), hierarchy.normals.index_select(0, end)
    mean = torch.nn.functional.normalize(one + other, dim=1)
    along = (step * mean).sum(dim=1).abs() <= _STEEPEST * step.norm(dim=1)
    return along & ((one * other).sum(dim=1) >= _OPPOSED) & (start != end)


def group_mean(values: Tensor, group: Tensor, count: int) -> Tensor:
    """``[count, C]`` mean of the rows of ``values [N, C]`` in each group."""
    sums = group_sum(torch.cat((values, torch.ones_like(values[:, :1])), dim=1), group, count)
    return (sums[:, :-1] / sums[:, -1:].clamp(min=1)).to(values.dtype)


def group_sum(values: Tensor, group: Tensor, count: int) -> Tensor:
    """``[count, C]`` sum of the rows of ``values [N, C]`` in each group ``[N]`` int64, in float64 where it is there."""
    # The order of a float scatter is not defined on a GPU; a running sum over sorted rows is the same every time.
    order = torch.argsort(group, stable=True)
    ends = torch.searchsorted(group.index_select(0, order), torch.arange(count, device=group.device), right=True)
    starts = torch.cat((torch.zeros_like(ends[:1]), ends[:-1]))
    # A GPU sums along rows, not across them.
    running = torch.nn.functional.pad(values.t().index_select(1, order).to(_wide(values)).cumsum(1), (1, 0))
    return (running.index_select(1, ends) - running.index_select(1, starts)).t().contiguous()


def _wide(values: Tensor) -> torch.dtype:
    """float64 where the device has it: running sums lose digits."""
    return torch.float64 if device_policy(values.device).float64 else torch.float32


def _graph(points: Tensor, normals: Tensor, edges: Tensor, voxels: Tensor, cell_size: float) -> SurfaceGraph:
    """From directed edges ``start * N + end``, in any number and order; both ways of each are among them."""
    count = len(points)
    edges = torch.unique(edges)
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
