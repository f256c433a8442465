"""Relaxation of a graph: free nodes move towards the mean of their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from ..runtime.threads import share_rows

_STEPS = 24
_SMOOTHEST = 0.02  # least eigenvalue that relaxation sees to; whatever is smoother than this is left to coarser levels


def relax(values: Tensor, neighbors: Tensor, weights: Tensor, free: Tensor) -> Tensor:
    """Values nearer to the solution in which free nodes are the weighted mean of their neighbours; others stay.

    Args:
        values: ``[N, C]`` float32.
        neighbors: ``[N, K]`` int64, -1 for none.
        weights: ``[N, K]`` float32, which add up to 1 for a free node with neighbours; zeros for others and for none.
        free: ``[N]`` float32, 0 or 1.

    The method is Chebyshev's iteration, whose steps need no sum over all nodes: algorithm 12.1 of Saad, Iterative
    Methods for Sparse Linear Systems, 2nd edition, preconditioned by the diagonal.
    """
    neighbors, weights, free = neighbors.clamp(min=0), weights[..., None], free[:, None]
    step = torch.zeros_like(values)
    for keep, add in factors():
        step = keep * step + add * _pull(values, neighbors, weights, free)
        values = values + step
    return values


def factors() -> list[tuple[float, float]]:
    """Of each step: how much of the step before it keeps, and how far it follows the pull of the neighbours."""
    middle, half = (2 + _SMOOTHEST) / 2, (2 - _SMOOTHEST) / 2
    ratio, found = half / middle, [(0.0, 1 / middle)]
    for _ in range(_STEPS - 1):
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
