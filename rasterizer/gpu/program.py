"""GPU programs: compiled, loaded and tested once per device, by the compiler that PyTorch brings.

What is compiled is put together of parts: ``common.cu``, the structs and constants that the program shares with Python
(:mod:`.structs`), what it shares with other programs, and its own source. A program's source ``NAME.cu`` lies beside
``NAME.py``, which launches it.

Before a program is used on a device its results are compared with those of PyTorch's operators. That takes longer than
all else that happens at first use, so :mod:`.cache` remembers that a program has passed. The test's outcome follows
from the machine code, the code of this package, PyTorch, the GPU and its driver; it counts again only where all of
them are the same. A test that fails is never remembered, nor is a launch that fails later: that ends the program's use
in this process, whatever it passed before.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..runtime.log import log
from .cache import cached, once
from .platforms import Blocks, Cuda, Hip, Launch, LaunchError, Platform
from .structs import Struct, c_text

T = TypeVar("T")

SelfTest = Callable[[torch.device], None]
"""Compares kernels with PyTorch operators on a device; raises RuntimeError where they differ."""

SCREEN = Path(__file__).with_name("screen.cu")
"""What programs share that compute barycentrics as the rasterizer does; it wants the constant ``DEPTH_SCALE``."""

failures = 0
"""How often a launch or a preparation has failed in this process."""

_preparing = threading.RLock()  # a test of one program may use another
_COMMON = Path(__file__).with_name("common.cu")
_PACKAGE = Path(__file__).parent.parent


@lru_cache(maxsize=1)
def platform() -> Platform:
    """The GPU platform of this PyTorch.

    Raises:
        OSError: its run-time compiler was not found.
    """
    return Hip() if torch.version.hip else Cuda()


Kernel = Callable[..., None]
"""Launches a kernel, given a stream and addresses: of :meth:`Loaded.kernel`."""


class UnsuitedError(Exception):
    """Raised by what :meth:`Program.attempt` calls: the kernels are not made for arguments of such sizes."""


@lru_cache(maxsize=1)
def _package() -> str:
    """A digest of this package's code: launchers, tests, and the operators that they compare with."""
    found = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*")):
        if file.suffix in (".py", ".cu"):
            found.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()


def _machine(target: Platform, device: torch.device) -> list[str]:
    """What a program runs on, and what launches it."""
    properties = torch.cuda.get_device_properties(device)
    gpu = properties.name, getattr(properties, "uuid", ""), target.architecture(device), target.driver()
    return [str(part) for part in (*gpu, target.version(), torch.__version__, torch.version.cuda, sys.version)]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A program on one device.

    Attributes:
        platform: what launches it.
        functions: its kernels by name.
        processors: multiprocessors of the device.
        enter: makes the device's context that of the calling thread; PyTorch does so at its own first work there, which
            in a thread that computes gradients may come after ours.
    """

    platform: Platform
    functions: dict[str, ctypes.c_void_p]
    processors: int
    enter: Callable[[], object] = lambda: None

    def launcher(self, name: str, blocks: int | Blocks, threads: int) -> Launch:
        """What launches a kernel over ``blocks`` of ``threads``, given a stream and :func:`parameters_of` it."""
        grid = blocks if isinstance(blocks, tuple) else (blocks, 1, 1)
        return self.platform.launcher(self.functions[name], grid, threads)

    def kernel(self, name: str, blocks: int | Blocks, threads: int, params: Struct, addresses: str) -> Kernel:
        """What launches a kernel of which all but addresses is known beforehand, in the least time.

        Args:
            name, blocks, threads: as in :meth:`launcher`.
            params: its parameters.
            addresses: their layout in front of it, as :mod:`struct` writes it: ``"3P"`` is three addresses.

        Returns:
            ``launch(stream, *addresses)``, where 0 is null. Threads may call it at once: each takes parameters that no
            other is using. The driver copies them, so they serve again as soon as it returns.
        """
        launch, template, write = (
            self.launcher(name, blocks, threads),
            bytes(params),
            struct.Struct(addresses).pack_into,
        )
        idle: list[tuple[ctypes.Array, ctypes.Array]] = []

        def run(stream: int, *values: int) -> None:
            try:
                ready = idle.pop()
            except IndexError:
                own = (ctypes.c_char * len(template)).from_buffer_copy(template)
                ready = own, (ctypes.c_void_p * 1)(ctypes.addressof(own))
            write(ready[0], 0, *values)
            launch(stream, ready[1])
            idle.append(ready)

        return run

    def zeros_like(self, tensor: Tensor, stream: int) -> Tensor:
        """As PyTorch's, for a contiguous tensor on the current device, by a call of the driver alone."""
        made = torch.empty_like(tensor)
        self.platform.clear(made.data_ptr(), made.nbytes, stream)
        return made


