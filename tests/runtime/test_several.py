"""Views shared out among devices: who takes which, in what modes, how far they are, and how they stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from rasterizer.runtime.progress import Report
from rasterizer.runtime.several import Share, copies, gathered, shares_of, side_by_side

CPU = torch.device("cpu")


def _shares(count: int) -> list[Share]:
    return shares_of(count, [CPU] * count)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No thread runs on, and PyTorch may use as many threads as before."""
    threads = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == threads
    assert not [thread for thread in threading.enumerate() if "_other" in thread.name]


@pytest.mark.parametrize(
    ("views", "devices", "sizes"), [(7, 3, [3, 2, 2]), (6, 2, [3, 3]), (2, 5, [1, 1]), (1, 2, [1]), (0, 2, [0])]
)
def test_views_are_shared_out_in_order_and_evenly(views: int, devices: int, sizes: list[int]) -> None:
    parts = [list(range(views))[share.views] for share in shares_of(views, [CPU] * devices)]
    assert [len(part) for part in parts] == sizes
    assert sum(parts, []) == list(range(views))


def test_each_device_gets_one_copy() -> None:
    made = []

    class Thing:
        def to(self, device: torch.device) -> object:
            made.append(device)
            return object()

    found = copies(Thing(), [Share(CPU, slice(0)), Share(torch.device("meta"), slice(0)), Share(CPU, slice(0))])
    assert found[0] is found[2] is not found[1] and len(made) == 2


def test_results_are_joined_in_order_with_their_gradients() -> None:
    parts = [torch.full((length, 2), float(length)) for length in (2, 1, 3)]
    assert torch.equal(gathered(parts, CPU), torch.cat(parts))
    parts[1].requires_grad_()
    gathered(parts, CPU).sum().backward()
    assert torch.equal(parts[1].grad, torch.ones(1, 2))


def test_shares_run_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)
    assert side_by_side(_shares(3), lambda number, report: (together.wait(), number)[1]) == [0, 1, 2]


def test_shares_run_in_the_caller_s_modes() -> None:
    def modes(number: int, report: Report) -> tuple[bool, bool]:
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with torch.no_grad():
        assert side_by_side(_shares(2), modes) == [(False, False)] * 2
    with torch.inference_mode():
        assert side_by_side(_shares(2), modes) == [(False, True)] * 2


def test_shares_of_a_cpu_have_their_part_of_the_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert side_by_side(_shares(2), lambda number, report: torch.get_num_threads()) == [2, 2]
        assert torch.get_num_threads() == 4
        assert side_by_side(_shares(5), lambda number, report: torch.get_num_threads()) == [1] * 5
    finally:
        torch.set_num_threads(before)


def test_progress_is_that_of_all_and_comes_on_the_caller_s_thread() -> None:
    told: list[float] = []
    half = threading.Event()

    def work(number: int, report: Report) -> None:
        if number == 0:
            half.wait(20)  # until the other has told
        report(0.5)
        if number == 1:
            half.set()
            time.sleep(0.15)  # while the caller has nothing else to do, and tells

    def tell(share: float) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append(share)

    side_by_side(_shares(2), work, tell)
    assert told[0] == 0.5 and told == sorted(told) and told[-1] >= 0.75


@pytest.mark.parametrize("failing", [0, 1])
def test_the_first_error_stops_the_others_and_is_raised(failing: int) -> None:
    steps = []

    def work(number: int, report: Report) -> None:
        if number == failing:
            raise RuntimeError("broken")
        for _ in range(2000):
            report(0.0)
            steps.append(number)
            time.sleep(0.01)

    with pytest.raises(RuntimeError, match="broken"):
        side_by_side(_shares(2), work)
    assert len(steps) < 1000


@pytest.mark.parametrize("busy", [0, 1])
def test_a_callback_stops_all_whoever_is_at_work(busy: int) -> None:
    calls = []

    def work(number: int, report: Report) -> None:
        for _ in range(2000 if number == busy else 0):
            report(0.0)
            time.sleep(0.01)

    def stop(share: float) -> None:
        calls.append(share)
        if len(calls) > 2:
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(_shares(2), work, stop)
    assert time.monotonic() - start < 10


def test_shares_for_which_there_is_no_thread_are_done_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert side_by_side(_shares(3), lambda number, report: number) == [0, 1, 2]
