"""How far a batch is: a line for people, or lines of JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, TextIO

from .jobs import Job
from .state import State

KINDS = ("line", "json")

_OFTEN = 0.5  # seconds between two states of a line that is written over
_SELDOM = 15.0  # and of lines below each other


class Progress:
    """Shows the state of a run, and every job that fails."""

    def __init__(self, kind: str, stream: TextIO | None = None) -> None:
        """``kind`` is one of :data:`KINDS`: ``line`` goes to standard error, ``json`` to standard output."""
        self._json = kind == "json"
        self._stream = stream or (sys.stdout if self._json else sys.stderr)
        self._over = not self._json and self._stream.isatty()
        self._every = _OFTEN if self._over or self._json else _SELDOM
        self._start = self._shown = time.monotonic()
        self._done: Counter[str] = Counter()
        self._last: tuple[int, ...] = ()
        self._width = 0

    def begin(self) -> None:
        """Count time from now on."""
        self._start = self._shown = time.monotonic()

    def job(self, what: str, job: Job, place: str, values: Mapping[str, Any]) -> None:
        """A job is ``done`` or ``failed``."""
        self._done[place] += what == "done"
        if self._json:
            said = {key: value for key, value in values.items() if key in ("error", "seconds", "by_other")}
            self._write(json.dumps({"event": what, "id": job.id, "place": place, **said}))
        elif what == "failed":
            self._write(f"{job.id}: failed: {values.get('error', '')}")

    def show(self, state: State, stopping: bool, last: bool = False) -> None:
        """The state, unless it was shown a moment ago."""
        now, known = time.monotonic(), (state.done, state.failed, state.left)
        if not last and (now - self._shown < self._every or (self._json and known == self._last)):
            return
        self._shown, self._last = now, known
        seconds = now - self._start
        speed = (state.done + state.failed) / max(seconds, 1e-6)
        left = state.left / speed if speed else None
        if self._json:
            self._write(
                json.dumps(
                    {
                        "event": "progress",
                        "done": state.done,
                        "failed": state.failed,
                        "left": state.left,
                        "seconds": round(seconds, 1),
                        "meshes_per_second": round(speed, 3),
                        "eta_seconds": None if left is None else round(left, 1),
                        "done_by_place": dict(self._done),
                        "stopping": stopping,
                    }
                )
            )
            return
        text = f"{state.done} done, {state.failed} failed, {state.left} left, {speed:.2f} meshes/s"
        if state.left and left is not None:
            text += f", {_duration(left)} to go"
        if stopping and state.running:
            text += f" | stopping when what runs ({state.running}) is done; Ctrl-C again stops now"
        if self._done:
            text += f" | {', '.join(f'{place}: {count}' for place, count in sorted(self._done.items()))}"
        self._write(text, over=self._over and not last)

    def _write(self, text: str, over: bool = False) -> None:
        if self._over:
            if over:  # a line that wraps cannot be written over
                text = text[: max(1, shutil.get_terminal_size().columns - 1)]
            filled = text.ljust(self._width)
            self._width = len(text) if over else 0
            self._stream.write(f"\r{filled}" if over else f"\r{filled}\n")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole / 3600:.1f} h"
