"""``forward``: colour spread ring by ring from what is painted; each vertex is given its colour once."""

from __future__ import annotations

import numpy as np
import torch

from .graph import VertexGraph, members


def fill_by_rings(
    colors: np.ndarray, painted: np.ndarray, positions: np.ndarray, faces: np.ndarray, corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours after the last ring; arguments and result as in :func:`.sweeps.fill_by_sweeps`.

    A ring is all vertices an edge leads to from the ring before; the first ring's are the painted ones. A vertex takes
    the weighted mean over these edges, summed in the order in which vertices were reached and edges stored.
    """
    graph = VertexGraph.of_faces(positions, faces)
    colors, done = colors.copy(), painted.copy()
    ring = np.flatnonzero(painted)
    while len(ring):
        edges, _ = members(graph.offsets, ring)
        edges = edges[~done[graph.end[edges]]]
        reached, first, slot = np.unique(graph.end[edges], return_index=True, return_inverse=True)
        weight = graph.weight[edges, None]
        terms = np.concatenate((weight * colors[graph.start[edges]], weight), axis=1)
        # On a CPU index_add_ adds row after row, so the sums are the native module's to the last bit.
        sums = torch.zeros(len(reached), terms.shape[1], dtype=torch.float32, device="cpu")
        sums.index_add_(0, torch.from_numpy(slot), torch.from_numpy(terms))
        colors[reached] = (sums[:, :-1] / sums[:, -1:]).numpy()
        done[reached] = True
        ring = reached[np.argsort(first)]
    return colors, done & ~painted
