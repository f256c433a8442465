"""``smooth``: sweeps over the unpainted corners, each time replacing a colour by the mean of its neighbours'.

The native module goes through the list of unpainted corners again and again. The vertex of each takes the weighted mean
of the coloured vertices its edges lead to, at once, so that later corners see it; a corner that finds none is a miss::

    budget, last = 2, 0
    while budget > 0:
        missed = sweep()
        budget += -1 if missed == last else 1
        last = missed

The loop is a Gauss-Seidel iteration, stopped long before it converges: the order of the corners shows in the result.
The result is reproduced, not approximated. What corners miss does not depend on the colours, so when each vertex gets
its first one, and from that the number of sweeps, is found beforehand, and :mod:`.schedule` then finds corners that can
be evaluated at once without any of them noticing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush

import numpy as np
import torch
from torch import Tensor

from .graph import VertexGraph, group, members
from .schedule import schedule_sweeps

_NEVER = 1 << 62

# Weight of a vertex's own colour relative to its neighbours': lost in rounding as soon as one of them has a colour.
_KEEP = 1e-9

_PIECES = 4096  # steps whose views are kept

_TINY = torch.finfo(torch.float32).tiny  # makes 0 / 0 the 0 that it stands for


def fill_by_sweeps(
    colors: np.ndarray, painted: np.ndarray, positions: np.ndarray, faces: np.ndarray, corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours after all sweeps.

    Args:
        colors: ``[V, C]`` float32, 0 where not painted.
        painted: ``[V]`` bool.
        positions: ``[V, 3]`` float32.
        faces: ``[F, 3]`` int64.
        corners: ``[N]`` int64, the vertex of each unpainted corner in face order. A vertex is listed once for each such
            corner, even if it has a painted corner too.

    Returns:
        ``[V, C]`` float32 colours and ``[V]`` bool, which vertices' colours are means.
    """
    listed = np.zeros(len(painted), dtype=bool)
    listed[corners] = True
    graph = VertexGraph.of_faces(positions, faces, listed)
    arrival = _arrivals(graph, corners, painted)
    seen = np.full(len(painted), _NEVER)  # when the first of a vertex's neighbours has a colour
    if len(corners):
        seen[listed] = np.minimum.reduceat(arrival[graph.end], graph.offsets[:-1][listed])
    moving = seen < _NEVER
    if not moving.any():
        return colors.copy(), moving

    # A painted vertex keeps its colour until a neighbour has one.
    graph = graph.restricted(moving[graph.start] & (arrival[graph.end] < _NEVER))
    graph = graph.with_loops(np.flatnonzero(painted & moving & (seen >= 0)), _KEEP)
    entries = corners[moving[corners]]
    filled = colors.copy()
    filled[moving] = _sweep(_Reads.of_entries(graph, entries), entries, colors, painted, _count_sweeps(seen[corners]))
    return filled, moving


