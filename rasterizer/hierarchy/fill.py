"""Filling unknown cells from known ones, along the surface."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..contract.checks import as_tensor, check_same_device
from ..runtime.threads import on_own_threads
from .grid import GridHierarchy, check_features
from .relaxation import COARSER, FINEST
from .surface_choice import relax
from .surface_graph import SurfaceGraph, group_mean

_COARSER = 4  # times, from a level to the next


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
    graph, node = surface or SurfaceGraph.of(hierarchy, ~known)
    has_node = node >= 0
    cells = has_node.nonzero().squeeze(1)
    own = features.index_select(0, cells).float()
    values, reached = fill_graph(own, known.index_select(0, cells), graph, report)
    kept = known & hierarchy.original
    full = torch.where(kept[:, None], features.float(), 0.0).index_copy(0, cells, values)
    has = kept.index_copy(0, cells, reached)
    full = torch.where(has[:, None], full, 0.0)
    around = hierarchy.neighbors[0]
    share = ((around >= 0) & has[around.clamp(min=0)]).float()
    mean = (full[around.clamp(min=0)] * share[..., None]).sum(dim=1) / share.sum(dim=1, keepdim=True).clamp(min=1)
    full = torch.where(hierarchy.original[:, None], full, mean)
    return full.to(features.dtype), torch.where(hierarchy.original, has, share.amax(dim=1) > 0)


def fill_graph(
    values: Tensor, known: Tensor, graph: SurfaceGraph, report: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """As :func:`fill_surface` for the nodes of a graph: ``[N, C]`` float32 and ``[N]`` bool, values and who has one."""
    weight = known.float()[:, None]
    parents: list[Tensor] = []
    graphs, levels = [graph], [(torch.where(known[:, None], values, 0.0), weight)]
    coarse = graph
    while bool((coarse.neighbors >= 0).any()):
        report(0.3 * (1 - len(coarse.points) / len(values)))
        coarse, parent = coarse.coarser(_COARSER if parents else 2)  # half as fine is near enough to start from
        if len(coarse.points) == len(graphs[-1].points):
            continue  # neighbours lie on two sides of a border between coarse cells, too; the nodes are numbered alike
        means = group_mean(torch.cat(levels[-1], dim=1), parent, len(coarse.points))
        share = means[:, -1:]
        levels.append((means[:, :-1] / torch.where(share > 0, share, 1.0), (share > 0).float()))
        graphs.append(coarse)
        parents.append(parent)

    values, reached = levels[-1]
    for number in reversed(range(len(parents))):
        report(0.3 + 0.7 * (1 - (number + 1) / len(graphs)))
        own, known_here = levels[number]
        reached = reached.index_select(0, parents[number])
        values = torch.where(known_here > 0, own, values.index_select(0, parents[number]))
        effort = COARSER if number else FINEST
        values = _relax(graphs[number], values, reached * (1 - known_here), effort)
    report(1.0)
    return values, reached[:, 0] > 0


def _relax(graph: SurfaceGraph, values: Tensor, free: Tensor, effort: tuple[int, float]) -> Tensor:
    """Nearer to the solution in which free nodes (``[N, 1]``, 0 or 1) are the weighted mean of their neighbours."""
    weights = graph.weights / graph.weights.sum(dim=1, keepdim=True).clamp(min=1e-12) * free
    return relax(values, graph.neighbors, weights, free[:, 0], effort)
