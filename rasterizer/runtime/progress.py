"""Progress of a task as a share, 0..1, handed on to its parts, and what the task is at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar

Report = Callable[[float], None]

_stage: ContextVar[tuple[str, ...]] = ContextVar("stage", default=())


def shares(report: Report, parts: int) -> Iterator[Report]:
    """One progress callback for each of ``parts`` equal parts of a task whose progress ``report`` takes."""

    def within(part: int) -> Report:
        return lambda share: report((part + share) / parts)

    return map(within, range(parts))


def stages(report: Report, *names: str) -> Iterator[Report]:
    """The same for as many parts as there are names; ``report`` finds them in :func:`current_stage`."""
    return map(staged, names, shares(report, len(names)))


def staged(name: str, report: Report) -> Report:
    """``report``, which finds the name in :func:`current_stage`, before those of the parts of that part."""

    def named(share: float) -> None:
        token = _stage.set((name, *_stage.get()))
        try:
            report(share)
        finally:
            _stage.reset(token)

    return named


def counted(name: str, count: int, report: Report) -> Report:
    """``report`` for work on ``count`` equal things, which finds the one at work: "view 3 of 6"."""
    if count < 2:
        return report
    return lambda share: staged(f"{name} {min(int(share * count + 1e-6), count - 1) + 1} of {count}", report)(share)


def current_stage() -> str:
    """What the task is at, for a progress callback while it is called: "normals, view 3 of 6", or nothing."""
    return ", ".join(_stage.get())
