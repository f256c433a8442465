"""Interpolation of vertex attributes, their screen-space derivatives, and gradients, as GPU kernels.

``interpolate.cu`` holds the kernels and their design. Nothing here waits for the device.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ....gpu.program import Kernel, Loaded, Program, UnsuitedError, current_stream
from ....gpu.structs import struct
from ....runtime.devices import elsewhere
from ...eager.diff import interpolate as eager
from .launching import MOST_IMAGES, SHARED, SHARED_DEFINES, address, aligned

Gradients = tuple["Tensor | None", "Tensor | None", "Tensor | None"]

_THREADS = 256  # of a block, in every kernel
_FEW = 128  # pixels of a block of the kernel that has a thread for each number
_TILE = 16  # side of a block's pixels in the backward kernels
_CHOSEN = 32  # attributes to differentiate at most, unless it is all
_OWN = 4  # up to so many attributes have kernels of their own


_Params = struct(
    "Params",
    ("const float*", "attr", "[vertices, attributes], or one such table an image"),
    ("const float4*", "rast", "[images, height, width]"),
    ("const float4*", "db", "[images, height, width], if there are derivatives"),
    ("const int*", "tri", "[triangles, 3]"),
    ("float*", "out", "[images, height, width, attributes]"),
    ("float*", "da", "[images, height, width, 2 * chosen_count]"),
    ("const float*", "d_out, d_da", "gradients of these, or null"),
    ("float*", "d_attr, d_rast, d_db", "gradients of those, or null; the first is all 0 before"),
    ("u64", "table", "floats from one image's table to the next, 0 where there is one for all"),
    ("u32", "pixels, width", "of an image"),
    ("u32", "triangles, vertices, attributes", ""),
    ("u32", "chosen_count", "attributes to differentiate"),
    ("int", f"chosen[{_CHOSEN}]", "which, -1 for none, unless"),
    ("int", "every", ""),
    ("u32", "across", "tiles of a row of them"),
)


def _self_test(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators, for each number of attributes that has its own and for more.

    Raises:
        RuntimeError: a value differs.
    """
    run, run_backward = (elsewhere(each, device, torch.device("cpu")) for each in (_run, _run_backward))
    random = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float32)

    ids = torch.randint(-1, 14, (2, 6, 9), generator=random).repeat_interleave(3, 1).repeat_interleave(4, 2)
    rast, rast_db = numbers(2, 18, 36, 4), numbers(2, 18, 36, 4)
    rast[..., 3] = ids
    tri = torch.randint(-1, 30, (12, 3), generator=random, dtype=torch.int32)
    for attributes, every, chosen in (
        *((n, True, ()) for n in (1, 2, 3, 4, 7)),
        (6, False, (5, -1, 0, 5)),
        (3, False, ()),
    ):
        slopes = attributes if every else len(chosen)
        attr, d_out, d_da = numbers(2, 30, attributes), numbers(2, 18, 36, attributes), numbers(2, 18, 36, 2 * slopes)
        given = attr, rast, tri, rast_db, every, chosen
        _compare("out", run(*given), eager.interpolate(*given))
        back = *given, d_out, d_da, (True, True, True)
        _compare("gradients", run_backward(*back), eager.interpolate_backward(*back))


