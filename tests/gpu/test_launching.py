"""Kernels whose parameters are kept ready: every launch has its own, whoever else launches meanwhile."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from rasterizer.gpu.platforms import LaunchError
from rasterizer.gpu.program import Kernel, Loaded
from rasterizer.gpu.structs import struct

Params = struct("Params", ("float*", "one, two, three", ""), ("u32", "size, count", ""))


class Recorder:
    """A platform that notes what it is to launch, and meanwhile does what it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def launcher(self, function: object, blocks: tuple[int, int, int], threads: int) -> Callable[..., None]:
        def launch(stream: int, arguments: ctypes.Array) -> None:
            now, self.meanwhile = self.meanwhile, lambda: None
            now()
            params = Params.from_address(arguments[0])
            self.seen.append((stream, params.one, params.two, params.three, params.size, params.count))

        return launch


def _kernel(addresses: str) -> tuple[Recorder, Kernel]:
    platform = Recorder()
    loaded: Any = Loaded(platform, {"name": ctypes.c_void_p(1)}, 8)  # type: ignore[arg-type]
    return platform, loaded.kernel("name", 3, 32, Params(three=9, size=5, count=7), addresses)


def test_what_is_known_beforehand_stays() -> None:
    platform, launch = _kernel("2P")
    launch(4, 16, 2**64 - 16)
    launch(4, 0, 32)
    assert platform.seen == [(4, 16, 2**64 - 16, 9, 5, 7), (4, None, 32, 9, 5, 7)]


def test_launches_at_once_have_parameters_of_their_own() -> None:
    platform, launch = _kernel("3P")
    platform.meanwhile = lambda: launch(1, 48, 48, 48)
    launch(2, 16, 16, 16)
    assert platform.seen == [(1, 48, 48, 48, 5, 7), (2, 16, 16, 16, 5, 7)]


def test_a_launch_that_fails_leaves_nothing_behind() -> None:
    platform, launch = _kernel("3P")

    def fail() -> None:
        raise LaunchError("no")

    platform.meanwhile = fail
    for _ in range(2):
        try:
            launch(1, 48, 48, 48)
        except LaunchError:
            continue
    assert platform.seen == [(1, 48, 48, 48, 5, 7)]
