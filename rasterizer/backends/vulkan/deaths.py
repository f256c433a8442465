"""Processes that did not live through opening or testing a card: drivers may crash or hang, and take ComfyUI with them.

Each leaves a file in the cache folder, which it would have removed. Two of them, and the card is left alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...gpu.cache import cache_folder
from ...runtime.wishes import wishes

_MOST = 2
_SECONDS = 60.0  # opening and testing takes a few; a file that is older tells of a death, or of a process that hangs


@contextmanager
def watched() -> Iterator[None]:
    """What a driver may not let return."""
    file = None
    with suppress(OSError, RuntimeError):  # a folder that cannot be written, or no home: nobody is warned then
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / f"vulkan-{os.getpid()}.opening"
        file.touch()
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):
                file.unlink()


def reason_to_beware() -> str:
    """Why the card is not opened; empty where it may be, or is asked for by ``TORCH_RASTERIZER_BACKEND``."""
    left = _left()
    if len(left) < _MOST or wishes()[0] == "vulkan":
        return ""
    return (
        f"its driver ended or held up {len(left)} processes while it was opened; TORCH_RASTERIZER_BACKEND=vulkan tries "
        f"it again, and so does every start once {left[0].parent / 'vulkan-*.opening'} are deleted"
    )


def forget() -> None:
    """The card works now."""
    for file in _left():
        with suppress(OSError):
            file.unlink()


def _left() -> list[Path]:
    with suppress(OSError, RuntimeError):
        before = time.time() - _SECONDS
        return [file for file in sorted(cache_folder().glob("vulkan-*.opening")) if file.stat().st_mtime < before]
    return []
