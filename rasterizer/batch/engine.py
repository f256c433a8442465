"""What an engine is: something with workers that take jobs and say what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .jobs import Job


@dataclass(frozen=True)
class Event:
    """What a worker says, or what the engine says of it.

    Attributes:
        what: ``ready`` to take jobs; ``started``, ``done`` or ``failed``, of the job it was given; or ``died``.
        worker: its name.
        values: of ``ready`` the ``device``; of a job what :func:`~rasterizer.batch.work.do_job` returned; of ``died``
            the ``reason``.
    """

    what: str
    worker: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """Workers on one machine or on many. None of them is started again by the engine itself: that loses blames."""

    @property
    def places(self) -> tuple[str, ...]:
        """Names for the places that have a worker each, such as ``cuda:0``, numbered where a device has several.

        They may become more or fewer, as machines come and go; the worker of one that has gone dies.
        """

    def start(self, place: str) -> str:
        """Start a worker in a place, and return its name, which no other ever has. It says ``ready`` or dies.

        Raises:
            OSError: that cannot be done.
        """

    def give(self, worker: str, job: Job) -> None:
        """Give a job to a worker that is ready and has none. It says ``started`` before it begins."""

    def end(self, worker: str, kill: bool) -> None:
        """Let a worker that has no job go, or kill it with what it has started. It says ``died``."""

    def wait(self, seconds: float) -> list[Event]:
        """What has been said since, at least one thing unless the time is over."""

    def close(self) -> None:
        """Kill what is left."""
