"""Work shared between threads: on a CPU, operators on pieces that fit the cache, side by side.

PyTorch splits each operator between threads, and all of them wait for the slowest at its end; pieces that fit the cache
are too small for that. Its operators run without Python's lock, so Python's own threads can each take a piece. That
pays where an image is large and its pieces are alike; drawing triangles, of which many pieces are small, loses by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import torch

from ...device import DevicePolicy

MOST_THREADS = 4
"""More would wait for Python's lock, which every operator takes for a moment."""


_PIXELS = 1 << 20  # that a thread must have for its own; fewer are done before it has started


def threads_for(policy: DevicePolicy, pixels: int) -> int:
    """How many threads to share an image between: on a CPU as many as PyTorch may use, and the image is worth."""
    return max(1, min(torch.get_num_threads(), MOST_THREADS, pixels // _PIXELS)) if policy.by_column else 1


def share(tasks: Iterator[Callable[[], object]], threads: int, tick: Callable[[], None] = lambda: None) -> None:
    """Run every task, on this thread and ``threads - 1`` more; the first exception stops all and is raised.

    Args:
        tasks: run in any order and at the same time; taken one by one, each when a thread is free.
        threads: how many, this one among them.
        tick: called on this thread before each of its tasks; may raise to stop.
    """
    if threads == 1:
        for task in tasks:
            tick()
            task()
        return
    lock, errors = threading.Lock(), []
    modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def take() -> Callable[[], object] | None:
        with lock:
            return None if errors else next(tasks, None)

    def work() -> None:
        try:
            with torch.inference_mode(modes[0]), torch.set_grad_enabled(modes[1]):  # both belong to a thread
                while task := take():
                    task()
        except BaseException as error:  # raised on the caller's thread
            errors.append(error)

    others: list[threading.Thread] = []
    try:
        for _ in range(threads - 1):
            thread = threading.Thread(target=work, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system allows no more; those there are take all tasks
                break
            others.append(thread)
        while task := take():
            tick()
            task()
    except BaseException as error:
        errors.append(error)
        raise
    finally:
        for thread in others:
            thread.join()
    if errors:
        raise errors[0]
