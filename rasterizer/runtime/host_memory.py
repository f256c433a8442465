"""How much memory this process may still take from its machine."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath

_CGROUPS = "/sys/fs/cgroup"


def free_host_memory() -> int:
    """Bytes: what the machine has to give, and what the limits of the process and of its container leave of it."""
    return max(0, min([_of_machine(), *_of_process(), *_of_container()]))


def _of_machine() -> int:
    try:
        import psutil  # comes with ComfyUI; not a dependency of ours

        return int(psutil.virtual_memory().available)
    except ImportError:
        pass
    try:
        return _entry(_read("/proc/meminfo"), "MemAvailable:") * 1024
    except (OSError, ValueError):
        pass
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 2 << 30  # Windows without psutil: a modest assumption is enough, chunks are far smaller


def _of_process() -> list[int]:
    """What ``ulimit -v`` leaves, if there is such a limit; Windows has none."""
    if sys.platform != "win32":
        with suppress(ImportError, OSError, ValueError):  # macOS does not say what is in use
            import resource

            limit = resource.getrlimit(resource.RLIMIT_AS)[0]
            if limit != resource.RLIM_INFINITY:
                return [limit - int(_read("/proc/self/statm").split()[0]) * resource.getpagesize()]
    return []


def _of_container() -> Iterator[int]:
    """What each control group (version 2) around the process leaves; files that were only read can be given up."""
    for folder in _limited():
        try:
            used = int(_read(f"{folder}/memory.current")) - _entry(_read(f"{folder}/memory.stat"), "inactive_file")
            yield int(_read(f"{folder}/memory.max")) - used
        except (OSError, ValueError):  # the limit is gone
            continue


@functools.cache
def _limited() -> tuple[str, ...]:
    """Folders of the control groups that have a limit."""
    found = []
    try:
        own = next(line[3:] for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return ()
    for group in (PurePosixPath(own), *PurePosixPath(own).parents):
        folder = f"{_CGROUPS}{group}".rstrip("/")
        with suppress(OSError):  # the outermost group has no such file
            if _read(f"{folder}/memory.max").strip() != "max":
                found.append(folder)
    return tuple(found)


def _entry(text: str, name: str) -> int:
    """The number behind a name.

    Raises:
        ValueError: there is none.
    """
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [name]:
            return int(words[1])
    raise ValueError(f"no {name}")


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