def _arrivals(graph: VertexGraph, corners: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """``[V]`` int64: when each vertex gets its first colour, as ``sweep * N + corner``.

    -1 is before the first sweep. A vertex gets a colour at its first corner after any of its neighbours has one, and
    the earlier the neighbour the earlier that is: taken in the order of time, the first neighbour met settles it.
    """
    count = len(corners)
    arrival = np.where(painted, -1, _NEVER)
    places, offsets = group(corners, len(painted))
    at_once = np.unique(graph.start[painted[graph.end] & ~painted[graph.start]])
    arrival[at_once] = places[offsets[at_once]]

    later = np.flatnonzero(arrival[graph.start] == _NEVER)
    by_end, reader_offsets = group(graph.end[later], len(painted))
    readers, reader_offsets = graph.start[later[by_end]].tolist(), reader_offsets.tolist()
    waiting, times = np.sort(arrival[at_once]).tolist(), arrival.tolist()
    vertices, places, offsets = corners.tolist(), places.tolist(), offsets.tolist()
    while waiting:
        sweep, place = divmod(heappop(waiting), count)
        vertex = vertices[place]
        for reader in readers[reader_offsets[vertex] : reader_offsets[vertex + 1]]:
            if times[reader] == _NEVER:
                begin, end = offsets[reader], offsets[reader + 1]
                after = bisect_right(places, place, begin, end)
                times[reader] = sweep * count + (places[after] if after < end else places[begin] + count)
                heappush(waiting, times[reader])
    return np.array(times)


def _count_sweeps(seen: np.ndarray) -> int:
    """How many sweeps there are; ``seen [N]`` says when each corner's vertex first has a coloured neighbour."""
    count = len(seen)
    once = np.flatnonzero(seen < _NEVER)
    sweep, place = np.divmod(seen[once], count)
    # Misses of a corner: one in each sweep before that one, and one in it if its turn comes first. (-1 makes none.)
    misses = np.bincount(sweep + (once <= place))
    missed = (count - np.cumsum(misses)).tolist()
    budget, last, sweeps = 2, 0, 0
    while budget > 0:
        now = missed[min(sweeps, len(missed) - 1)]
        budget += -1 if now == last else 1
        last = now
        sweeps += 1
    return sweeps


@dataclass(frozen=True)
class _Reads:
    """What each entry reads, in the order of the entries.

    Attributes:
        offsets: ``[N + 1]`` int64; the reads of entry ``e`` are ``offsets[e]`` to ``offsets[e + 1]``.
        source: ``[R]`` int64: the entry read, or ``N + v`` for a vertex ``v`` that does not change.
        weight: ``[R]`` float32.
        last: ``[K]`` int64, the last entry of each vertex that changes, by vertex.
    """

    offsets: np.ndarray
    source: np.ndarray
    weight: np.ndarray
    last: np.ndarray

    @classmethod
    def of_entries(cls, graph: VertexGraph, entries: np.ndarray) -> _Reads:
        count = len(entries)
        places, bounds = group(entries, len(graph.offsets) - 1)
        reads, degrees = members(graph.offsets, entries)
        end, reader = graph.end[reads], np.repeat(np.arange(count), degrees)
        source = end + count
        moves = np.flatnonzero(bounds[end + 1] > bounds[end])
        end, reader = end[moves], reader[moves]
        # The last of a vertex's entries before the reader; the last of all, from the sweep before, if there is none.
        keys = torch.from_numpy(entries[places] * count + places)
        latest = torch.searchsorted(keys, torch.from_numpy(end * count + reader)).numpy() - 1
        source[moves] = places[np.where(latest < bounds[end], bounds[end + 1] - 1, latest)]
        last = places[bounds[1:][bounds[1:] > bounds[:-1]] - 1]
        return cls(np.concatenate(([0], np.cumsum(degrees))), source, graph.weight[reads], last)


def _sweep(reads: _Reads, entries: np.ndarray, colors: np.ndarray, painted: np.ndarray, sweeps: int) -> np.ndarray:
    """``[K, C]`` float32 colours, by vertex, after that many sweeps over ``entries [N]``, the vertices to replace."""
    count, vertices = len(entries), len(painted)
    moves = reads.source < count
    schedule = schedule_sweeps(np.concatenate(([0], np.cumsum(moves)))[reads.offsets], reads.source[moves], sweeps)

    # Every entry has a value of its own, in the order of the schedule: a step then writes one contiguous piece.
    phase = schedule.level % schedule.period
    order = np.lexsort((schedule.level, phase))
    fixed = np.unique(reads.source[~moves]) - count
    slots = np.zeros(count + vertices, dtype=np.int32)
    slots[np.concatenate((order, fixed + count))] = np.arange(count + len(fixed))
    owners = np.concatenate((entries[order], fixed))
    values = torch.from_numpy(np.concatenate((colors, painted[:, None]), axis=1, dtype=np.float32)[owners])

    taken, degrees = members(reads.offsets, order)
    step = _Step(values, slots[reads.source[taken]], reads.weight[taken], np.concatenate(([0], np.cumsum(degrees))))
    with _one_thread():
        for begin, end in schedule.steps(order, sweeps):
            step(begin, end)
    return values[torch.from_numpy(slots[reads.last]), :-1].numpy()


class _Step:
    """Replaces a piece of ``values [S, C + 1]`` by weighted means of others.

    A value is a colour and 1, or all 0 while there is no colour: a weighted sum then leaves out the neighbours without
    a colour by itself, and its last column is the weight of the others, by which to divide.
    """

    def __init__(self, values: Tensor, index: np.ndarray, weight: np.ndarray, offsets: np.ndarray) -> None:
        self._values = values
        self._index, self._weight = torch.from_numpy(index), torch.from_numpy(weight)
        self._offsets, self._bounds = torch.from_numpy(offsets.astype(np.int32)), offsets.tolist()
        # While all sweeps run, the same few pieces come round again and again.
        self._piece = lru_cache(_PIECES)(self._make_piece)

    def __call__(self, begin: int, end: int) -> None:
        index, offsets, weight, out = self._piece(begin, end)
        total = torch.nn.functional.embedding_bag(
            index, self._values, offsets, mode="sum", per_sample_weights=weight, include_last_offset=True
        )
        torch.div(total, total[:, -1:].clamp(min=_TINY), out=out)

    def _make_piece(self, begin: int, end: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first, last = self._bounds[begin], self._bounds[end]
        offsets = self._offsets[begin : end + 1] - first
        return self._index[first:last], offsets, self._weight[first:last], self._values[begin:end]


@contextmanager
def _one_thread() -> Iterator[None]:
    """A step takes microseconds: waking other threads for it, or waiting for a busy one, takes longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
