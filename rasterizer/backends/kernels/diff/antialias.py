"""Antialiasing of silhouettes, and gradients, as GPU kernels.

``antialias.cu`` holds the kernels and their design. Nothing here waits for the device. The image is the same bit for
bit each time, and so is the gradient of the colours.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ....gpu.program import Kernel, Loaded, Program, UnsuitedError, current_stream
from ....gpu.structs import struct
from ....runtime.devices import elsewhere
from ...eager.diff import antialias as eager
from ...eager.diff.topology import topology
from .launching import MOST_IMAGES, SHARED, SHARED_DEFINES, address, aligned

_THREADS = 256
_ACROSS, _DOWN = 32, 16  # pixels of a tile; a row has a bit each in a word


_Params = struct(
    "Params",
    ("const float*", "color", "[images, height, width, channels]"),
    ("const float*", "rast", "[images, height, width, 4]"),
    ("const float4*", "pos", "[vertices], or one such table an image"),
    ("const int*", "tri, topology", "[triangles, 3]"),
    ("float*", "out", "[images, height, width, channels]"),
    ("u32*", "crossed", "[images, height, tiles, 2] bits of pairs to the right and downward, or null for the backward"),
    ("const float*", "d_out", "gradient of out"),
    ("float*", "d_color, d_pos", "gradients of those, or null; the second is all 0 before"),
    ("u64", "table", "vertices from one image's table to the next, 0 where there is one for all"),
    ("int", "width, height", ""),
    ("u32", "tiles", "of a row of them"),
    ("u32", "channels, triangles, vertices", ""),
    ("u32", "pixels", "of an image"),
    ("int", "fours", "whether rows of tiles are multiples of 16 bytes, and lie on such"),
)


def _self_test(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators, on triangles that have nothing to do with the pixels that they are
    shown at: so silhouettes are crossed in every way.

    Raises:
        RuntimeError: a value differs.
    """
    run, run_backward = (elsewhere(each, device, torch.device("cpu")) for each in (_run, _run_backward))
    random = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random, dtype=torch.float32)

    tri = torch.randint(-1, 40, (90, 3), generator=random, dtype=torch.int32)
    pos = torch.cat((numbers(2, 40, 3) * 2 - 1, numbers(2, 40, 1) + 0.5), 2)
    rast = numbers(2, 37, 68, 4)
    rast[..., 3] = (
        torch.randint(-9, 92, (2, 19, 34), generator=random).repeat_interleave(2, 1)[:, :37].repeat_interleave(2, 2)
    )
    for channels, width in ((3, 68), (1, 67)):
        color, d_out = (numbers(2, 37, width, channels) for _ in range(2))
        given = color, rast[:, :, :width].contiguous(), pos, tri, topology(tri, 40)
        out, crossed = run(*given)
        expected, _ = eager.antialias(*given)
        _compare("image", out, expected)
        gradients = eager.antialias_backward(*given, None, d_out, (True, True))
        for work in (crossed, None):
            for found, other in zip(run_backward(*given, work, d_out, (True, True)), gradients, strict=True):
                _compare("gradient", found, other)


def _compare(what: str, found: Tensor | None, expected: Tensor | None) -> None:
    if found is not None and expected is not None:
        error = float((found - expected).abs().max() / expected.abs().max())
        if not error < 1e-4:
            raise RuntimeError(f"self-test: {what} off by {error:.1e}")


PROGRAM = Program(
    Path(__file__).with_name("antialias.cu"),
    ("antialias", "antialias_backward"),
    "antialiasing",
    structs=(_Params,),
    defines={"THREADS": _THREADS, "ACROSS": _ACROSS, "DOWN": _DOWN, **SHARED_DEFINES},
    shared=(SHARED,),
    self_test=lambda device: _self_test(device),
)

reason_against = PROGRAM.reason_against


def antialias(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor) -> tuple[Tensor, Tensor | None]:
    """:class:`~rasterizer.backends.diff_interface.Antialias`; falls back to PyTorch's operators for what the kernels do
    not suit, and when a launch fails."""
    return PROGRAM.attempt(color.device, _run, eager.antialias, color, rast, pos, tri, topology)


