"""Compiled kernels on disk, in the user's cache folder, and which of them have passed their tests. Whatever is not
intact is ignored and made again.

What lies there is loaded into the GPU, and its checksum only tells damage: anybody could compute it. So on systems with
owners and modes an entry counts only where nobody but this user and root can have written it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from ..runtime.files import write_atomically
from ..runtime.log import log

_LARGEST = 64 * 2**20  # bytes; the programs of this pack take less than one MiB


def cache_folder() -> Path:
    """Where compiled kernels are kept: the place each system has for such files.

    Raises:
        RuntimeError: this user has no home folder.
    """
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or "")
        if not root.is_absolute():  # the standard wants a relative one ignored: it would follow the current folder
            root = Path.home() / ".cache"
    return root / "torch_rasterizer" / "kernels"


def cached(parts: list[str], make: Callable[[], bytes]) -> bytes:
    """``make()``, or what an earlier call with the same ``parts`` made, in any process.

    A file holds the SHA-256 of its code before the code. Files appear complete or not at all, so processes may race.
    """
    name = f"{_digest(_joined(parts))}.bin"
    data = _kept(name)
    if hashlib.sha256(data[32:]).digest() == data[:32]:
        return data[32:]
    code = make()
    _keep(name, hashlib.sha256(code).digest() + code)
    return code


def once(parts: list[str], work: Callable[[], object]) -> None:
    """``work()``, unless it has once returned with the same ``parts``, in any process. What raises is done again.

    A file holds ``parts`` themselves, so that one that was damaged, cut off or renamed stands for nothing.
    """
    text = _joined(parts)
    name = f"{_digest(text)}.done"
    if _kept(name) == text:
        return
    work()
    _keep(name, text)


def _joined(parts: list[str]) -> bytes:
    return chr(0).join(parts).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _kept(name: str) -> bytes:
    """What an entry holds; nothing where there is none that can be used."""
    try:
        return _read(cache_folder(), name)
    except FileNotFoundError:
        pass
    except Exception as error:  # no home, no right, no memory: whatever ails the cache costs seconds per process
        log.debug("Cache of kernels: %s is not used: %s", name, error)
    return b""


def _keep(name: str, data: bytes) -> None:
    try:
        _write(cache_folder(), name, data)
    except Exception as error:
        log.debug("Cache of kernels: %s is not kept: %s", name, error)


def _read(folder: Path, name: str) -> bytes:
    """The bytes of an entry.

    Raises:
        OSError: there is none, or none to be trusted.
    """
    if sys.platform == "win32":
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_BINARY)
    else:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _check_owner(os.fstat(place), "its folder")
            # Opening a FIFO would wait for somebody to write into it.
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
        finally:
            os.close(place)
    return _bytes(descriptor)


def _bytes(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file")
        _check_owner(found, "it")
        if found.st_size > _LARGEST:
            raise OSError(f"it has {found.st_size} bytes, expected at most {_LARGEST}")
        return file.read(found.st_size)


def _check_owner(found: os.stat_result, what: str) -> None:
    """
    Raises:
        PermissionError: somebody else can have written it.
    """
    if sys.platform != "win32":  # which has no owners and modes of that kind
        if found.st_uid not in (os.geteuid(), 0):
            raise PermissionError(f"{what} belongs to user {found.st_uid}, expected {os.geteuid()} or root")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{what} has mode {stat.S_IMODE(found.st_mode):04o}: others may write there")


def _write(folder: Path, name: str, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _close_to_others(folder)

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)
        if sys.platform != "win32":
            temporary.chmod(0o600)  # whatever the umask

    write_atomically(folder / name, write)


def _close_to_others(folder: Path) -> None:
    """Mode 0700 for a folder of this user; those of others are left as they are, and nothing is put there.

    Nothing happens on Windows, which has no modes of that kind.
    """
    if sys.platform != "win32":
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            found = os.fstat(place)
            if found.st_uid != os.geteuid():
                raise PermissionError(f"{folder} belongs to user {found.st_uid}, expected {os.geteuid()}")
            if stat.S_IMODE(found.st_mode) != 0o700:
                os.fchmod(place, 0o700)
        finally:
            os.close(place)
