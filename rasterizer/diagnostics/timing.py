"""Time and memory of calls, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")

WARM_UP = 0.3
"""Seconds that a GPU and the host take to come to speed after a scene was made."""


def interleaved(
    device: torch.device, calls: Mapping[Key, Callable[[], object]], repeats: int, warm_up: float = WARM_UP
) -> dict[Key, list[float]]:
    """Milliseconds of wall time of each of ``repeats`` calls, synchronised, once the machine has come to speed.

    The calls take turns, so that a change of clock or load meets all alike. On a GPU each that is timed follows one of
    its own, as in a loop: not with a host whose caches hold what the one before needed.
    """
    times: dict[Key, list[float]] = {key: [] for key in calls}
    warm = time.perf_counter() + (warm_up if device.type != "cpu" else 0.0)
    while len(next(iter(times.values()))) < repeats:
        ready = time.perf_counter() >= warm
        for key, call in calls.items():
            if device.type != "cpu":
                call()
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            if ready:
                times[key].append((time.perf_counter() - start) * 1e3)
    return times


def busy(call: Callable[[], object], repeats: int) -> float:
    """Milliseconds of GPU work per call, by the profiler's account of every kernel, copy and fill.

    Having profiled once makes every later launch of the process dearer.
    """
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        for _ in range(repeats):
            call()
        torch.cuda.synchronize()
    events = record.profiler.kineto_results.events()
    return sum(event.duration_ns() for event in events if event.device_type() == DeviceType.CUDA) / repeats / 1e6


def with_peak(device: torch.device, call: Callable[[], T]) -> tuple[T, int]:
    """What a call gives, and the most CUDA memory that PyTorch had allocated meanwhile beyond what it had before."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    result = call()
    return result, torch.cuda.max_memory_allocated(device) - before


def foreign_memory(device: torch.device) -> int:
    """Bytes of CUDA memory in use that PyTorch's allocator does not hold: others' buffers, drivers, programs."""
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).synchronize(*(() if device.type == "mps" else (device,)))
