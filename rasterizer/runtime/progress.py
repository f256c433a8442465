"""Progress of a task as a share, 0..1, handed on to its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def shares(report: Callable[[float], None], parts: int) -> Iterator[Callable[[float], None]]:
    """One progress callback for each of ``parts`` equal parts of a task whose progress ``report`` takes."""
    for part in range(parts):
        yield lambda share, part=part: report((part + share) / parts)
