"""Relaxation of a graph: free nodes move towards the mean of their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from ..runtime.threads import share_rows

FINEST = 24, 0.02
"""How many steps, and the least eigenvalue that they see to, at the finest level, which begins near the solution."""

COARSER = 64, 0.002
"""The same at coarser levels, whose nodes are few."""


def relax(values: Tensor, neighbors: Tensor, weights: Tensor, free: Tensor, effort: tuple[int, float]) -> Tensor:
    """Values nearer to the solution in which free nodes are the weighted mean of their neighbours; others stay.

    Args:
        values: ``[N, C]`` float32.
        neighbors: ``[N, K]`` int64, -1 for none.
        weights: ``[N, K]`` float32, which add up to 1 for a free node with neighbours; zeros for others and for none.
        free: ``[N]`` float32, 0 or 1.
        effort: as :data:`FINEST`; what is smoother is left to coarser levels.

    The method is Chebyshev's iteration, whose steps need no sum over all nodes: algorithm 12.1 of Saad, Iterative
    Methods for Sparse Linear Systems, 2nd edition, preconditioned by the diagonal.
    """
    neighbors, weights, free = neighbors.clamp(min=0), weights[..., None], free[:, None]
    step = torch.zeros_like(values)
    for keep, add in factors(*effort):
        step = keep * step + add * _pull(values, neighbors, weights, free)
        values = values + step
    return values


def factors(steps: int, smoothest: float) -> list[tuple[float, float]]:
    """Of each step: how much of the step before it keeps, and how far it follows the pull of the neighbours."""
    middle, half = (2 + smoothest) / 2, (2 - smoothest) / 2
    ratio, found = half / middle, [(0.0, 1 / middle)]
    for _ in range(steps - 1):
        before, ratio = ratio, 1 / (2 * middle / half - ratio)
        found.append((ratio * before, 2 * ratio / half))
    return found


def _pull(values: Tensor, neighbors: Tensor, weights: Tensor, free: Tensor) -> Tensor:
    """``[N, C]``: how far free nodes are from the mean of their neighbours."""
    out = torch.empty_like(values)

    def rows(part: slice) -> None:
        some = neighbors[part]
        around = values.index_select(0, some.reshape(-1)).view(*some.shape, -1)
        out[part] = (around * weights[part]).sum(dim=1) - values[part] * free[part]

    share_rows(rows, len(values), values.device, weight=4 * neighbors.shape[1])
    return out
