"""GPU programs: a source file compiled, loaded and tested once per device, by the compiler that PyTorch brings."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch

from .cache import cached
from .platforms import Blocks, Cuda, Hip, Launch, LaunchError, Platform

log = logging.getLogger("torch_rasterizer")

T = TypeVar("T")


@lru_cache(maxsize=1)
def platform() -> Platform:
    """The GPU platform of this PyTorch.

    Raises:
        OSError: its run-time compiler was not found.
    """
    return Hip() if torch.version.hip else Cuda()


def compile_source(source: Path, target: Platform, architecture: str) -> bytes:
    """Machine code of a source file, from the cache where it is there."""
    text, options = source.read_text(encoding="utf-8"), target.options(architecture)
    return cached([target.version(), *options, text], lambda: target.compile(text, options, source.name))


@dataclass(frozen=True, eq=False)
class Loaded:
    """A program on one device.

    Attributes:
        platform: what launches it.
        functions: its kernels by name.
        processors: multiprocessors of the device.
    """

    platform: Platform
    functions: dict[str, ctypes.c_void_p]
    processors: int

    def launcher(self, name: str, blocks: int | Blocks, threads: int) -> Launch:
        """What launches a kernel over ``blocks`` of ``threads``, given a stream and :func:`parameters_of` it."""
        grid = blocks if isinstance(blocks, tuple) else (blocks, 1, 1)
        return self.platform.launcher(self.functions[name], grid, threads)


def _current_stream(number: int) -> int:
    return torch.cuda.current_stream(number).cuda_stream


current_stream: Callable[[int], int] = getattr(torch._C, "_cuda_getCurrentRawStream", _current_stream)
"""Handle of the stream that PyTorch uses now on a device. The one that builds no object takes a tenth of the time."""


def parameters_of(structure: ctypes.Structure) -> ctypes.Array:
    """The argument list of a kernel that takes ``structure``, which must outlive it and is read at each launch."""
    return (ctypes.c_void_p * 1)(ctypes.addressof(structure))


class Program:
    """The kernels of one source file.

    Args:
        source: the file.
        kernels: names of its kernels.
        what: for the log, what PyTorch operators do instead where the program cannot be used.
    """

    def __init__(self, source: Path, kernels: tuple[str, ...], what: str) -> None:
        self.source, self.kernels, self._what = source, kernels, what
        self._loaded: dict[int, Loaded] = {}
        self._reasons: dict[int, str] = {}

    def reason_against(self, device: torch.device, self_test: Callable[[torch.device], None]) -> str:
        """Why it cannot be used on ``device``; empty if it can. The first call compiles and tests it.

        Args:
            device: where to run.
            self_test: compares the kernels with the eager path on a device; raises RuntimeError where they differ.
        """
        if device.type != "cuda":
            return f"for CUDA and ROCm devices, not {device.type}"
        number = device.index if device.index is not None else torch.cuda.current_device()
        reason = self._reasons.get(number)
        if reason is None:
            reason = self._reasons[number] = self._prepare(torch.device("cuda", number), self_test)
        return reason

    def on(self, number: int) -> Loaded:
        """The program on a device for which there is no :meth:`reason_against`."""
        return self._loaded[number]

    def attempt(self, device: torch.device, call: Callable[[], T], instead: Callable[[], T]) -> T:
        """``call()`` with ``device`` current; when a launch fails, ``instead()``, and the program is used no more
        there."""
        try:
            if device.index == torch.cuda.current_device():
                return call()
            with torch.cuda.device(device):
                return call()
        except LaunchError as error:
            self._reasons[device.index] = _said(error)
            log.warning(
                "Torch Rasterizer: GPU kernels failed on %s, using PyTorch operators for %s (%s)",
                device,
                self._what,
                error,
            )
        return instead()

    def _prepare(self, device: torch.device, self_test: Callable[[torch.device], None]) -> str:
        """Compile, load and test on ``device``; returns what failed, or an empty string."""
        try:
            with torch.cuda.device(device):
                torch.empty(1, device=device)  # the driver needs PyTorch's context to load into
                target = platform()
                code = target.load(compile_source(self.source, target, target.architecture(device)))
                functions = {name: target.function(code, name) for name in self.kernels}
                processors = torch.cuda.get_device_properties(device).multi_processor_count
                self._loaded[device.index] = Loaded(target, functions, processors)
                self_test(device)
        except Exception as error:  # drivers and compilers fail in their own ways; none may cost the user the result
            self._loaded.pop(device.index, None)
            reason = _said(error)
            log.warning(
                "Torch Rasterizer: no GPU kernels for %s on %s, using PyTorch operators instead (%s)",
                self._what,
                device,
                reason,
            )
            return reason
        return ""


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
