"""The card of this process: opened when a device first asks for it, tested, and given up where it fails."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import torch

from ...gpu.cache import cached, once
from ...runtime.devices import default_device
from ...runtime.log import log
from ...runtime.memory import call_when_memory_is_short
from . import api, check, deaths
from .api import VulkanError
from .frame import Rasterizer, UnsuitedError
from .gpu import Gpu
from .memory import Memory
from .pipelines import FOLDER
from .pixels import Interpolator

T = TypeVar("T")

_FORKED = "this process was forked from one that has the driver open; start processes by 'spawn' to use it there"
_REFUSED = {
    "cuda": "for devices that PyTorch has no kernels of ours for, not cuda",
    "meta": "for devices that hold numbers, not meta",
}


class Card:
    """A card and what is done on it. Whoever uses it holds the lock.

    Attributes:
        lock: commands and memory are one caller's at a time.
        user: thread of that caller, which may come back from within, as from a progress callback.
        process: the one that opened it.
        reason: why it cannot be used: no driver, or what failed; None until it was tested.
        gpu: the device, where there is one.

    Args:
        reason: why none is opened; None opens the best.
    """

    def __init__(self, reason: str | None = None) -> None:
        self.lock, self.process = threading.Lock(), os.getpid()
        self.user = 0
        self.slower: dict[tuple[str, torch.device], str] = {}
        self.gpu: Gpu | None = None
        self.reason = reason = reason or deaths.reason_to_beware() or None
        if reason:
            return
        try:
            with deaths.watched("opening"):
                self.gpu = Gpu()
        except Exception as error:  # drivers fail in their own ways; none may cost the user the result
            self.reason = _said(error)

    def test(self) -> str:
        """:attr:`reason`, once its shaders were made and their results compared, which is remembered."""
        with self.lock:
            if self.reason is None and self.gpu is not None:
                try:
                    with torch.device("cpu"), deaths.watched("testing"):  # the user's default may be another
                        self.memory = Memory(self.gpu)
                        self.rasterizer, self.interpolator = Rasterizer(self.memory), Interpolator(self.memory)
                        call_when_memory_is_short(self.release)
                        once([*self.identity(), "tested"], lambda: check.self_test(self.rasterizer, self.interpolator))
                    self.reason = ""
                except Exception as error:
                    self.reason = f"{self.gpu.name}: {_said(error)}"
                    log.warning("Torch Rasterizer: Vulkan is not used on %s", self.reason)
                    if hasattr(self, "memory"):
                        with suppress(VulkanError):  # of a device that is lost
                            self.gpu.idle()
                            self.memory.release()
            return self.reason or ""

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """By this thread alone. Whatever interrupts it, the card is at nothing afterwards."""
        with self.lock:
            self.user = threading.get_ident()
            try:
                yield
            except BaseException:
                if self.gpu is not None:
                    with suppress(VulkanError):  # of a device that is lost
                        self.gpu.idle()
                raise
            finally:
                self.user = 0

    def release(self) -> None:
        """Give up what is held for later calls, unless it is in use."""
        if self.process == os.getpid() and not self.reason and self.lock.acquire(blocking=False):
            try:
                self.memory.release()
            finally:
                self.lock.release()

    def identity(self) -> list[str]:
        """What the outcome of tests, and times, follow from."""
        assert self.gpu is not None
        digest = hashlib.sha256()
        backends, library = FOLDER.parents[1], FOLDER.parents[2]
        for folder in (FOLDER, FOLDER.parent, backends / "eager", library / "contract"):
            for file in sorted(folder.iterdir()):
                if file.suffix in (".spv", ".py"):
                    digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return ["vulkan", *self.gpu.identity, str(self.gpu.rounds_to_even), torch.__version__, digest.hexdigest()]


_found: Card | None = None
_finding = threading.Lock()


def card() -> Card:
    """That of this process. A driver that was open when it was forked may hang in it, as may PyTorch's own threads."""
    global _found
    with _finding:
        if _found is None:
            _found = Card()
        elif _found.process != os.getpid():
            _found = Card(_FORKED if _found.gpu is not None else _found.reason)
        return _found


def reason_against(device: torch.device) -> str:
    """Why the card cannot work for tensors on ``device``; empty if it can. The first call opens and tests it."""
    refused = _REFUSED.get(device.type)
    if refused:
        return refused
    found = card()
    return found.test() if found.reason is None else found.reason


def reason_to_pass_over(operation: str, device: torch.device) -> str:
    """Why ``auto`` leaves the card alone; empty where it means it. No driver is asked where PyTorch has a GPU itself,
    and no shader made where there is no graphics card."""
    if device.type in _REFUSED:
        return _REFUSED[device.type]
    if device.type == "cpu" and default_device().type != "cpu":
        return "used only when asked for: PyTorch has a GPU of its own here"
    found = card()
    if found.gpu is not None and found.gpu.kind not in (api.DISCRETE, api.INTEGRATED):
        return f"used only when asked for: {found.gpu.name}, is no graphics card"
    return reason_against(device) or _slower(found, operation, device)


def _slower(found: Card, operation: str, device: torch.device) -> str:
    """Why PyTorch operators are taken on ``device``, by times that are measured once and remembered."""
    key = operation, device
    if found.user == threading.get_ident():
        return "at work for this thread already"  # whose callback asks
    if key not in found.slower:

        def measure() -> str:
            with torch.device("cpu"):
                return "{:.3f} {:.3f}".format(*check.TIMES[operation](found.rasterizer, found.interpolator, device))

        assert found.gpu is not None
        try:
            with found.in_use():
                parts = [*found.identity(), "times", operation, str(device), str(torch.get_num_threads())]
                ours, theirs = map(float, cached(parts, lambda: measure().encode()).split())
        except Exception as error:  # as in :class:`Card`
            found.slower[key] = f"while it was timed: {_said(error)}"
            return found.slower[key]
        text = f"measured: {ours:.1f} ms on {found.gpu.name}, {theirs:.1f} ms by PyTorch operators"
        found.slower[key] = text if ours >= theirs else ""
    return found.slower[key]


def attempt(call: Callable[[Card], T], instead: Callable[[], T]) -> T:
    """``call(card)``; or ``instead()`` where the card is not suited, has too little memory, or is at work for this
    thread already, and where it fails: then it is given up."""
    found = card()
    if found.user == threading.get_ident():
        return instead()
    try:
        if found.reason is None:
            found.test()
        with found.in_use():
            if not found.reason:
                return call(found)
    except UnsuitedError:
        pass
    except VulkanError as error:
        if error.code in api.OUT_OF_MEMORY:
            found.release()
            log.warning("Torch Rasterizer: %s on Vulkan; using PyTorch operators this time", error)
        else:
            found.reason = _said(error)
            log.warning("Torch Rasterizer: Vulkan failed, using PyTorch operators from now on (%s)", error)
    return instead()


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, VulkanError) else f"{type(error).__name__}: {text}"
