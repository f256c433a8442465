"""Pyramids of textures, the gradients that come back through them, and zeros for gradients, as GPU kernels.

``mipmaps.cu`` holds the kernels and their design. Nothing here waits for the device.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ....gpu.program import Kernel, Loaded, Program, UnsuitedError, current_stream
from ....gpu.structs import struct
from ....runtime.devices import elsewhere
from ...eager.diff import mipmaps as eager

MOST_LEVELS = 17
"""Of a pyramid: the longest side of a texture is 65536."""

MOST_DEEP = 65535
"""Blocks of a grid along z, and along y."""

_THREADS = 256  # of a block, in every kernel
_STEPS = 6  # in which a block's texels become one
_TILE = 1 << _STEPS  # their side

_Params = struct(
    "Params",
    ("float*", f"levels[{MOST_LEVELS}]", "[images, height, width, channels] each"),
    ("u64", "deep", "images * channels"),
    ("u32", "width, height, channels", "of the first"),
    ("u32", "count", "levels above it"),
)


def _self_test(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators, which round alike.

    Raises:
        RuntimeError: a value differs.
    """
    make, gather, zero = (elsewhere(each, device, torch.device("cpu")) for each in (_make, _gather, zeros_like_levels))
    random = torch.Generator().manual_seed(0)

    def numbers(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float32)

    for shape, levels in (
        ((2, 256, 128, 3), 8),
        ((1, 1, 32, 2), 5),
        ((1, 6, 12, 20, 1), 2),
        ((1, 6, 16, 16, 4), 3),
        ((1, 320, 64, 8), 6),
    ):
        tex = numbers(shape)
        made, expected = make(tex, levels), eager.mipmaps(tex, levels)
        gradients = [numbers(each.shape) for each in (tex, *made)]
        wanted = eager.mipmaps_backward([each.clone() for each in gradients])
        pairs = [*zip(made, expected, strict=True), (gather(gradients), wanted)]
        pairs += [(zeros, torch.zeros_like(zeros)) for zeros in zero(tex, levels)]
        wrong = sum(int((one != other).sum()) for one, other in pairs)
        if wrong:
            raise RuntimeError(f"self-test: {wrong} values wrong with {list(shape)}")


PROGRAM = Program(
    Path(__file__).with_name("mipmaps.cu"),
    (*(f"{kind}_{number}" for kind in ("halve", "spread") for number in range(1, 5)), "clear"),
    "mipmaps",
    structs=(_Params,),
    defines={"THREADS": _THREADS, "TILE": _TILE, "STEPS": _STEPS},
    self_test=lambda device: _self_test(device),
)


def mipmaps(tex: Tensor, levels: int) -> list[Tensor]:
    """:class:`~rasterizer.backends.diff_interface.Mipmaps`; falls back to PyTorch's operators for what the kernels do
    not suit, and when a launch fails."""
    return PROGRAM.attempt(tex.device, _make, eager.mipmaps, tex, levels)


def mipmaps_backward(gradients: list[Tensor]) -> Tensor:
    """:class:`~rasterizer.backends.diff_interface.MipmapsBackward`; falls back likewise."""
    return PROGRAM.attempt(gradients[0].device, _gather, eager.mipmaps_backward, gradients)


class Pyramid(NamedTuple):
    """What follows from the shape of a texture and the number of levels above it.

    Attributes:
        levels: shape, strides and offset of those above level 0 in one buffer, each on 16 bytes: one allocation takes a
            tenth of the time of ten.
        offsets: these offsets in bytes.
        floats: of that buffer.
        passes: in which they are made: first level, one past the last, launcher.
        spread, clear: launchers of the kernels of these names.
    """

    levels: list[tuple[tuple[int, ...], tuple[int, ...], int]]
    offsets: list[int]
    floats: int
    passes: list[tuple[int, int, Kernel]]
    spread: Kernel
    clear: Kernel

    def addresses(self, base: int, buffer: Tensor) -> list[int]:
        """Of all levels, given that of level 0 and the buffer of the others."""
        start = buffer.data_ptr()
        return [base, *[start + offset for offset in self.offsets]]

    def make(self, addresses: list[int], stream: int) -> None:
        """Compute the levels above level 0."""
        for first, stop, launch in self.passes:
            launch(stream, *addresses[first:stop])


