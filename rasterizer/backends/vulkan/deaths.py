"""Processes that did not live through opening or testing a card: drivers may crash or hang, and take ComfyUI with them.

Each leaves a file in the cache folder, which it would have removed. Three of them within a day, and the card is left
alone for as long: one that is killed meanwhile, as on a busy day of tests, leaves such a file, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...gpu.cache import cache_folder
from ...runtime.wishes import wishes

_MOST = 3
_SECONDS = 60.0  # opening and testing takes a few; a file that is older tells of a death, or of a process that hangs
_DAY = 86400.0  # nothing older counts


@contextmanager
def watched(step: str) -> Iterator[None]:
    """A step, ``opening`` or ``testing``, from which a driver may not return. Once one has, it is trusted again with
    that."""
    file = None
    with suppress(OSError, RuntimeError):  # a folder that cannot be written, or no home: nobody is warned then
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / f"vulkan-{os.getpid()}.{step}"
        file.touch()
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):
                file.unlink()
    for old in _left(step):
        with suppress(OSError):
            old.unlink()


def reason_to_beware() -> str:
    """Why the card is not opened; empty where it may be, or is asked for by ``TORCH_RASTERIZER_BACKEND``."""
    left = max(_left("opening"), _left("testing"), key=len)
    if len(left) < _MOST or wishes()[0] == "vulkan":
        return ""
    return (
        f"its driver ended or held up {len(left)} processes of the last day while it was opened or tested; "
        f"TORCH_RASTERIZER_BACKEND=vulkan tries it again, and so does every start once "
        f"{left[0].with_name('vulkan-*' + left[0].suffix)} are deleted"
    )


def _left(step: str) -> list[Path]:
    now, found = time.time(), []
    with suppress(OSError, RuntimeError):
        for file in sorted(cache_folder().glob(f"vulkan-*.{step}")):
            if _SECONDS < now - file.stat().st_mtime < _DAY:
                found.append(file)
    return found
