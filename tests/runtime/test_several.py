"""Views shared out among devices: who takes which, in what modes, how far they are, and how they stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from rasterizer.runtime.progress import Report
from rasterizer.runtime.several import Share, copies, over_devices, shares_of

CPU = torch.device("cpu")


def _shares(count: int, views: int | None = None) -> list[Share]:
    return shares_of(views or count, [CPU] * count)


def _run(
    count: int,
    work: Callable[[int, Report], object],
    report: Report | None = None,
    *,
    waits: bool = True,
) -> list[object]:
    """What ``work`` returns for as many shares, of a view each."""
    found: list[object] = [None] * count

    def part(number: int, views: slice, report: Report) -> list[Tensor]:
        found[number] = work(number, report)
        return [torch.full((1,), number)]

    (numbers,) = over_devices(_shares(count), part, report, waits=waits, together=1)
    assert numbers.tolist() == list(range(count))
    return found


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


@pytest.mark.parametrize("waits", [True, False])
def test_results_come_together_in_order_with_their_gradients(waits: bool) -> None:
    given = torch.rand(7, 2, requires_grad=True)

    def double(number: int, views: slice, report: Report) -> tuple[Tensor, Tensor]:
        return 2 * given[views], given[views].detach().to(torch.int32)

    for wanted in (True, False):
        with torch.set_grad_enabled(wanted):
            doubled, whole = over_devices(_shares(3, 7), double, None, waits=waits, together=2)
        assert torch.equal(doubled, 2 * given) and whole.dtype == torch.int32 and len(whole) == 7
        assert doubled.requires_grad == wanted
    with torch.inference_mode():
        assert torch.equal(over_devices(_shares(3, 7), double, None, waits=waits, together=2)[0], 2 * given)
    over_devices(_shares(3, 7), double, None, waits=waits, together=2)[0].sum().backward()
    assert torch.equal(given.grad, torch.full((7, 2), 2.0))


def test_shares_that_wait_run_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)
    _run(3, lambda number, report: together.wait())


def test_what_only_launches_is_launched_from_here_in_turn() -> None:
    seen, told = [], []

    def work(number: int, views: slice, report: Report) -> list[Tensor]:
        assert threading.current_thread() is threading.main_thread()
        seen.append((number, views.start, views.stop))
        report(0.5)
        return [torch.arange(views.start, views.stop)]

    (numbers,) = over_devices(_shares(2, 7), work, told.append, waits=False, together=2)
    assert seen == [(1, 4, 6), (0, 0, 2), (1, 6, 7), (0, 2, 4)]
    assert numbers.tolist() == list(range(7)) and told == [0.125, 0.375, 0.625, 0.875]


def test_shares_run_in_the_caller_s_modes() -> None:
    def modes(number: int, report: Report) -> tuple[bool, bool]:
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with torch.no_grad():
        assert _run(2, modes) == [(False, False)] * 2
    with torch.inference_mode():
        assert _run(2, modes) == [(False, True)] * 2


def test_shares_of_a_cpu_have_their_part_of_the_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert _run(2, lambda number, report: torch.get_num_threads()) == [2, 2]
        assert torch.get_num_threads() == 4
        assert _run(5, lambda number, report: torch.get_num_threads()) == [1] * 5
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

    _run(2, work, tell)
    assert told[0] == 0.5 and told == sorted(told) and told[-1] >= 0.75


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("failing", [0, 1])
def test_the_first_error_stops_the_others_and_is_raised(failing: int, waits: bool) -> None:
    steps = []

    def work(number: int, report: Report) -> None:
        if number == failing:
            raise RuntimeError("broken")
        for _ in range(2000 if waits else 1):
            report(0.0)
            steps.append(number)
            time.sleep(0.01)

    with pytest.raises(RuntimeError, match="broken"):
        _run(2, work, waits=waits)
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
        _run(2, work, stop)
    assert time.monotonic() - start < 10


def test_shares_for_which_there_is_no_thread_are_done_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert _run(3, lambda number, report: number) == [0, 1, 2]
