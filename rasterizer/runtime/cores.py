"""How many cores this process may use: those of the machine, less what containers and clusters keep from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may run on, at least 1, and no more than its control groups give it time for.

    Linux states such limits in files of cgroup v2 (``cpu.max``) and v1 (``cpu.cfs_quota_us``), for a group and all
    above it; see the kernel's documentation of its CPU controllers. ``root`` is where the file system begins.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(share) for share in _shares(root))]))


def _shares(root: Path) -> Iterator[float]:
    """What each control group above this process may use, in cores."""
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = base / path.lstrip("/")
        for place in (group, *group.parents):
            if place.is_relative_to(base):
                with suppress(OSError, ValueError):
                    quota, period = _limit(place, bool(controllers))
                    if quota > 0 and period > 0:
                        yield quota / period


def _limit(group: Path, old: bool) -> tuple[float, float]:
    """Microseconds in each so many.

    Raises:
        OSError, ValueError: there is no limit.
    """
    if old:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quota, period = ((group / name).read_text() for name in names)
    else:
        quota, period = (group / "cpu.max").read_text().split()
    return float(quota), float(period)
