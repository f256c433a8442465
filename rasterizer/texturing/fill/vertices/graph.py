"""Who is next to whom: the directed edges of a mesh with their weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

SHORTEST = 1e-4
"""Edges shorter than this weigh as much as one of this length."""


@dataclass(frozen=True)
class VertexGraph:
    """Edges ``start -> end``, grouped by their start and within a group in the order of the faces.

    A vertex has one edge for every face corner it is at, to the next corner of that face. An edge between two faces of
    the same winding is therefore there in both directions, one on a boundary in one only, and one that three faces
    share more than once.

    Attributes:
        offsets: ``[V + 1]`` int64; the edges of vertex ``i`` are ``offsets[i]`` to ``offsets[i + 1]``.
        start, end: ``[E]`` int64 vertices.
        weight: ``[E]`` float32, ``(1 / max(length, 1e-4))**2``.
    """

    offsets: np.ndarray
    start: np.ndarray
    end: np.ndarray
    weight: np.ndarray

    @classmethod
    def of_faces(cls, positions: np.ndarray, faces: np.ndarray, starts: np.ndarray | None = None) -> VertexGraph:
        """The edges of ``faces [M, 3]`` over vertices at ``positions [V, 3]`` float32.

        Args:
            starts: ``[V]`` bool, the vertices whose edges are wanted; None for all.
        """
        start: np.ndarray = faces.ravel()
        end: np.ndarray = faces[:, [1, 2, 0]].ravel()
        if starts is not None:
            wanted = np.flatnonzero(starts[start])
            start, end = start[wanted], end[wanted]
        order, offsets = group(start, len(positions))
        start, end = start[order], end[order]
        # Rounded where the native module rounds: differences and weights in float32, lengths in float64.
        difference = (positions[start] - positions[end]).astype(np.float64)
        length = np.sqrt((difference * difference).sum(axis=1))
        inverse = (1.0 / np.maximum(length, SHORTEST)).astype(np.float32)
        return cls(offsets, start, end, inverse * inverse)

    def restricted(self, keep: np.ndarray) -> VertexGraph:
        """Only the edges that ``keep [E]`` marks."""
        start = self.start[keep]
        offsets = np.concatenate(([0], np.cumsum(np.bincount(start, minlength=len(self.offsets) - 1))))
        return VertexGraph(offsets, start, self.end[keep], self.weight[keep])

    def with_loops(self, vertices: np.ndarray, weight: float) -> VertexGraph:
        """An edge more from each of ``vertices`` to itself, ``weight`` times as heavy as its lightest."""
        if not len(vertices):
            return self
        lightest = np.array([self.weight[self.offsets[v] : self.offsets[v + 1]].min() for v in vertices])
        weights = np.concatenate((self.weight, lightest * np.float32(weight)))
        start = np.concatenate((self.start, vertices))
        order, offsets = group(start, len(self.offsets) - 1)
        end = np.concatenate((self.end, vertices))[order]
        return VertexGraph(offsets, start[order], end, weights[order])


def group(keys: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort items by key in ``0 .. count-1``, keeping the order of equal ones.

    Returns:
        ``[N]`` int64 items in the new order and ``[count + 1]`` int64, where the items of each key begin and end.
    """
    # PyTorch sorts int32 by radix, some twenty times faster than NumPy.
    order = torch.sort(torch.from_numpy(keys.astype(np.int32)), stable=True).indices.numpy()
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=count), out=offsets[1:])
    return order, offsets


def members(offsets: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``[N]`` places of all items of each of ``keys [K]``, one key after the other, and ``[K]`` how many each has."""
    first = offsets[keys]
    counts = offsets[keys + 1] - first
    shift = np.repeat(first - (np.cumsum(counts) - counts), counts)
    return shift + np.arange(len(shift)), counts
