"""Gives jobs to an engine's workers until none is left, and writes down what becomes of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..runtime.log import log
from .engine import Engine, Event
from .jobs import Job
from .ledger import Ledger
from .progress import Progress
from .state import State

_WAIT = 0.2
_START = 600.0  # seconds a worker may take until it is ready; the first one of a machine may compile GPU programs
_STARTS = 3  # in a row of workers that begin no job, and a place is given up


@dataclass
class _Place:
    worker: str = ""
    ready: bool = False
    since: float = 0.0  # when the worker was started, or has begun its job
    idle: bool = False
    begun: bool = False  # whether the worker has begun any job
    useless: int = 0  # workers in a row that have begun none


@dataclass
class Stop:
    """How often somebody has asked to stop: once is to finish what runs, twice is now."""

    count: int = 0

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Count Ctrl-C, and what ends processes politely, instead of what they do else."""

        def asked(number: int, frame: Any) -> None:
            self.count += 1

        before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class Driver:
    """One run over jobs.

    Attributes:
        engine: has the workers.
        state: has the jobs.
        ledger: is told what happens.
        progress: shows it.
        timeout: seconds that a job may take; None is any time.
        stop: when to stop.
    """

    engine: Engine
    state: State
    ledger: Ledger
    progress: Progress
    timeout: float | None = None
    stop: Stop = field(default_factory=Stop)
    _places: dict[str, _Place] = field(default_factory=dict)
    _given_up: set[str] = field(default_factory=set)
    _without: float = field(default_factory=time.monotonic)  # when there was a place last
    _why: str = ""

    def run(self) -> None:
        """Run until no job is left, or somebody has asked to stop.

        Raises:
            RuntimeError: no worker could be started; the text says what the last one has said.
        """
        self.progress.begin()
        while self.state.left and self.stop.count < 2 and not (self.stop.count and not self.state.running):
            self._look()
            self._start()
            self._give()
            for event in self.engine.wait(_WAIT):
                self._take(event)
            self._kill_late_ones()
            self.progress.show(self.state, self.stop.count > 0)
        self.progress.show(self.state, self.stop.count > 0, last=True)
        for place in self._places.values():
            self.engine.end(place.worker, kill=not place.idle)

    def _look(self) -> None:
        """Have the places that the engine has now."""
        there = self.engine.places
        for name in [name for name, place in self._places.items() if not place.worker and name not in there]:
            del self._places[name]
        for name in there:
            if name not in self._given_up:
                self._places.setdefault(name, _Place())
        if self._places:
            self._without = time.monotonic()
        elif self._given_up.intersection(there) or time.monotonic() - self._without > _START:
            raise RuntimeError(f"no worker could be started: {self._why or 'all machines have gone'}")

    def _start(self) -> None:
        """Have workers for the jobs that wait, each in a place of its own."""
        waiting = self.state.left - self.state.running
        ready = sum(bool(place.worker) and (place.idle or not place.ready) for place in self._places.values())
        for name, place in list(self._places.items()):
            if place.worker or self.stop.count or ready >= waiting:
                continue
            if place.useless < _STARTS:
                place.ready = place.idle = place.begun = False
                place.since = time.monotonic()
                try:
                    place.worker = self.engine.start(name)
                    ready += 1
                    continue
                except OSError as error:
                    self._why = str(error)
            log.warning("%s: no worker gets to work there, and it is not tried again: %s", name, self._why)
            self._given_up.add(name)
            del self._places[name]

    def _give(self) -> None:
        for place in self._places.values():
            if place.idle and not self.stop.count and (job := self.state.next(place.worker)) is not None:
                place.idle = False
                place.since = time.monotonic()
                self.engine.give(place.worker, job)

    def _take(self, event: Event) -> None:
        name = next((name for name, place in self._places.items() if place.worker == event.worker), None)
        if name is None:  # of a worker that is not counted on any more
            return
        place = self._places[name]
        if event.what == "ready":
            place.ready = place.idle = True
        elif event.what == "started":
            job = self.state.started(event.worker)
            place.since = time.monotonic()
            place.begun, place.useless = True, 0
            self._note("started", job, name)
        elif event.what in ("done", "failed"):
            job = self.state.finished(event.worker, event.what == "done")
            place.idle = True
            if event.values.get("by_other"):
                self.state.met()
            self._note(event.what, job, name, **{key: value for key, value in event.values.items() if key != "id"})
            self.progress.job(event.what, job, name, event.values)
        else:
            self._bury(name, str(event.values.get("reason", "")))

    def _bury(self, name: str, reason: str) -> None:
        place = self._places[name]
        job, blamed, given_up = self.state.died(place.worker)
        if job is not None and blamed:
            self._note("blamed", job, name, error=reason)
        if job is not None and given_up:
            error = f"it has taken down workers twice and is not tried again: {reason}"
            self._note("failed", job, name, error=error, quarantine=True)
            self.progress.job("failed", job, name, {"error": error})
        if not place.begun:
            place.useless += 1
            self._why = reason
        place.worker, place.idle = "", False

    def _kill_late_ones(self) -> None:
        now = time.monotonic()
        for name, place in self._places.items():
            took = now - place.since
            if place.worker and not place.ready and took > _START:
                self.engine.end(place.worker, kill=True)
                self._bury(name, f"it was not ready after {_START:.0f} s")
            elif self.timeout is not None and place.ready and not place.idle and place.worker and took > self.timeout:
                self.engine.end(place.worker, kill=True)
                job = self.state.finished(place.worker, done=False)
                error = f"it took longer than --timeout {self.timeout:g} s and was ended"
                self._note("failed", job, name, error=error)
                self.progress.job("failed", job, name, {"error": error})
                place.worker = ""

    def _note(self, what: str, job: Job, place: str, **values: Any) -> None:
        self.ledger.write(what, id=job.id, key=job.key, place=place, **values)
