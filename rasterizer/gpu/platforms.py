"""The same few calls on CUDA and HIP: compile, load, launch. A thin ctypes layer over stable C interfaces."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_uint64, c_void_p
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from . import libraries

Blocks = tuple[int, int, int]
"""Thread blocks along x, y and z."""

Launch = Callable[[int, ctypes.Array], None]
"""Launches a kernel on a stream with an array of pointers to its arguments."""


def _launcher(
    call: Callable[..., int], check: Callable[[int, str], None], function: c_void_p, blocks: Blocks, threads: int
) -> Launch:
    """Both platforms take the function, three counts of blocks and three of threads, bytes of shared memory, stream,
    arguments, and one more that is null. All are given as what C takes, most of them beforehand: that takes longer than
    the launch."""
    start = partial(call, function, *(c_uint(count) for count in (*blocks, threads, 1, 1, 0)))

    def launch(stream: int, arguments: ctypes.Array) -> None:
        status = start(c_void_p(stream), arguments, None)
        if status:
            check(status, call.__name__)

    return launch


class LaunchError(RuntimeError):
    """The driver refused to load or launch a program."""


class CompileError(RuntimeError):
    """The run-time compiler refused the source; the text is its log."""


class Platform(Protocol):
    """What the backend needs of a GPU platform."""

    def version(self) -> str:
        """Name and version of the compiler."""

    def driver(self) -> str:
        """Version of the driver, once something is loaded."""

    def architecture(self, device: torch.device) -> str:
        """What to compile for."""

    def options(self, architecture: str) -> list[str]:
        """Compiler options; part of the cache key."""

    def compile(self, source: str, options: list[str], name: str = "kernels.cu") -> bytes:
        """Machine code; ``name`` is what messages about the source call its file."""

    def load(self, code: bytes) -> c_void_p:
        """A module in the current context."""

    def entrance(self) -> Callable[[], object]:
        """What makes the context that is current now that of any thread that calls it."""

    def function(self, module: c_void_p, name: str) -> c_void_p:
        """A kernel of a module."""

    def launcher(self, function: c_void_p, blocks: Blocks, threads: int) -> Launch:
        """What launches a kernel over so many blocks of so many threads."""

    def clear(self, address: int, size: int, stream: int) -> None:
        """Set so many bytes to 0, in the order of a stream's work."""


class _Compiler:
    """NVRTC and hipRTC have the same interface but for the prefix and the name of the result."""

    def __init__(self, library: ctypes.CDLL, prefix: str, result: str) -> None:
        self._library, self._prefix, self._result = library, prefix, result
        self._call("GetErrorString").restype = c_char_p

    def _call(self, name: str) -> Any:
        return getattr(self._library, self._prefix + name)

    def _check(self, status: int, what: str) -> None:
        if status:
            text = self._call("GetErrorString")(status).decode(errors="replace")
            raise CompileError(f"{self._prefix}{what}: {text}")

    def version(self) -> str:
        major, minor = c_int(), c_int()
        self._check(self._call("Version")(byref(major), byref(minor)), "Version")
        return f"{self._prefix} {major.value}.{minor.value}"

    def compile(self, source: str, options: list[str], name: str) -> bytes:
        program = c_void_p()
        status = self._call("CreateProgram")(byref(program), source.encode(), name.encode(), 0, None, None)
        self._check(status, "CreateProgram")
        try:
            words = (c_char_p * len(options))(*(option.encode() for option in options))
            if self._call("CompileProgram")(program, len(options), words):
                log = self._text(program, "GetProgramLogSize", "GetProgramLog").decode(errors="replace")
                raise CompileError(log.strip() or f"{self._prefix}CompileProgram failed without a log")
            return self._text(program, f"Get{self._result}Size", f"Get{self._result}")
        finally:
            self._call("DestroyProgram")(byref(program))

    def _text(self, program: c_void_p, size_of: str, get: str) -> bytes:
        size = c_size_t()
        self._check(self._call(size_of)(program, byref(size)), size_of)
        buffer = ctypes.create_string_buffer(size.value)
        self._check(self._call(get)(program, buffer), get)
        return buffer.raw


def _text_of(file: str) -> str:
    """What a system says in a file, where it does."""
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