def _compare(what: str, found: tuple[Tensor | None, ...], expected: tuple[Tensor | None, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        if one is not None and other is not None and not torch.allclose(one, other, rtol=1e-4, atol=1e-4):
            raise RuntimeError(f"self-test: {what} off by {float((one - other).abs().max()):.1e}")


PROGRAM = Program(
    Path(__file__).with_name("interpolate.cu"),
    (
        *(f"interpolate_{number}{ending}" for ending in ("", "_slopes") for number in range(1, _OWN + 1)),
        *(f"backward_{number}" for number in range(1, _OWN + 1)),
        *("interpolate", "backward"),
    ),
    "interpolating",
    structs=(_Params,),
    defines={"THREADS": _THREADS, "FEW": _FEW, "TILE": _TILE, **SHARED_DEFINES},
    shared=(SHARED,),
    self_test=lambda device: _self_test(device),
)

reason_against = PROGRAM.reason_against


def interpolate(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """:class:`~rasterizer.backends.diff_interface.Interpolate`; falls back to PyTorch's operators for what the kernels
    do not suit, and when a launch fails."""
    return PROGRAM.attempt(rast.device, _run, eager.interpolate, attr, rast, tri, rast_db, every, chosen)


def interpolate_backward(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    every: bool,
    chosen: tuple[int, ...],
    d_out: Tensor | None,
    d_da: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> Gradients:
    """:class:`~rasterizer.backends.diff_interface.InterpolateBackward`; falls back likewise."""
    given = attr, rast, tri, rast_db, every, chosen, d_out, d_da, wanted
    return PROGRAM.attempt(rast.device, _run_backward, eager.interpolate_backward, *given)


class _Plan(NamedTuple):
    """What follows from the sizes of a call alone."""

    out: tuple[int, ...]
    da: tuple[int, ...]
    alignment: int  # in bytes less 1, of a table of attributes
    forward: Kernel
    backward: Kernel


@lru_cache(maxsize=64)
def _plan(
    program: Loaded,
    attr: tuple[int, ...],
    rast: tuple[int, ...],
    triangles: int,
    every: bool,
    chosen: tuple[int, ...],
) -> _Plan:
    """
    Raises:
        UnsuitedError: this is beyond the kernels, whose grids have their limits and are not empty.
    """
    images, height, width, _ = rast
    vertices, attributes = attr[-2:]
    if (
        len(chosen) > _CHOSEN
        or not 0 < images <= MOST_IMAGES
        or not 0 < height * width < 2**31
        or 0 in attr
        or not triangles
    ):
        raise UnsuitedError
    slopes = attributes if every else len(chosen)
    own = attributes <= _OWN and not chosen
    params = _Params(
        table=vertices * attributes if len(attr) == 3 and attr[0] > 1 else 0,
        pixels=height * width,
        width=width,
        triangles=triangles,
        vertices=vertices,
        attributes=attributes,
        chosen_count=slopes,
        chosen=(ctypes.c_int * _CHOSEN)(*chosen),
        every=every,
        across=-(-width // _TILE),
    )
    name, pixels = (f"interpolate_{attributes}{'_slopes' * every}", _THREADS) if own else ("interpolate", _FEW)
    blocks = -(-height * width // pixels), images, 1
    tiles = -(-height // _TILE) * -(-width // _TILE), images, 1
    back = f"backward_{attributes}" if own else "backward"
    return _Plan(
        out=(images, height, width, attributes),
        da=(images, height, width, 2 * slopes),
        alignment=15 if own and attributes % 2 == 0 else 0,  # then a vertex's are read at once
        forward=program.kernel(name, blocks, _THREADS, params, "6P"),
        backward=program.kernel(back, tiles, _THREADS, params, "11P"),
    )


def _run(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    number = rast.device.index
    _, _, alignment, launch, _ = plan = _plan(PROGRAM.on(number), attr.shape, rast.shape, tri.shape[0], every, chosen)
    table, image, slopes = attr.data_ptr(), rast.data_ptr(), address(rast_db)
    if (table & alignment) | ((image | slopes) & 15):
        attr, rast, rast_db = aligned(attr), aligned(rast), None if rast_db is None else aligned(rast_db)
        table, image, slopes = attr.data_ptr(), rast.data_ptr(), address(rast_db)
    out, da = rast.new_empty(plan.out), rast.new_empty(plan.da)
    launch(current_stream(number), table, image, slopes, tri.data_ptr(), out.data_ptr(), da.data_ptr())
    return out, da


def _run_backward(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    every: bool,
    chosen: tuple[int, ...],
    d_out: Tensor | None,
    d_da: Tensor | None,
    wanted: tuple[bool, bool, bool],
) -> Gradients:
    number = rast.device.index
    program, stream = PROGRAM.on(number), current_stream(number)
    plan = _plan(program, attr.shape, rast.shape, tri.shape[0], every, chosen)
    table, image, slopes = attr.data_ptr(), rast.data_ptr(), address(rast_db)
    from_out, from_da = address(d_out), address(d_da)
    if (table & plan.alignment) | ((image | slopes | from_out | from_da) & 15):
        attr, rast = aligned(attr), aligned(rast)
        rast_db, d_out, d_da = (None if each is None else aligned(each) for each in (rast_db, d_out, d_da))
        table, image, slopes = attr.data_ptr(), rast.data_ptr(), address(rast_db)
        from_out, from_da = address(d_out), address(d_da)
    for_attr, for_rast, for_db = wanted
    d_attr = program.zeros_like(attr, stream) if for_attr else None
    d_rast, d_db = torch.empty_like(rast) if for_rast else None, torch.empty_like(rast) if for_db else None
    if for_attr or for_rast or for_db:
        given = table, image, slopes, tri.data_ptr(), 0, 0, from_out, from_da
        plan.backward(stream, *given, address(d_attr), address(d_rast), address(d_db))
    return d_attr, d_rast, d_db