def pyramid_of(tex: Tensor, levels: int) -> Pyramid:
    """For so many levels above a texture. Whoever launches its kernels sees to it that the texture's device is the
    current one, and that there is no reason against :data:`PROGRAM`.

    Raises:
        UnsuitedError: this is beyond the kernels. Those of larger grids than there are raise it when they are launched.
    """
    return _pyramid(PROGRAM.on(tex.device.index), tex.shape, levels)


@lru_cache(maxsize=64)
def _pyramid(program: Loaded, shape: tuple[int, ...], levels: int) -> Pyramid:
    *batch, height, width, channels = shape
    images = math.prod(batch)
    if 0 in shape or levels >= MOST_LEVELS:
        raise UnsuitedError
    together = next(number for number in (4, 3, 2, 1) if channels % number == 0)
    sides = [(max(1, height >> level), max(1, width >> level)) for level in range(levels + 1)]

    def kernel(name: str, level: int, count: int, blocks: tuple[int, int, int]) -> Kernel:
        """For a level and so many above it."""
        rows, columns = sides[level]
        params = _Params(width=columns, height=rows, channels=channels, count=count, deep=images * channels)
        return program.kernel(name, blocks, _THREADS, params, f"{count + 1}P")

    def by_tiles(kind: str, level: int, count: int) -> Kernel:
        if images * channels > MOST_DEEP:
            return _refused
        rows, columns = (-(-side // _TILE) for side in sides[level])
        return kernel(f"{kind}_{together}", level, count, (columns, rows, images * (channels // together)))

    places, end = [], 0
    for rows, columns in sides[1:]:
        each = *batch, rows, columns, channels
        strides = tuple(math.prod(each[place + 1 :]) for place in range(len(each)))
        places.append((each, strides, end))
        end += -(-math.prod(each) // 4) * 4
    firsts = {first: min(_STEPS, levels - first) for first in range(0, levels, _STEPS)}
    share = -(-math.prod(shape) // (16 * _THREADS))
    return Pyramid(
        levels=places,
        offsets=[4 * place for _, _, place in places],
        floats=end,
        passes=[(first, first + count + 1, by_tiles("halve", first, count)) for first, count in firsts.items()],
        spread=by_tiles("spread", 0, levels),
        clear=kernel("clear", 0, levels, (min(8 * program.processors, share), levels + 1, 1)),
    )


def _refused(stream: int, *addresses: int) -> None:
    raise UnsuitedError


def _make(tex: Tensor, levels: int) -> list[Tensor]:
    pyramid = pyramid_of(tex, levels)
    buffer = tex.new_empty(pyramid.floats)
    pyramid.make(pyramid.addresses(tex.data_ptr(), buffer), current_stream(tex.device.index))
    return [buffer.as_strided(*place) for place in pyramid.levels]


def _gather(gradients: list[Tensor]) -> Tensor:
    base, *others = gradients
    if others:
        launch = pyramid_of(base, len(others)).spread
        launch(current_stream(base.device.index), *[each.data_ptr() for each in gradients])
    return base


def zeros_like_levels(tex: Tensor, levels: int) -> list[Tensor]:
    """Zeros shaped like ``tex`` and so many levels above it; each with memory of its own, as operators must not return
    views of one another.

    Its device must be the current one, and there no reason against :data:`PROGRAM`. A launch may fail.
    """
    pyramid = pyramid_of(tex, levels)
    made = [torch.empty_like(tex), *(tex.new_empty(shape) for shape, _, _ in pyramid.levels)]
    pyramid.clear(current_stream(tex.device.index), *[level.data_ptr() for level in made])
    return made
