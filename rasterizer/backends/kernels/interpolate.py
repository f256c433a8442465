"""Interpolation of vertex attributes as one GPU kernel."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...gpu.program import Program, current_stream, parameters_of
from ...gpu.structs import struct
from ...runtime.devices import elsewhere
from ..eager.interpolate import interpolate as by_operators

_THREADS = 256


_Params = struct(
    "Params",
    ("const float*", "col", "[vertices, channels], or one such table a view"),
    ("const int*", "findices", "[pixels], 0 = background"),
    ("const float*", "barycentric", "[pixels, 3]"),
    ("const void*", "tri", "[faces, 3] int32 or int64"),
    ("float*", "out", "[pixels, channels]"),
    ("u64", "table", "floats from one view's table to the next, 0 where there is one for all"),
    ("u32", "pixels", "of all views"),
    ("u32", "view_pixels, channels, faces, vertices", ""),
    ("int", "tri_is_64", ""),
)


def _self_test(device: torch.device) -> None:
    """Compare the kernel with PyTorch's operators.

    Raises:
        RuntimeError: a value differs.
    """
    run = elsewhere(_run, device, torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    col = torch.rand(2, 9, 5, generator=random, dtype=torch.float32)
    tri = torch.randint(9, (7, 3), generator=random)
    findices = torch.randint(8, (2, 6, 11), generator=random, dtype=torch.int32)
    weights = torch.rand(2, 6, 11, 3, generator=random, dtype=torch.float32) * (findices > 0)[..., None]
    wrong = int((run(col, findices, weights, tri) != by_operators(col, findices, weights, tri)).sum())
    if wrong:
        raise RuntimeError(f"self-test: {wrong} values wrong")


PROGRAM = Program(
    Path(__file__).with_name("interpolate.cu"),
    ("interpolate",),
    "interpolating",
    structs=(_Params,),
    defines={"THREADS": _THREADS},
    self_test=lambda device: _self_test(device),
)


reason_against = PROGRAM.reason_against


def interpolate(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor, budget: int = 0) -> Tensor:
    """As :func:`rasterizer.backends.eager.interpolate.interpolate`; falls back to it for what the kernel does not suit,
    and when a launch fails."""
    if col.dtype in (torch.float16, torch.bfloat16) and barycentric.dtype == torch.float32:
        col = col.to(torch.float32)  # a number for each vertex, and the same products as of operators
    arguments = (col, findices, barycentric, tri)
    if _unsuited(*arguments):
        return by_operators(*arguments, budget)
    return PROGRAM.attempt(col.device, lambda: _run(*arguments), lambda: by_operators(*arguments, budget))


def _unsuited(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> bool:
    """Whether this is beyond the kernel, which is for float32, and for images and tables that 32 bits can count, with
    something in them."""
    return (
        col.dtype != torch.float32
        or barycentric.dtype != torch.float32
        or not (0 < findices.numel() < 2**31 and 0 < col.numel() < 2**31 and tri.shape[0])
    )


def _run(col: Tensor, findices: Tensor, barycentric: Tensor, tri: Tensor) -> Tensor:
    """``[B, H, W, C]`` from ``[1 or B, N, C]``, ``[B, H, W]``, ``[B, H, W, 3]`` and checked faces ``[M, 3]``."""
    col, weights = col.contiguous(), barycentric.contiguous()
    images = findices.to(torch.int32).contiguous()
    faces = (tri if tri.dtype in (torch.int32, torch.int64) else tri.to(torch.int32)).contiguous()
    tables, vertices, channels = col.shape
    out = torch.empty((*images.shape, channels), dtype=torch.float32, device=col.device)
    params = _Params(
        col=col.data_ptr(),
        findices=images.data_ptr(),
        barycentric=weights.data_ptr(),
        tri=faces.data_ptr(),
        out=out.data_ptr(),
        table=vertices * channels if tables > 1 else 0,
        pixels=images.numel(),
        view_pixels=images[0].numel(),
        channels=channels,
        faces=len(faces),
        vertices=vertices,
        tri_is_64=faces.dtype == torch.int64,
    )
    number = col.device.index
    launch = PROGRAM.on(number).launcher("interpolate", -(-images.numel() // _THREADS), _THREADS)
    launch(current_stream(number), parameters_of(params))
    return out
