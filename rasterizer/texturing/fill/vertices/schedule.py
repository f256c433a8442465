"""A parallel timetable for sequential sweeps that gives what the sequential ones give.

Entries ``0 .. N-1`` are evaluated in order, sweep after sweep. An entry reads the latest values of some others: of
an earlier one its value of this sweep, of a later one its value of the sweep before. Evaluating entry ``e`` of sweep
``k`` in step ``level[e] + k * period`` is just as good if, for every entry ``r`` that reads an entry ``s``,

* ``s`` earlier than ``r``: ``level[r] - period <= level[s] < level[r]``,
* otherwise: ``level[r] <= level[s] < level[r] + period``,

where within one step everything is read before anything is written: ``r`` then finds the value it would have found,
after it is written and before it is overwritten. Levels grow with the distance along the mesh, but a sweep need not
wait for the one before it to end, only for it to be ``period`` steps ahead. Many sweeps then run at once, one behind
the other, and there are ``N / period`` entries to do in a step.

The method is level scheduling, as for sparse triangular systems (Saad, Iterative Methods for Sparse Linear Systems,
11.6), made periodic; the periods that allow a timetable are those no cycle of reads takes longer than.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_STEP_COST, _ENTRY_COST = 15.0, 1.0  # microseconds: the calls of a step; an entry in one pass over the levels
_STEP_ENTRIES = 3000  # entries in a step beyond which more hardly pay
_MIN_PERIOD = 8  # shorter ones are never possible on a real mesh
_PASSES = 8  # passes at one period before a longer one is tried
_CHUNK = 1 << 18  # reads that are Python numbers at a time


@dataclass(frozen=True)
class Schedule:
    """When entries are evaluated: ``e`` of sweep ``k`` in step ``level[e] + k * period``.

    Attributes:
        level: ``[N]`` int64, from 0.
        period: steps from one sweep to the next.
    """

    level: np.ndarray
    period: int

    def steps(self, order: np.ndarray, sweeps: int) -> Iterator[tuple[int, int]]:
        """For each step with something to do, from where to where in ``order`` its entries are.

        Args:
            order: ``[N]``, the entries sorted by ``level % period``, then by ``level``.
        """
        level = self.level[order]
        span = int(level.max()) + 1  # levels there are, so that (phase, level) packs into one ascending number
        delay = (sweeps - 1) * self.period
        packed = level % self.period * span + level
        step = np.arange(span + delay)
        base = step % self.period * span
        # In step t those of its phase whose first sweep has come (level <= t) and whose last one has not passed.
        begins = np.searchsorted(packed, base + np.maximum(step - delay, 0))
        ends = np.searchsorted(packed, base + np.minimum(step, span - 1), side="right")
        busy = ends > begins
        return zip(begins[busy].tolist(), ends[busy].tolist(), strict=True)


def schedule_sweeps(offsets: np.ndarray, sources: np.ndarray, sweeps: int) -> Schedule:
    """Levels and a period for which ``sweeps`` sweeps take few steps.

    Args:
        offsets: ``[N + 1]`` int64; the reads of entry ``e`` are ``offsets[e]`` to ``offsets[e + 1]``.
        sources: ``[R]`` int64, the entry that each read reads.
    """
    count = len(offsets) - 1
    level = _raise_levels(np.zeros(count, dtype=np.int64), offsets, sources)
    # The levels keep the order within a sweep, which is one of the two bounds on each pair of levels. The other bound
    # says how far, given the period, one entry of the pair may be ahead of the other.
    reader = np.repeat(np.arange(count), np.diff(offsets))
    backward = sources >= reader
    ahead, behind = np.where(backward, sources, reader), np.where(backward, reader, sources)
    lead = backward.astype(np.int64)
    longest = int((level[ahead] - level[behind] + lead).max(initial=1))  # allows the levels found
    period = max(count // _STEP_ENTRIES, _MIN_PERIOD)
    while (longest - period) * (sweeps - 1) * _STEP_COST > _PASSES * count * _ENTRY_COST:
        found = _fit_period(level, offsets, sources, ahead, behind, lead - period)
        if found is not None:
            return Schedule(found, period)
        period *= 2
    return Schedule(level, longest)


def _fit_period(
    level: np.ndarray, offsets: np.ndarray, sources: np.ndarray, ahead: np.ndarray, behind: np.ndarray, lead: np.ndarray
) -> np.ndarray | None:
    """The least levels, not below ``level``, with ``level[behind] >= level[ahead] + lead``; None if not found soon."""
    for _ in range(_PASSES):
        wanted = level[ahead] + lead
        late = np.flatnonzero(wanted > level[behind])
        if not len(late):
            return level
        level = level.copy()
        np.maximum.at(level, behind[late], wanted[late])
        level = _raise_levels(level, offsets, sources)
    return None


def _raise_levels(level: np.ndarray, offsets: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The least levels, not below ``level``, that keep the order within a sweep.

    A longest path in an order known beforehand: one pass over Python numbers, which for chains thousands of entries
    long beats array operations per link.
    """
    levels = level.tolist()
    begin = 0
    while begin < len(levels):
        end = int(np.searchsorted(offsets, offsets[begin] + _CHUNK, side="right")) - 1
        end = max(end, begin + 1)
        base = offsets[begin]
        bounds = (offsets[begin : end + 1] - base).tolist()
        chunk = sources[base : offsets[end]].tolist()
        for entry in range(begin, end):
            reads = chunk[bounds[entry - begin] : bounds[entry - begin + 1]]
            least = levels[entry]
            for source in reads:
                if source < entry and levels[source] >= least:
                    least = levels[source] + 1
            levels[entry] = least
            for source in reads:
                if source > entry and levels[source] < least:
                    levels[source] = least
        begin = end
    return np.array(levels, dtype=np.int64)
