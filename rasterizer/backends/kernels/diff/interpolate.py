"""Interpolation of vertex attributes, their screen-space derivatives, and gradients, as GPU kernels.

``interpolate.cu`` holds the kernels and their design. Nothing here waits for the device.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ....gpu.platforms import Launch
from ....gpu.program import Loaded, Program, current_stream, parameters_of
from ....gpu.structs import struct
from ...eager.diff import interpolate as eager
from .launching import MOST_IMAGES, SHARED, SHARED_DEFINES, aligned

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
    random = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float32).to(device)

    ids = torch.randint(-1, 14, (2, 6, 9), generator=random).repeat_interleave(3, 1).repeat_interleave(4, 2)
    rast, rast_db = numbers(2, 18, 36, 4), numbers(2, 18, 36, 4)
    rast[..., 3] = ids.to(device)
    tri = torch.randint(-1, 30, (12, 3), generator=random, dtype=torch.int32).to(device)
    for attributes, every, chosen in (
        *((n, True, ()) for n in (1, 2, 3, 4, 7)),
        (6, False, (5, -1, 0, 5)),
        (3, False, ()),
    ):
        slopes = attributes if every else len(chosen)
        attr, d_out, d_da = numbers(2, 30, attributes), numbers(2, 18, 36, attributes), numbers(2, 18, 36, 2 * slopes)
        given = attr, rast, tri, rast_db, every, chosen
        _compare("out", _run(*given), eager.interpolate(*given))
        back = *given, d_out, d_da, (True, True, True)
        _compare("gradients", _run_backward(*back), eager.interpolate_backward(*back))


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
    arguments = attr, rast, tri, rast_db, every, chosen
    if _unsuited(*arguments):
        return eager.interpolate(*arguments)
    return PROGRAM.attempt(rast.device, _run, eager.interpolate, *arguments)


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
    given = attr, rast, tri, rast_db, every, chosen
    arguments = *given, d_out, d_da, wanted
    if _unsuited(*given):
        return eager.interpolate_backward(*arguments)
    return PROGRAM.attempt(rast.device, _run_backward, eager.interpolate_backward, *arguments)


def _unsuited(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: tuple[int, ...]
) -> bool:
    """Whether this is beyond the kernels, whose grids have their limits and are not empty."""
    images, height, width, _ = rast.shape
    return (
        len(chosen) > _CHOSEN
        or not 0 < images <= MOST_IMAGES
        or not 0 < height * width < 2**31
        or not attr.numel()
        or not tri.shape[0]
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """What follows from the sizes of a call alone."""

    template: bytes  # of _Params
    out: tuple[int, ...]
    da: tuple[int, ...]
    vectors: bool  # whether a vertex's attributes are read at once
    forward: Launch
    backward: Launch

    def params(self, attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None) -> ctypes.Structure:
        params = _Params.from_buffer_copy(self.template)
        params.attr, params.rast, params.tri = attr.data_ptr(), rast.data_ptr(), tri.data_ptr()
        params.db = None if rast_db is None else rast_db.data_ptr()
        return params


@lru_cache(maxsize=64)
def _plan(
    program: Loaded,
    attr: tuple[int, ...],
    rast: tuple[int, ...],
    triangles: int,
    every: bool,
    chosen: tuple[int, ...],
) -> _Plan:
    images, height, width, _ = rast
    vertices, attributes = attr[-2:]
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
    tiles = -(-height // _TILE) * -(-width // _TILE)
    return _Plan(
        template=bytes(params),
        out=(images, height, width, attributes),
        da=(images, height, width, 2 * slopes),
        vectors=own and attributes % 2 == 0,
        forward=program.launcher(name, (-(-height * width // pixels), images, 1), _THREADS),
        backward=program.launcher(f"backward_{attributes}" if own else "backward", (tiles, images, 1), _THREADS),
    )


def _run(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, every: bool, chosen: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    number = rast.device.index
    plan = _plan(PROGRAM.on(number), attr.shape, rast.shape, tri.shape[0], every, chosen)
    attr, rast, rast_db = _readable(plan, attr, rast, rast_db)
    out, da = rast.new_empty(plan.out), rast.new_empty(plan.da)
    params = plan.params(attr, rast, tri, rast_db)
    params.out, params.da = out.data_ptr(), da.data_ptr()
    plan.forward(current_stream(number), parameters_of(params))
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
    attr, rast, rast_db = _readable(plan, attr, rast, rast_db)
    d_attr = program.zeros_like(attr, stream) if wanted[0] else None
    d_rast, d_db = (torch.empty_like(rast) if each else None for each in wanted[1:])
    params = plan.params(attr, rast, tri, rast_db)
    if d_out is not None:
        d_out = aligned(d_out)
        params.d_out = d_out.data_ptr()
    if d_da is not None and d_da.numel():
        d_da = aligned(d_da)
        params.d_da = d_da.data_ptr()
    params.d_attr, params.d_rast, params.d_db = (
        None if gradient is None else gradient.data_ptr() for gradient in (d_attr, d_rast, d_db)
    )
    if any(wanted):
        plan.backward(stream, parameters_of(params))
    return d_attr, d_rast, d_db


def _readable(plan: _Plan, attr: Tensor, rast: Tensor, rast_db: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    return aligned(attr) if plan.vectors else attr, aligned(rast), None if rast_db is None else aligned(rast_db)