def antialias_backward(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    topology: Tensor,
    work: Tensor | None,
    d_out: Tensor,
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """:class:`~rasterizer.backends.diff_interface.AntialiasBackward`; falls back likewise."""
    given = color, rast, pos, tri, topology, work, d_out, wanted
    return PROGRAM.attempt(color.device, _run_backward, eager.antialias_backward, *given)


class _Plan(NamedTuple):
    """What follows from the sizes of a call alone."""

    crossed: tuple[int, ...]
    alignment: int  # in bytes less 1, of colours
    forward: Kernel
    backward: Kernel


@lru_cache(maxsize=64)
def _plan(program: Loaded, color: tuple[int, ...], pos: tuple[int, ...], triangles: int) -> _Plan:
    """
    Raises:
        UnsuitedError: this is beyond the kernels, whose grids have their limits and are not empty.
    """
    images, height, width, channels = color
    if (
        not 0 < images <= MOST_IMAGES
        or not 0 < height * width < 2**31 - 64 * max(height, width)
        or not 0 < channels < 2**24
        or not triangles
        or 0 in pos
    ):
        raise UnsuitedError
    tiles = -(-width // _ACROSS)
    fours = width * channels % 4 == 0
    params = _Params(
        table=pos[1] if len(pos) == 3 and pos[0] > 1 else 0,
        width=width,
        height=height,
        tiles=tiles,
        channels=channels,
        triangles=triangles,
        vertices=pos[-2],
        pixels=height * width,
        fours=fours,
    )
    blocks = (tiles * -(-height // _DOWN), images, 1)
    return _Plan(
        crossed=(images, height, tiles, 2),
        alignment=15 if fours else 0,
        forward=program.kernel("antialias", blocks, _THREADS, params, "7P"),
        backward=program.kernel("antialias_backward", blocks, _THREADS, params, "10P"),
    )


def _run(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology: Tensor) -> tuple[Tensor, Tensor]:
    number = color.device.index
    plan = _plan(PROGRAM.on(number), color.shape, pos.shape, tri.shape[0])
    colors, image, vertices = color.data_ptr(), rast.data_ptr(), pos.data_ptr()
    if (colors & plan.alignment) | ((image | vertices) & 15):
        color, rast, pos = aligned(color), aligned(rast), aligned(pos)
        colors, image, vertices = color.data_ptr(), rast.data_ptr(), pos.data_ptr()
    out, crossed = torch.empty_like(color), tri.new_empty(plan.crossed)
    given = colors, image, vertices, tri.data_ptr(), topology.data_ptr()
    plan.forward(current_stream(number), *given, out.data_ptr(), crossed.data_ptr())
    return out, crossed


def _run_backward(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    topology: Tensor,
    work: Tensor | None,
    d_out: Tensor,
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    number = color.device.index
    program, stream = PROGRAM.on(number), current_stream(number)
    plan = _plan(program, color.shape, pos.shape, tri.shape[0])
    image, vertices, upstream = rast.data_ptr(), pos.data_ptr(), d_out.data_ptr()
    if (upstream & plan.alignment) | ((image | vertices) & 15):
        rast, pos, d_out = aligned(rast), aligned(pos), aligned(d_out)
        image, vertices, upstream = rast.data_ptr(), pos.data_ptr(), d_out.data_ptr()
    if work is not None and (work.dtype != torch.int32 or work.shape != plan.crossed):
        work = None  # that of operators is another
    for_color, for_pos = wanted
    d_color, d_pos = (
        torch.empty_like(color) if for_color else None,
        program.zeros_like(pos, stream) if for_pos else None,
    )
    if for_color or for_pos:
        given = color.data_ptr(), image, vertices, tri.data_ptr(), topology.data_ptr(), 0, address(work), upstream
        plan.backward(stream, *given, address(d_color), address(d_pos))
    return d_color, d_pos
