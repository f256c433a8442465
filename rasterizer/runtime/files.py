"""Files that appear complete or not at all, also where several belong together or the process is killed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from .leftovers import remove_leftovers, temporary_name

Write = Callable[[Path], object]

_NO_FLUSH = {getattr(errno, name, 0) for name in ("EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP")}


def write_atomically(path: str | Path, write: Write) -> None:
    """Call ``write(temporary path)`` and rename what it wrote to ``path``; the suffix is kept for format detection.

    The file is on the disk before it gets its name. Temporary files that killed processes left in the folder are
    removed.
    """
    write_together([(Path(path), write)])


def write_together(files: Iterable[tuple[Path, Write]]) -> None:
    """Write files of one folder that belong together; the last is the one that names the others.

    All are written under temporary names first. The others get their names next, and the last replaces what had
    its own: at any time, also after a crash, the last one is there with all that it names.

    Args:
        files: names and what writes them, as for :func:`write_atomically`.

    Raises:
        FileExistsError: one of the others is there already, and stays as it is.
    """
    *beside, (last, _) = files = list(files)
    last.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(last.parent)
    temporaries: list[Path] = []
    placed: list[Path] = []
    try:
        for path, write in files:
            temporaries.append(last.with_name(temporary_name(path.suffix)))
            write(temporaries[-1])
            flush(temporaries[-1])
        for (path, _), temporary in zip(beside, temporaries, strict=False):
            _place(temporary, path)
            placed.append(path)
        os.replace(temporaries[-1], last)
    except BaseException:
        remove(placed)
        raise
    finally:
        remove(temporaries)
    flush_folder(last.parent)


def remove(paths: Iterable[Path]) -> None:
    """Remove files where that is possible."""
    for path in paths:
        with suppress(OSError):  # another program has it open on Windows, or it is gone
            path.unlink()


def _place(temporary: Path, path: Path) -> None:
    """Give a file its name, which must be free: a rename would silently replace what has it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except (OSError, AttributeError):  # no hard links on FAT, some network folders, and Android
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.rename(temporary, path)


def flush(path: Path) -> None:
    """Wait for a file to be on the disk; renamed before, it may be an empty one after a crash."""
    file = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _NO_FLUSH:  # a full disk is told of here at the latest
            raise
    finally:
        os.close(file)


def flush_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    with suppress(OSError):  # the file has its name, which is all that was promised
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
