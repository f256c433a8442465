"""Work shared between threads: on a CPU, operators on pieces that fit the cache, side by side.

PyTorch splits each operator between threads, and all of them wait for the slowest at its end; pieces that fit the cache
are too small for that. What is worse, they wait by spinning: where other programs keep the cores busy, the thread that
is waited for may not run for milliseconds, at every operator. PyTorch's operators run without Python's lock, so
Python's own threads, which sleep when they wait, can each take a piece instead. Sharing pieces pays where an image is
large and its pieces are alike; drawing triangles, of which many pieces are small, loses by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import torch

from .policy import DevicePolicy, device_policy

P = ParamSpec("P")
R = TypeVar("R")

MOST_THREADS = 4
"""More would wait for Python's lock, which every operator takes for a moment."""

_PIXELS = 1 << 20  # that a thread must have for its own; fewer are done before it has started
_SLICE = 1 << 20  # pixels at once: of smaller pieces, more time goes into passing Python's lock on than is won

_own = threading.local()  # ``threads``: how many PyTorch may use, on a thread where it uses one now


@contextmanager
def _one_thread(threads: int) -> Iterator[None]:
    """Have PyTorch split no operator on this thread, and remember that ``threads`` may share the work."""
    before, known = torch.get_num_threads(), getattr(_own, "threads", None)
    _own.threads = threads
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        _own.threads = known
        if before != 1:
            torch.set_num_threads(before)


@contextmanager
def split_threads(parts: int) -> Iterator[Callable[[], None]]:
    """Share out the threads that the caller may use: each of ``parts`` threads is to call what is given, first of all.

    The caller has all of them again afterwards, when those threads have ended.
    """
    own, threads = getattr(_own, "threads", None), torch.get_num_threads()

    def take() -> None:
        if own is not None:
            _own.threads = max(1, own // parts)
        torch.set_num_threads(threads if own is not None else max(1, threads // parts))

    try:
        yield take
    finally:
        if parts:
            _own.threads = own
            torch.set_num_threads(threads)


def on_own_threads(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: while the function runs, PyTorch splits no operator between threads; :func:`share` shares pieces.

    Where an argument wants a gradient everything stays on the caller's thread: pieces are written into one tensor,
    whose history no two threads may write at a time.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if getattr(_own, "threads", None) is not None:
            return function(*args, **kwargs)
        alone = torch.is_grad_enabled() and any(map(_wants_gradient, (*args, *kwargs.values())))
        with _one_thread(1 if alone else torch.get_num_threads()):
            return function(*args, **kwargs)

    return run


def _wants_gradient(value: object) -> bool:
    """Whether an argument is a tensor that wants a gradient, or a mesh or raster with one."""
    if isinstance(value, torch.Tensor):
        return value.requires_grad
    return is_dataclass(value) and any(map(_wants_gradient, vars(value).values()))


def threads_for(policy: DevicePolicy, pixels: int) -> int:
    """How many threads to share an image between: on a CPU as many as PyTorch may use, and the image is worth."""
    threads = getattr(_own, "threads", None) or torch.get_num_threads()
    return max(1, min(threads, MOST_THREADS, pixels // _PIXELS)) if policy.own_threads else 1


def share(tasks: Iterator[Callable[[], object]], threads: int, tick: Callable[[], None] = lambda: None) -> None:
    """Run every task, on this thread and ``threads - 1`` more; the first exception stops all and is raised.

    Args:
        tasks: run in any order and at the same time; taken one by one, each when a thread is free.
        threads: how many, this one among them.
        tick: called on this thread before each of its tasks; may raise to stop.
    """
    if threads == 1:
        for each in tasks:
            tick()
            each()
        return
    lock = threading.Lock()
    errors: list[BaseException] = []
    modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def take() -> Callable[[], object] | None:
        with lock:
            return None if errors else next(tasks, None)

    def work() -> None:
        try:
            # All of these belong to a thread.
            with _one_thread(1), torch.inference_mode(modes[0]), torch.set_grad_enabled(modes[1]):
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
        with _one_thread(1):
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


def share_rows(
    work: Callable[[slice], object],
    rows: int,
    device: torch.device,
    *,
    weight: int = 1,
    chunk: int = 0,
    report: Callable[[float], None] = lambda share: None,
) -> None:
    """``work(slice)`` for all of ``rows``, slice by slice; on a CPU side by side.

    Args:
        work: for one slice; slices are done in any order and at the same time.
        rows: how many there are.
        device: where they are.
        weight: what a row stands for, in pixels.
        chunk: rows of a slice; 0 is as many as stay in a CPU's cache, and elsewhere all.
        report: called on this thread with the share done, 0..1; an exception it raises stops the work.
    """
    policy = device_policy(device)
    chunk = chunk or (max(1, _SLICE // weight) if policy.own_threads else max(rows, 1))
    done: list[int] = []

    def task(start: int) -> None:
        work(slice(start, min(start + chunk, rows)))
        done.append(start)

    share(
        (partial(task, start) for start in range(0, rows, chunk)),
        threads_for(policy, rows * weight),
        lambda: report(min(1.0, len(done) * chunk / rows)),
    )
