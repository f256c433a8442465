"""Names of temporary files, and what becomes of those whose process was killed.

A name says which process writes the file, so that another one can tell whether it still may: by the machine, the
process id, and the time the process started, since ids are used again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import sys
import time
import uuid
from contextlib import suppress
from itertools import islice
from pathlib import Path

_PREFIX = ".torch-raster-"
_NAME = re.compile(re.escape(_PREFIX) + r"([0-9a-f]{8})-([0-9]{1,10})-([0-9]{1,20})-[0-9a-f]{8}(\..{1,15})?")
_LOOKED_AT = 20_000  # names of a folder at most
_LONG_AGO = 24 * 3600.0  # seconds without a change, after which no process of another machine is still writing


def temporary_name(suffix: str = "") -> str:
    """A hidden name that no other file has, as long whatever the file will be called.

    The standard library's ``mkstemp`` would make the file unreadable for others.
    """
    suffix = suffix if len(os.fsencode(suffix)) <= 16 else ""
    pid = os.getpid()
    return f"{_PREFIX}{_machine()}-{pid}-{_started(pid)}-{uuid.uuid4().hex[:8]}{suffix}"


def remove_leftovers(folder: Path, folders: bool = False) -> None:
    """Remove temporary files of processes that are gone, and old ones of other machines; links are not followed.

    ``folders``: temporary folders instead, with all that is in them.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _LOOKED_AT):
            match = _NAME.fullmatch(entry.name) if entry.name.startswith(_PREFIX) else None
            if match is None:
                continue
            with suppress(OSError):
                is_one = entry.is_dir if folders else entry.is_file
                if is_one(follow_symlinks=False) and _is_left(entry, match[1], int(match[2]), int(match[3])):
                    (shutil.rmtree if folders else os.unlink)(entry.path)


def _is_left(entry: os.DirEntry[str], machine: str, pid: int, started: int) -> bool:
    gone = _is_gone(pid, started) if machine == _machine() else None
    if gone is None:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _LONG_AGO
    return gone


def _is_gone(pid: int, started: int) -> bool | None:
    """Whether a process of this machine has ended; None where that cannot be told."""
    if sys.platform == "win32":  # os.kill would end it there
        with suppress(ImportError):
            import psutil  # comes with ComfyUI; not a dependency of ours

            return None if psutil.pid_exists(pid) else True
    else:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:  # it belongs to somebody else
            pass
        now = _started(pid)
        if now and started:
            return now != started
    return None


def _started(pid: int) -> int:
    """When a process started, in a unit of its own; 0 where the system does not say."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):  # a container may see the processes of its host there
            return 0
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])  # behind the name, which may hold anything
    except (OSError, ValueError, IndexError):
        return 0


@functools.cache
def _machine() -> str:
    """Names the set of processes that ids are of: a machine since it was started, or a container on it."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("|".join(parts).encode(errors="replace")).hexdigest()[:8]
