"""Progress of parts as that of the whole, and the names of what the whole is at."""

from __future__ import annotations

import pytest

from rasterizer.runtime.progress import counted, current_stage, shares, staged, stages


def test_parts_and_their_names() -> None:
    told: list[tuple[float, str]] = []

    def report(share: float) -> None:
        told.append((share, current_stage()))

    first, second = stages(report, "drawing", "blending")
    first(0.5)
    left, right = shares(counted("view", 2, second), 2)
    left(0.5)
    right(1.0)
    staged("last", report)(1.0)
    assert told == [
        (0.25, "drawing"),
        (0.625, "blending, view 1 of 2"),
        (1.0, "blending, view 2 of 2"),
        (1.0, "last"),
    ]
    assert current_stage() == ""


def test_every_thing_is_counted_once_it_is_at_work() -> None:
    told: list[str] = []
    report = counted("view", 3, lambda share: told.append(current_stage()))
    for done in range(4):
        report(done / 3)
    assert told == ["view 1 of 3", "view 2 of 3", "view 3 of 3", "view 3 of 3"]
    counted("view", 1, lambda share: told.append(current_stage()))(0.0)
    assert told[-1] == ""


def test_a_stop_leaves_no_name() -> None:
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        staged("drawing", stop)(0.0)
    assert current_stage() == ""
