"""Rasterization by :mod:`rasterizer.contract.diff_rule` and its gradient, as GPU kernels.

:mod:`.coverage` finds out which triangle is seen, ``rasterize.cu`` what follows from that. Everything stays on the
current stream and nothing here waits for the device. Kernels that have not passed a comparison with the eager path are
not used; on any failure the eager path is, and one log line says why.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ....contract import diff_rule
from ....gpu.platforms import Launch
from ....gpu.program import Kernel, Loaded, Program, current_stream
from ....gpu.structs import struct
from ...diff_interface import NO_LAYER
from ...eager.diff import rasterize as eager
from . import coverage
from .launching import SHARED, SHARED_DEFINES, address, aligned
from .rasterize_check import compare

_COLUMNS, _ROWS = 32, 8  # pixels of a block of `resolve`
_SIDE = 16  # the same of `backward`

_Gradient = struct(
    "Gradient",
    ("const float4*", "pos", "[images or 1, vertices] clip space"),
    ("const u32*", "tri", "[faces, 3]"),
    ("const float*", "rast", "[images, height, width, 4], of which the ids count"),
    ("const float*", "d_rast, d_db", "gradients of the images, of the first two channels and of all; one may be null"),
    ("float*", "grad", "shaped like pos"),
    ("u32", "first", "image"),
    ("u32", "stride", "vertices from one image to the next, 0 where they share them"),
    ("u32", "vertices, faces", ""),
    ("u32", "width, height", ""),
    ("u32", "across", "blocks in a row of them"),
    ("float", "offset", "what the area is farther from 0"),
)

PROGRAM = Program(
    Path(__file__).with_name("rasterize.cu"),
    ("resolve", "backward"),
    "rasterizing differentiably",
    structs=(coverage.Record, coverage.Params, _Gradient),
    defines={
        **coverage.SHARED_DEFINES,
        "COLUMNS": _COLUMNS,
        "ROWS": _ROWS,
        "SIDE": _SIDE,
        "NO_LAYER": NO_LAYER,
        **SHARED_DEFINES,
    },
    shared=(SHARED,),
    self_test=lambda device: compare(_run, _run_backward, device),
)
"""What follows from coverage; tested together with it."""

Drawn = tuple[Tensor, Tensor, "Tensor | None"]


def reason_against(device: torch.device) -> str:
    """Why the kernels cannot be used on ``device``; empty if they can. The first call compiles and tests them."""
    return coverage.PROGRAM.reason_against(device) or PROGRAM.reason_against(device)


def rasterize(
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None,
    behind: Tensor | None,
    keep_depth: bool,
) -> Drawn:
    """As :class:`rasterizer.backends.diff_interface.Rasterize`; falls back to the eager path when a launch fails."""
    return PROGRAM.attempt(pos.device, _run, eager.rasterize, pos, tri, resolution, ranges, behind, keep_depth)


def rasterize_backward(pos: Tensor, tri: Tensor, rast: Tensor, d_rast: Tensor | None, d_db: Tensor | None) -> Tensor:
    """As :class:`rasterizer.backends.diff_interface.RasterizeBackward`, added up in any order; falls back to the eager
    path when a launch fails."""
    return PROGRAM.attempt(pos.device, _run_backward, eager.rasterize_backward, pos, tri, rast, d_rast, d_db)


def _run(
    pos: Tensor,
    tri: Tensor,
    resolution: tuple[int, int],
    ranges: Tensor | None,
    behind: Tensor | None,
    keep_depth: bool,
) -> Drawn:
    pos, (height, width), faces = aligned(pos), resolution, tri.shape[0]
    spans = None if ranges is None else coverage.triangle_ranges(ranges, faces)
    images = pos.shape[0] if spans is None else len(spans)
    triangles = faces if spans is None else max(stop - start for start, stop in spans)
    call = coverage.Call(images, triangles, faces, pos.shape[-2], spans is not None, height, width)
    number = pos.device.index
    plan = coverage.plan_of(coverage.PROGRAM.on(number), call)
    resolvers = _resolvers(PROGRAM.on(number), plan)
    stream = current_stream(number)
    key = number, stream
    buffers = coverage.take(key, plan, pos.device)
    drawn = pos.data_ptr(), tri.data_ptr(), address(behind)
    rast = db = depth = None
    for one, params, arguments, resolve in zip(plan.passes, buffers.params, buffers.arguments, resolvers, strict=True):
        coverage.write_addresses(params, 0, *drawn)
        if spans is not None:
            some = spans[one.first : one.first + one.views]
            params.ranges[: 2 * len(some)] = list(itertools.chain.from_iterable(some))
        for launch in one.launches:
            launch(stream, arguments)
        if rast is None or db is None:  # while the device is at work
            rast = pos.new_empty((images, height, width, 4))
            db, depth = torch.empty_like(rast), tri.new_empty((images, height, width)) if keep_depth else None
        coverage.write_addresses(params, coverage.IMAGES, rast.data_ptr(), db.data_ptr(), address(depth))
        resolve(stream, arguments)
    assert rast is not None and db is not None, "a plan has passes"
    coverage.keep(key, buffers)
    return rast, db, depth


@lru_cache(maxsize=64)
def _resolvers(program: Loaded, plan: coverage.Plan) -> list[Launch]:
    """What reads each pass."""
    launches = []
    for one in plan.passes:
        rows, columns = one.size
        blocks = -(-columns // _COLUMNS), -(-rows // _ROWS), one.views
        launches.append(program.launcher("resolve", blocks, _COLUMNS * _ROWS))
    return launches


def _run_backward(pos: Tensor, tri: Tensor, rast: Tensor, d_rast: Tensor | None, d_db: Tensor | None) -> Tensor:
    number = pos.device.index
    program, stream = PROGRAM.on(number), current_stream(number)
    launches = _gradients(program, pos.shape, tri.shape[0], rast.shape)
    vertices, from_rast, from_db = pos.data_ptr(), address(d_rast), address(d_db)
    if (vertices | from_rast | from_db) & 15:
        pos, d_rast, d_db = (
            aligned(pos),
            d_rast if d_rast is None else aligned(d_rast),
            d_db if d_db is None else aligned(d_db),
        )
        vertices, from_rast, from_db = pos.data_ptr(), address(d_rast), address(d_db)
    grad = program.zeros_like(pos, stream)
    for launch in launches:
        launch(stream, vertices, tri.data_ptr(), rast.data_ptr(), from_rast, from_db, grad.data_ptr())
    return grad


@lru_cache(maxsize=64)
def _gradients(program: Loaded, shape: tuple[int, ...], faces: int, rast: tuple[int, ...]) -> list[Kernel]:
    """What launches `backward`, each time over so many images as a grid holds."""
    count, height, width, _ = rast
    across, most = -(-width // _SIDE), 65535

    def launch(first: int) -> Kernel:
        params = _Gradient(
            first=first,
            stride=shape[-2] if len(shape) == 3 else 0,
            vertices=shape[-2],
            faces=faces,
            width=width,
            height=height,
            across=across,
            offset=diff_rule.GRADIENT_OFFSET * width * height,
        )
        blocks = across * -(-height // _SIDE), min(most, count - first), 1
        return program.kernel("backward", blocks, _SIDE * _SIDE, params, "6P")

    return [launch(first) for first in range(0, count, most)]
