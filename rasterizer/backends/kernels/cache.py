"""Compiled kernels on disk, in the user's cache folder. Whatever is not intact is ignored and made again."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ...images import write_atomically

log = logging.getLogger("torch_rasterizer")


def cache_folder() -> Path:
    """Where compiled kernels are kept: the place each system has for such files."""
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "torch_rasterizer" / "kernels"


def cached(parts: list[str], make: Callable[[], bytes]) -> bytes:
    """``make()``, or what an earlier call with the same ``parts`` made, in any process.

    A file holds the SHA-256 of its code before the code. Files appear complete or not at all, so processes may race.
    """
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    path = cache_folder() / f"{key[:32]}.bin"
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() == data[:32]:
            return data[32:]
    except OSError:
        pass
    code = make()
    try:
        write_atomically(path, lambda temporary: temporary.write_bytes(hashlib.sha256(code).digest() + code))
    except OSError as error:  # a read-only home costs a second per process, nothing else
        log.debug("Compiled kernels are not kept: %s", error)
    return code
