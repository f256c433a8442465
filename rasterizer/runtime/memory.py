"""How much memory a call may use, and what happens when it is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from .devices import free_memory
from .log import log

T = TypeVar("T")

_LEAST, _MOST = 32 << 20, 1 << 30


class TooLargeError(MemoryError, ValueError):
    """What was asked for cannot fit: an argument is too large, and on a GPU a reason to try the CPU."""


def default_budget(device: torch.device) -> int:
    """Bytes of working memory for a call: a quarter of what is free, between 32 MiB and 1 GiB."""
    return max(_LEAST, min(_MOST, free_memory(device) // 4))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; MPS and the CPU raise a plain RuntimeError for it."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def with_less_memory(call: Callable[[torch.device, int], T], device: torch.device) -> T:
    """Run ``call(device, 0)``, 0 meaning the default budget; when memory runs out with less, then on the CPU.

    Each step is one log line, and every step gives the same result. Other errors pass through.
    """
    budget = 0
    for less in (_MOST >> 3, _MOST >> 6, 0):
        try:
            return call(device, budget)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release_memory(device)  # outside the handler, whose traceback holds on to the tensors
        if less:
            log.warning("Out of memory on %s; trying again with %d MiB of working memory.", device, less >> 20)
        budget = less
    if device.type == "cpu":
        raise MemoryError(f"Not enough memory even with {_MOST >> 26} MiB of working memory; use a smaller image.")
    log.warning("Out of memory on %s even with little working memory; using the CPU, the result is the same.", device)
    return call(torch.device("cpu"), 0)


_releases: list[Callable[[], None]] = []


def call_when_memory_is_short(release: Callable[[], None]) -> None:
    """Register what gives up memory that is held for later calls."""
    _releases.append(release)


def forget() -> None:
    """Give up what is held here for later calls, at the cost of making it again."""
    for release in _releases:
        release()


def release_memory(device: torch.device) -> None:
    """Give up what is held for later calls, here and by PyTorch."""
    forget()
    for kind in ("cuda", "xpu", "mps"):
        if device.type == kind:
            getattr(torch, kind).empty_cache()
