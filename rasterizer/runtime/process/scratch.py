"""Temporary folders that do not stay when their process is killed: whoever makes one next removes what is left over.

A folder belongs to a living process for as long as that holds the file :data:`_MARK` in it: locked on POSIX, open on
Windows, which does not delete open files. The system ends both with the process, however that ends; a process id would
mean nothing to another container with the same folder for temporary files.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

_PREFIX = "torch_rasterizer_"
_MARK = "in_use_by_torch_rasterizer"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new temporary folder, removed at the end of this context."""
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        mark = _hold(Path(name))
        try:
            yield Path(name)
        finally:
            mark.close()


def remove_leftovers() -> None:
    """Remove the folders of this user's processes that are no more; what is not certainly such a folder stays."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            with suppress(OSError):  # somebody else removes it just now, or may not be read
                if entry.name.startswith(_PREFIX) and _is_own(entry) and _is_left(Path(entry.path, _MARK)):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _hold(folder: Path) -> IO[bytes]:
    if sys.platform == "win32":
        mark = (folder / _MARK).open("wb")
    else:
        unlocked = folder / f".{_MARK}"  # it gets its name when it is locked: without it nobody touches the folder
        mark = unlocked.open("wb")
        with suppress(OSError):  # a file system without locks: nobody else can lock it there either
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unlocked.rename(folder / _MARK)
    return mark


def _is_own(entry: os.DirEntry[str]) -> bool:
    found = entry.stat(follow_symlinks=False)
    return stat.S_ISDIR(found.st_mode) and (sys.platform == "win32" or found.st_uid == os.geteuid())


def _is_left(mark: Path) -> bool:
    if sys.platform == "win32":
        mark.unlink()  # an OSError where it is open
        left = True
    else:
        # Not for writing: network file systems then refuse the lock, which they would grant twice within one process.
        descriptor = os.open(mark, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError where it is locked
            left = stat.S_ISREG(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
    return left