def _current_stream(number: int) -> int:
    return torch.cuda.current_stream(number).cuda_stream


current_stream: Callable[[int], int] = getattr(torch._C, "_cuda_getCurrentRawStream", _current_stream)
"""Handle of the stream that PyTorch uses now on a device. The one that builds no object takes a tenth of the time."""


current_device: Callable[[], int] = getattr(torch._C, "_cuda_getDevice", torch.cuda.current_device)
"""Number of the device that PyTorch uses now, once it uses one."""


def parameters_of(structure: ctypes.Structure) -> ctypes.Array:
    """The argument list of a kernel that takes ``structure``, which must outlive it and is read at each launch."""
    return (ctypes.c_void_p * 1)(ctypes.addressof(structure))


class Program:
    """The kernels of one source file.

    Args:
        source: the file.
        kernels: names of its kernels.
        what: for the log, what PyTorch operators do instead where the program cannot be used.
        structs: what its kernels take, each after those that it is made of.
        defines: constants that it shares with Python.
        shared: files that other programs begin with, too.
        self_test: what tests it, unless whoever asks for :meth:`reason_against` brings a test.

    Attributes:
        soon: programs that will be wanted, too, where this one is; they are compiled meanwhile.
    """

    def __init__(
        self,
        source: Path,
        kernels: tuple[str, ...],
        what: str,
        *,
        structs: tuple[type[Struct], ...] = (),
        defines: Mapping[str, int | float] = MappingProxyType({}),
        shared: tuple[Path, ...] = (),
        self_test: SelfTest | None = None,
    ) -> None:
        self.source, self.kernels = source, kernels
        self.structs, self.defines, self.shared = structs, defines, shared
        self._what, self._self_test = what, self_test
        self._loaded: dict[int, Loaded] = {}
        self._reasons: dict[int, str] = {}
        self._ahead: dict[str, Future[bytes]] = {}
        self.soon: Sequence[Program] = ()

    def text(self) -> str:
        """All that is compiled. The compiler's messages count the lines of each part apart."""
        parts = {
            _COMMON.name: _COMMON.read_text(encoding="utf-8"),
            f"structs and constants of {self.source.name}": c_text(self.structs, self.defines),
            **{file.name: file.read_text(encoding="utf-8") for file in (*self.shared, self.source)},
        }
        return "".join(f'#line 1 "{name}"\n{part}\n' for name, part in parts.items())

    def compiled(self, target: Platform, architecture: str) -> bytes:
        """Machine code, from the cache where it is there."""
        ahead = self._ahead.pop(architecture, None)
        return self._compiled(target, architecture) if ahead is None else ahead.result()

    def _compiled(self, target: Platform, architecture: str) -> bytes:
        text, options = self.text(), target.options(architecture)
        return cached([target.version(), *options, text], lambda: target.compile(text, options, self.source.name))

    def _compile_others(self, target: Platform, architecture: str, device: int) -> None:
        """Begin with those that will be wanted soon, a thread each: the compiler does not hold Python's lock."""
        others = [each for each in self.soon if device not in each._reasons and architecture not in each._ahead]
        if others:
            pool = ThreadPoolExecutor(len(others), "compiling kernels")
            for each in others:
                each._ahead[architecture] = pool.submit(each._compiled, target, architecture)
            pool.shutdown(wait=False)

    def reason_against(self, device: torch.device, self_test: SelfTest | None = None) -> str:
        """Why it cannot be used on ``device``; empty if it can. The first call compiles and tests it."""
        if device.type != "cuda":
            return f"for CUDA and ROCm devices, not {device.type}"
        number = device.index if device.index is not None else torch.cuda.current_device()
        reason = self._reasons.get(number)
        return self._prepared(number, self_test) if reason is None else reason

    def _prepared(self, number: int, self_test: SelfTest | None) -> str:
        with _preparing:  # of threads that want it at the same time, one makes it ready
            if number not in self._reasons:
                self._reasons[number] = self._prepare(torch.device("cuda", number), self_test or self._self_test)
            return self._reasons[number]

    def on(self, number: int) -> Loaded:
        """The program on a device for which there is no :meth:`reason_against`."""
        return self._loaded[number]

    def launching(self, block: int, device: torch.device, params: ctypes.Structure) -> Callable[..., None]:
        """What launches kernels that take ``params``, as they are then, on ``device``: given a kernel's name, how many
        threads, in blocks of ``block``, and for how many things together, one unless given."""
        program, arguments, stream = self.on(device.index), parameters_of(params), current_stream(device.index)

        def launch(name: str, threads: int, together: int = 1) -> None:
            if threads:  # drivers refuse an empty grid
                program.launcher(name, (-(-threads // block), together, 1), block)(stream, arguments)

        return launch

    def attempt(self, device: torch.device, call: Callable[..., T], instead: Callable[..., T], *arguments: Any) -> T:
        """``call(*arguments)`` with ``device`` current.

        Or ``instead(*arguments)``, where that raises :class:`UnsuitedError`, where the program cannot be used, and when
        a launch fails: then it is used no more there."""
        number = device.index
        loaded: Loaded | None
        try:
            try:
                loaded = self._loaded[number]
            except KeyError:  # not asked about yet
                self.reason_against(device)
                loaded = self._loaded.get(number)
            if loaded is None or self._reasons.get(number):
                return instead(*arguments)
            if number == current_device():
                loaded.enter()
                return call(*arguments)
            with torch.cuda.device(device):
                loaded.enter()
                return call(*arguments)
        except UnsuitedError:
            pass
        except LaunchError as error:
            _count_failure()
            self._reasons[number] = _said(error)
            log.warning(
                "Torch Rasterizer: GPU kernels failed on %s, using PyTorch operators for %s (%s)",
                device,
                self._what,
                error,
            )
        return instead(*arguments)

    def _prepare(self, device: torch.device, self_test: SelfTest | None) -> str:
        """Compile, load and test on ``device``; returns what failed, or an empty string."""
        try:
            with torch.cuda.device(device):
                torch.empty(1, device=device)  # the driver needs PyTorch's context to load into
                target = platform()
                architecture = target.architecture(device)
                self._compile_others(target, architecture, device.index)
                code = self.compiled(target, architecture)
                module = target.load(code)
                functions = {name: target.function(module, name) for name in self.kernels}
                processors = torch.cuda.get_device_properties(device).multi_processor_count
                self._loaded[device.index] = Loaded(target, functions, processors, target.entrance())
                if self_test is not None:
                    self._test(self_test, code, target, device)
        except Exception as error:  # drivers and compilers fail in their own ways; none may cost the user the result
            _count_failure()
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

    def _test(self, self_test: SelfTest, code: bytes, target: Platform, device: torch.device) -> None:
        """Run a test, unless the same program has passed it on the same machine."""

        def run() -> None:
            with torch.device("cpu"):  # the user's default may be another, on which no test's numbers are made
                self_test(device)

        test = f"{self_test.__module__}.{self_test.__qualname__}"
        once(
            ["tested", self.source.name, test, hashlib.sha256(code).hexdigest(), _package(), *_machine(target, device)],
            run,
        )


def _count_failure() -> None:
    global failures
    failures += 1


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
