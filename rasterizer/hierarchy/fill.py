"""Filling unknown cells from known ones, along the surface."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..contract.checks import as_tensor, check_same_device
from ..runtime.threads import on_own_threads, share_rows
from .grid import GridHierarchy, check_features
from .surface_graph import SurfaceGraph, group_mean

_STEPS = 32  # of relaxation a level: with half of a knot unknown, within 5 of 255 of the solution, 0.6 on average


@on_own_threads
def fill_surface(
    features: Tensor,
    known: Tensor,
    hierarchy: GridHierarchy,
    on_progress: Callable[[float], None] | None = None,
    surface: tuple[SurfaceGraph, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Spread the features of known cells over the surface to all others, as smoothly as heat would.

    The known cells keep their values; the others approach the solution of Laplace's equation on the surface, with the
    weights 1/d² between neighbouring cells: averaged to ever coarser graphs of the surface (pull), then from coarse to
    fine each unknown node takes the value of its coarser node (push) and is smoothed with its neighbours. Values travel
    along the surface only: two sheets close to each other in space do not mix.

    Args:
        features: ``[N, C]`` float32 features of the cells of level 0; only those of known cells are read.
        known: ``[N]`` bool.
        hierarchy: whose cells they are.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.
        surface: ``SurfaceGraph.of(hierarchy)``, where the caller has it already.

    Returns:
        ``[N, C]`` the features of all cells, and ``[N]`` bool which of them have one: a part of the surface without any
        known cell gets none (zeros), and padded cells take the mean of their neighbours.

    Raises:
        ValueError: shapes that do not fit the hierarchy.
    """
    if not hasattr(hierarchy, "neighbors"):
        raise ValueError(f"hierarchy: found {type(hierarchy).__name__}, expected a GridHierarchy")
    count = hierarchy.count()
    features, known = check_features(features, hierarchy), as_tensor(known, "known")
    if known.shape != (count,) or known.dtype != torch.bool:
        raise ValueError(f"known: found {list(known.shape)} {known.dtype}, expected bool [{count}]")
    check_same_device(known, "known", features.device, "the features are")
    report = on_progress or (lambda share: None)
    graph, node = surface or SurfaceGraph.of(hierarchy)
    cells = hierarchy.original.nonzero().squeeze(1)
    values = features.index_select(0, cells).float()
    weight = known.index_select(0, cells).float()[:, None]

    graphs, parents, levels = [graph], [], [(values * weight, weight)]
    for _ in range(hierarchy.resolution.bit_length()):  # after which one cell holds everything
        report(0.3 * (1 - len(graph.points) / len(cells)))
        if not bool((graph.neighbors >= 0).any()):
            break  # every part of the surface is one node
        graph, parent = graph.coarser()
        if len(graph.points) == len(graphs[-1].points):
            continue  # neighbours lie on two sides of a border between coarse cells, too; the nodes are numbered alike
        values, weight = levels[-1]
        mean = group_mean(values, parent, len(graph.points), weight)
        levels.append((mean, (group_mean(weight, parent, len(graph.points)) > 0).float()))
        graphs.append(graph)
        parents.append(parent)

    values, reached = levels[-1]
    for number in reversed(range(len(parents))):
        report(0.3 + 0.7 * (1 - (number + 1) / len(graphs)))
        own, known_here = levels[number]
        reached = reached[parents[number]]
        values = torch.where(known_here > 0, own, values[parents[number]])
        values = _relax(graphs[number], values, reached * (1 - known_here))
    report(1.0)

    inside = torch.where(node >= 0, node, 0)
    seen = (node >= 0)[:, None]
    full = torch.where(seen, values[inside], 0.0)
    has = torch.where(seen, reached[inside], 0.0)
    around = hierarchy.neighbors[0]
    share = torch.where(around >= 0, has[around.clamp(min=0), 0], 0.0)
    mean = (full[around.clamp(min=0)] * share[..., None]).sum(dim=1) / share.sum(dim=1, keepdim=True).clamp(min=1)
    full = torch.where(seen, full, mean)
    has = torch.where(seen[:, 0], has[:, 0], share.amax(dim=1)) > 0
    return full.to(features.dtype), has


def _relax(graph: SurfaceGraph, values: Tensor, free: Tensor) -> Tensor:
    """Conjugate gradients from ``values [N, C]`` towards the solution in which free nodes (``[N, 1]``, 0 or 1) are the
    weighted mean of their neighbours; the others stay. A fixed number of steps: asking whether it is done costs more.
    """
    index = graph.neighbors.clamp(min=0)
    weights = graph.weights[..., None]
    diagonal = graph.weights.sum(dim=1, keepdim=True).clamp(min=1e-12)

    def residual(x: Tensor) -> Tensor:
        """Sum over the neighbours of weight times difference, on free nodes."""
        out = torch.empty_like(x)

        def rows(part: slice) -> None:
            some = index[part]
            around = x.index_select(0, some.reshape(-1)).view(*some.shape, -1)
            out[part] = ((around * weights[part]).sum(dim=1) - diagonal[part] * x[part]) * free[part]

        share_rows(rows, len(x), x.device, weight=4 * index.shape[1])
        return out

    left = residual(values)
    step = left / diagonal
    energy = (left * step).sum(dim=0)
    for _ in range(_STEPS):
        moved = -residual(step)
        length = energy / (step * moved).sum(dim=0).clamp(min=1e-30)
        values = values + length * step
        left = left - length * moved
        scaled = left / diagonal
        before, energy = energy, (left * scaled).sum(dim=0)
        step = scaled + (energy / before.clamp(min=1e-30)) * step
    return values
