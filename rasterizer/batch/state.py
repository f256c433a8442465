"""Which job is where: the state machine of a batch, the same for every engine, which knows nothing of processes."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping

from .jobs import Job
from .ledger import BLAMES


class State:
    """Jobs that wait, that workers have, and that are over, one way or the other.

    A job is blamed for a worker's death only if the worker had said that it starts it.
    """

    def __init__(self, jobs: Iterable[Job], blames: Mapping[str, int] | None = None) -> None:
        """Queue jobs, large meshes first: begun last, one would keep everybody waiting.

        Args:
            jobs: with ids of their own.
            blames: how many workers each key has taken down before.
        """
        self._waiting = deque(sorted(jobs, key=lambda job: -job.bytes))
        self._alone = True
        self._blames = Counter(blames or {})
        self._with: dict[str, Job] = {}
        self._begun: set[str] = set()
        self.done = self.failed = 0

    @property
    def left(self) -> int:
        """How many jobs are not over."""
        return len(self._waiting) + len(self._with)

    @property
    def running(self) -> int:
        """How many jobs workers have."""
        return len(self._with)

    def next(self, worker: str) -> Job | None:
        """A job for a worker that has none; None where none waits."""
        if not self._waiting:
            return None
        job = self._with[worker] = self._waiting.popleft()
        return job

    def started(self, worker: str) -> Job:
        """The worker begins its job."""
        self._begun.add(worker)
        return self._with[worker]

    def finished(self, worker: str, done: bool) -> Job:
        """The worker's job is over."""
        self._begun.discard(worker)
        self.done += done
        self.failed += not done
        return self._with.pop(worker)

    def met(self) -> None:
        """Somebody else does these jobs, too: have those that wait in an order of chance.

        Two that go the same way would meet at every job, and do it twice.
        """
        if self._alone:
            random.SystemRandom().shuffle(self._waiting)
        self._alone = False

    def died(self, worker: str) -> tuple[Job | None, bool, bool]:
        """The worker is no more.

        Returns:
            The job it had; whether that is to blame; and whether it is not tried again for it. Else it waits anew.
        """
        job = self._with.pop(worker, None)
        begun = worker in self._begun
        self._begun.discard(worker)
        if job is None:
            return None, False, False
        self._blames[job.key] += begun
        if begun and self._blames[job.key] >= BLAMES:
            self.failed += 1
            return job, True, True
        # A second try goes last, where it keeps no other job from being done if it takes the next worker down, too.
        (self._waiting.append if begun else self._waiting.appendleft)(job)
        return job, begun, False