class Cuda:
    """NVRTC and the CUDA driver."""

    def __init__(self) -> None:
        self._compiler = _Compiler(libraries.load_nvrtc(), "nvrtc", "CUBIN")
        self._driver: Any = None  # the library, once something is loaded

    def version(self) -> str:
        return self._compiler.version()

    def driver(self) -> str:
        version = c_int()
        self._check(self._driver.cuDriverGetVersion(byref(version)), "cuDriverGetVersion")
        return f"{version.value} {_text_of('/proc/driver/nvidia/version')}"

    def architecture(self, device: torch.device) -> str:
        return "sm_{}{}".format(*torch.cuda.get_device_capability(device))

    def options(self, architecture: str) -> list[str]:
        return [f"--gpu-architecture={architecture}", "--fmad=false", "--std=c++14"]

    def compile(self, source: str, options: list[str], name: str = "kernels.cu") -> bytes:
        return self._compiler.compile(source, options, name)

    def load(self, code: bytes) -> c_void_p:
        self._driver = self._driver or libraries.load_cuda_driver()
        self._driver.cuMemsetD8Async.argtypes = [c_uint64, c_ubyte, c_size_t, c_void_p]
        module = c_void_p()
        self._check(self._driver.cuModuleLoadData(byref(module), code), "cuModuleLoadData")
        return module

    def entrance(self) -> Callable[[], object]:
        context = c_void_p()
        self._check(self._driver.cuCtxGetCurrent(byref(context)), "cuCtxGetCurrent")
        return partial(self._driver.cuCtxSetCurrent, context)

    def function(self, module: c_void_p, name: str) -> c_void_p:
        function = c_void_p()
        self._check(self._driver.cuModuleGetFunction(byref(function), module, name.encode()), "cuModuleGetFunction")
        return function

    def launcher(self, function: c_void_p, blocks: Blocks, threads: int) -> Launch:
        return _launcher(self._driver.cuLaunchKernel, self._check, function, blocks, threads)

    def clear(self, address: int, size: int, stream: int) -> None:
        self._check(self._driver.cuMemsetD8Async(address, 0, size, stream), "cuMemsetD8Async")

    def _check(self, status: int, what: str) -> None:
        if status:
            text = c_char_p()
            self._driver.cuGetErrorString(status, byref(text))
            raise LaunchError(f"{what}: {(text.value or b'unknown error').decode()} ({status})")


class Hip:
    """hipRTC and the HIP runtime."""

    def __init__(self) -> None:
        self._compiler = _Compiler(libraries.load_hiprtc(), "hiprtc", "Code")
        self._runtime: Any = None  # the library, once something is loaded

    def version(self) -> str:
        return self._compiler.version()

    def driver(self) -> str:
        version = c_int()
        self._check(self._runtime.hipDriverGetVersion(byref(version)), "hipDriverGetVersion")
        return f"{version.value} {_text_of('/sys/module/amdgpu/version')}"

    def architecture(self, device: torch.device) -> str:
        return torch.cuda.get_device_properties(device).gcnArchName

    def options(self, architecture: str) -> list[str]:
        return [f"--gpu-architecture={architecture}", "-ffp-contract=off", "-std=c++14"]

    def compile(self, source: str, options: list[str], name: str = "kernels.cu") -> bytes:
        return self._compiler.compile(source, options, name)

    def load(self, code: bytes) -> c_void_p:
        if self._runtime is None:
            self._runtime = libraries.load_hip_runtime()
            self._runtime.hipGetErrorString.restype = c_char_p
            self._runtime.hipMemsetAsync.argtypes = [c_void_p, c_int, c_size_t, c_void_p]
        module = c_void_p()
        self._check(self._runtime.hipModuleLoadData(byref(module), code), "hipModuleLoadData")
        return module

    def entrance(self) -> Callable[[], object]:
        return lambda: None  # HIP's runtime knows by itself

    def function(self, module: c_void_p, name: str) -> c_void_p:
        function = c_void_p()
        self._check(self._runtime.hipModuleGetFunction(byref(function), module, name.encode()), "hipModuleGetFunction")
        return function

    def launcher(self, function: c_void_p, blocks: Blocks, threads: int) -> Launch:
        return _launcher(self._runtime.hipModuleLaunchKernel, self._check, function, blocks, threads)

    def clear(self, address: int, size: int, stream: int) -> None:
        self._check(self._runtime.hipMemsetAsync(address, 0, size, stream), "hipMemsetAsync")

    def _check(self, status: int, what: str) -> None:
        if status:
            raise LaunchError(f"{what}: {self._runtime.hipGetErrorString(status).decode(errors='replace')} ({status})")
