"""Which job is where, and who is to blame."""

from __future__ import annotations

from rasterizer.batch.jobs import Job
from rasterizer.batch.state import State


def job(name: str, size: int = 0) -> Job:
    return Job(name, "render", "torus", key=f"key of {name}", bytes=size)


def test_large_meshes_go_first() -> None:
    state = State([job("small", 1), job("large", 9), job("medium", 5)])
    given = [state.next(f"w{number}") for number in range(4)]
    assert [each.id if each else None for each in given] == ["large", "medium", "small", None]
    assert state.left == state.running == 3


def test_who_meets_somebody_goes_another_way() -> None:
    state = State([job(str(number), number) for number in range(100)])
    before = [state.next(f"w{number}").id for number in range(10)]
    assert before == [str(number) for number in range(99, 89, -1)]
    state.met()
    after = [state.next(f"v{number}").id for number in range(90)]
    assert sorted(map(int, after)) == list(range(90)) and after != [str(number) for number in reversed(range(90))]


def test_jobs_are_over_once() -> None:
    state = State([job("a"), job("b")])
    for number, done in enumerate((True, False)):
        state.next("w")
        state.started("w")
        assert state.finished("w", done).id == "ab"[number]
    assert (state.done, state.failed, state.left) == (1, 1, 0)


def test_only_a_job_that_was_begun_is_blamed() -> None:
    state = State([job("a"), job("b")])
    for worker in ("w1", "w2", "w3"):  # it was given, and is as innocent the third time
        assert state.next(worker).id == "a"
        assert state.died(worker) == (job("a"), False, False)
    assert state.next("w4").id == "a"
    state.started("w4")
    assert state.died("w4") == (job("a"), True, False)
    assert state.next("w5").id == "b", "the second try goes last"
    assert state.next("w6").id == "a"
    state.started("w6")
    assert state.died("w6") == (job("a"), True, True)
    assert (state.failed, state.left, state.running) == (1, 1, 1)
    assert state.died("idle") == (None, False, False)


def test_blames_of_earlier_runs_count() -> None:
    state = State([job("a")], {"key of a": 1})
    state.next("w")
    state.started("w")
    assert state.died("w") == (job("a"), True, True)
