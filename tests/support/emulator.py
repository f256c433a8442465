"""GPU programs on the CPU, compiled by g++: their kernels can be tested, and stepped through, without a GPU.

``emulator.h`` has what CUDA's language adds to C++. A block's threads take turns, so races between threads do not show,
unless blocks and threads run in another order: ``backwards``.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch

from rasterizer.gpu.platforms import Blocks, CompileError, Launch
from rasterizer.gpu.program import Loaded, Program

_HEADER = Path(__file__).with_suffix(".h")
_OPTIONS = ["-std=c++14", "-O2", "-march=native", "-ffp-contract=off", "-fno-strict-aliasing", "-fwrapv"]
_LINKING = ["-w", "-shared", "-fPIC", "-fvisibility=hidden", "-U_FORTIFY_SOURCE"]
_PROCESSORS = 2  # of the device that is emulated: little work for kernels that fill it


def with_fault(known: Program, right: str, wrong: str, folder: Path) -> Program:
    """A program whose kernels say ``wrong`` where ``known``'s say ``right``, in whichever of its files."""
    changed = []
    for file in (*known.shared, known.source):
        changed.append(folder / file.name)
        changed[-1].write_text(file.read_text("utf-8").replace(right, wrong), encoding="utf-8")
    *shared, source = changed
    program = Program(
        source, known.kernels, "a test", structs=known.structs, defines=known.defines, shared=tuple(shared)
    )
    assert program.text() != known.text()
    return program


class EmulationError(RuntimeError):
    """A launch that a GPU would refuse, or never end. No :class:`LaunchError`, upon which PyTorch's operators would do
    the work instead."""


def reason_against() -> str:
    """Why nothing can be emulated here; empty if it can."""
    if sys.platform != "linux" or not shutil.which("g++"):
        return "no g++ on Linux, which emulates GPUs"
    return ""


class Emulator:
    """A :class:`rasterizer.gpu.platforms.Platform` for the kernels of a program.

    Args:
        kernels: their names.
        backwards: run the last blocks, warps and threads first.
    """

    def __init__(self, kernels: tuple[str, ...], backwards: bool = False) -> None:
        self._kernels, self._backwards = kernels, backwards

    def version(self) -> str:
        return "g++"

    def architecture(self, device: torch.device) -> str:
        return "native"

    def options(self, architecture: str) -> list[str]:
        return [*_OPTIONS, *_LINKING]

    def compile(self, source: str, options: list[str], name: str = "kernels.cu") -> bytes:
        """The path of a shared library, which stands for its code."""
        launched = "".join(f"LAUNCHED({kernel})\n" for kernel in self._kernels)
        header = _HEADER.read_text(encoding="utf-8")
        text = f'#line 1 "{_HEADER.name}"\n{header}\n{source}\n#line 1 "launches"\n{launched}'
        digest = hashlib.sha256("\0".join((text, *options)).encode()).hexdigest()[:32]
        library = _folder() / f"{Path(name).stem}_{digest}.so"
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=library.parent) as place:
                made = Path(place, "made.so")
                command = ["g++", *options, "-x", "c++", "-", "-o", str(made)]
                run = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
                if run.returncode:
                    raise CompileError(run.stderr.strip())
                made.replace(library)
        return str(library).encode()

    def load(self, code: bytes) -> ctypes.c_void_p:
        return ctypes.PyDLL(code.decode())  # type: ignore[return-value]  # it holds the GIL: a launch at a time

    def entrance(self) -> Callable[[], object]:
        return lambda: None

    def function(self, module: ctypes.c_void_p, name: str) -> ctypes.c_void_p:
        function = getattr(module, f"launch_{name}")
        function.restype = ctypes.c_char_p
        return function

    def clear(self, address: int, size: int, stream: int) -> None:
        ctypes.memset(address, 0, size)

    def launcher(self, function: ctypes.c_void_p, blocks: Blocks, threads: int) -> Launch:
        grid = (ctypes.c_uint * 3)(*blocks)

        def launch(stream: int, arguments: ctypes.Array) -> None:
            fault = function(arguments, grid, threads, int(self._backwards))  # type: ignore[operator]
            if fault:
                raise EmulationError(f"{function.__name__}: {fault.decode()}")  # type: ignore[attr-defined]

        return launch


def _folder() -> Path:
    """Where libraries are kept: a folder that nobody else can write to."""
    folder = Path(tempfile.gettempdir(), f"torch_rasterizer_emulated_{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    return folder


@lru_cache(maxsize=64)
def load(program: Program, backwards: bool = False) -> Loaded:
    """A program, compiled and loaded."""
    target = Emulator(program.kernels, backwards)
    module = target.load(target.compile(program.text(), target.options("native"), program.source.name))
    return Loaded(target, {name: target.function(module, name) for name in program.kernels}, _PROCESSORS)


class _WhenAsked(dict[object, Loaded]):
    """For any device, the emulated program, compiled when it is first launched."""

    def __init__(self, program: Program, backwards: bool) -> None:
        super().__init__()
        self._made = program, backwards

    def __missing__(self, number: object) -> Loaded:
        return load(*self._made)


@contextmanager
def emulated(*programs: Program, backwards: bool = False) -> Iterator[None]:
    """Launchers of these programs take CPU tensors.

    Outside :mod:`rasterizer.backends` nothing changes: who asks for ``reason_against`` is told the same as ever.
    Skips the test where nothing can be emulated.
    """
    if reason := reason_against():
        pytest.skip(reason)
    with ExitStack() as stack:
        for program in programs:
            stack.enter_context(mock.patch.object(program, "_loaded", _WhenAsked(program, backwards)))
            stack.enter_context(mock.patch.object(program, "_reasons", {}))
        for module in _launching_modules():
            stack.enter_context(mock.patch.object(module, "current_stream", lambda number: 0))
        stack.enter_context(
            mock.patch("rasterizer.gpu.program.current_device", lambda: None)
        )  # as CPU tensors have no index
        stack.enter_context(mock.patch("torch.cuda.is_current_stream_capturing", lambda: False))
        yield


def _launching_modules() -> list[ModuleType]:
    return [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith("rasterizer.") and hasattr(module, "current_stream")
    ]


def programs_of(*modules: ModuleType) -> list[Program]:
    """The programs that modules define, by themselves or as values of a dict."""
    values = [value for module in modules for value in vars(module).values()]
    values += [each for value in values if isinstance(value, dict) for each in value.values()]
    return [value for value in values if isinstance(value, Program)]
