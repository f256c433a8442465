"""What a node says of itself under its frame: what it found, and what it is at and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

_FIRST = 1.0
"""Seconds before which nothing is said of the time: there would be no time to read it."""

_EVERY = 0.5
"""Seconds between two texts at least: each is a message to the browser."""

_LONG = 2.0
"""Seconds from which on it is said, at the end, how long it took."""

_FORESEEN = 0.1
"""Share of the work from which on the rest is estimated."""


class Board:
    """The text of the node that runs, of which there is one at a time: what it says, then a line about the time."""

    def __init__(self, send: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """``send`` takes a text and the node's id."""
        self._send, self._clock = send, clock
        self._timed: set[str] = set()
        self._clear(None)

    def say(self, run: Hashable, node: str, text: str) -> None:
        """Show what a node has to say, in the place of what it said before in the same run."""
        self._enter(run)
        self._said = text
        self._show(node)

    def start(self, run: Hashable) -> None:
        """A node begins work that takes time; that it began before in the same run counts."""
        self._enter(run)
        self._began = self._clock() if self._began is None else self._began

    def progress(self, node: str, stage: str, share: float) -> None:
        """Tell how far the work is and what it is at, if it is time to."""
        now, passed = self._clock(), self._passed()
        if passed < _FIRST or now - self._told < _EVERY:
            return
        self._told = now
        parts = [stage[:1].upper() + stage[1:]] if stage else []
        parts += [f"{100 * share:.0f} %"] if share > 0 else []
        parts += [duration(passed)]
        left = passed / share - passed if share >= _FORESEEN else 0.0
        parts += [f"about {duration(left)} left"] if left >= 1 else []
        self._line = ", ".join(parts)
        self._show(node)

    def end(self, node: str, how: str) -> None:
        """The work has ended; ``how`` is "Took" or "Stopped after"."""
        passed = self._passed()
        if not (passed >= _LONG or self._line or node in self._timed):
            return
        self._line = f"{how} {duration(passed)}."
        self._show(node)
        # The text stays on the node. If its next run is short, that has to be said, too, but once.
        if passed >= _FIRST:
            self._timed.add(node)
        else:
            self._timed.discard(node)

    def _enter(self, run: Hashable) -> None:
        if run != self._run:
            self._clear(run)

    def _clear(self, run: Hashable) -> None:
        self._run, self._said, self._line = run, "", ""
        self._began: float | None = None
        self._told = -_EVERY

    def _passed(self) -> float:
        return 0.0 if self._began is None else self._clock() - self._began

    def _show(self, node: str) -> None:
        self._send("\n".join(filter(None, (self._said, self._line))), node)


def duration(seconds: float) -> str:
    """A time for people: "less than 1 s", "12 s", "2 min 5 s"."""
    if seconds < 1:
        return "less than 1 s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"
