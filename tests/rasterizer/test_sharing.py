"""Work shared between threads gives the same bits, in the caller's mode, and stops where it should."""

from __future__ import annotations

import threading

import pytest
import torch

import rasterizer
from rasterizer import scenes
from rasterizer.backends.eager import sharing
from rasterizer.backends.eager.sharing import share

POS, TRI = scenes.soup(400, 0.6, seed=11)


@pytest.fixture(autouse=True)
def share_small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the images here were worth it."""
    monkeypatch.setattr(sharing, "_PIXELS", 1000)


def _draw(threads: int) -> rasterizer.api.Fragments:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return rasterizer.rasterize(POS, TRI, (300, 400), backend="torch")
    finally:
        torch.set_num_threads(before)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    one = _draw(1)
    for threads in (2, 3, 7):
        many = _draw(threads)
        assert torch.equal(many.findices, one.findices) and torch.equal(many.barycentric, one.barycentric)


def test_under_inference_mode() -> None:
    one = _draw(1)
    with torch.inference_mode():
        many = _draw(3)
        image = rasterizer.interpolate(POS, *many, TRI)
    assert torch.equal(many.findices, one.findices) and torch.equal(many.barycentric, one.barycentric)
    assert torch.equal(image, rasterizer.interpolate(POS, *one, TRI))


def test_the_default_device_does_not_matter() -> None:
    one = _draw(1)
    with torch.device("meta"):
        many = _draw(2)
        image = rasterizer.interpolate(POS, *many, TRI)
    assert torch.equal(many.findices, one.findices) and torch.equal(many.barycentric, one.barycentric)
    assert torch.equal(image, rasterizer.interpolate(POS, *one, TRI))


def test_threads_take_every_task_once() -> None:
    done: list[int] = []
    share(iter([lambda number=number: done.append(number) for number in range(100)]), 3)
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_error_on_any_thread_stops_all_and_is_raised(elsewhere: bool) -> None:
    main, started = threading.current_thread(), threading.Event()
    done = []

    def task() -> None:
        if (threading.current_thread() is main) != elsewhere:
            raise RuntimeError("broken")
        started.wait(0.01)
        done.append(1)

    with pytest.raises(RuntimeError, match="broken"):
        share((task for _ in range(10_000)), 2)
    assert len(done) < 10_000 and threading.active_count() < 20


def test_progress_comes_on_the_caller_s_thread() -> None:
    threads = set()
    rasterizer.rasterize(
        POS, TRI, (300, 400), backend="torch", on_progress=lambda share: threads.add(threading.current_thread())
    )
    assert threads == {threading.current_thread()}


def test_threads_that_the_system_refuses_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) > 1:
            raise RuntimeError("can't start new thread")
        original(thread)

    original = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    done: list[int] = []
    share(iter([lambda number=number: done.append(number) for number in range(100)]), 4)
    assert sorted(done) == list(range(100)) and len(started) == 2
