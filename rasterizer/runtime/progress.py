"""Progress of a task as a share, 0..1, handed on to its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def shares(report: Callable[[float], None], parts: int) -> Iterator[Callable[[float], None]]:
    """One progress callback for each of ``parts`` equal parts of a task whose progress ``report`` takes."""

    def within(part: int) -> Callable[[float], None]:
        return lambda share: report((part + share) / parts)

    return map(within, range(parts))
