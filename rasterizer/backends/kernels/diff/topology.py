"""Which vertex lies across each edge of a mesh, as GPU kernels. ``topology.cu`` holds them and their design."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ....gpu.program import Program, current_stream, parameters_of
from ....gpu.structs import struct
from ....runtime.devices import elsewhere
from ...eager.diff.topology import topology as by_operators
from .launching import SHARED, SHARED_DEFINES

_THREADS = 256
_BUCKET = 8  # entries of the table for the edges of a vertex, before others are taken
_MOST = (2**31 - 64) // 4  # triangles whose edges 32 bits can count, with room to spare


_Entry = struct(
    "Entry",
    ("u64", "key", "the edge's vertices; later the first triangle and its opposite vertex"),
    ("u64", "sum", "opposite vertices in the upper half, sides in the lower; later the second triangle, likewise"),
)

_Params = struct(
    "Params",
    ("const int*", "tri", "[triangles, 3]"),
    ("int*", "topology", "[triangles, 3]"),
    ("Entry*", "entries", "[room] all bits set before"),
    ("int*", "more", "1 if an edge has more than two sides, else all bits set"),
    ("u32", "sides, vertices, room", ""),
    ("u32", "buckets", "that room divides into"),
)


def _self_test(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators.

    Raises:
        RuntimeError: a vertex differs.
    """
    run = elsewhere(_run, device, torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    for vertices in (9, 400):  # most edges have many triangles; most have one or two
        tri = torch.randint(-1, vertices + 1, (600, 3), generator=random, dtype=torch.int32)
        wrong = int((run(tri, vertices) != by_operators(tri, vertices)).sum())
        if wrong:
            raise RuntimeError(f"self-test: {wrong} of {tri.numel()} vertices wrong")


PROGRAM = Program(
    Path(__file__).with_name("topology.cu"),
    ("enter", "pair_up", "elect_first", "elect_second", "settle"),
    "finding a mesh's edges",
    structs=(_Entry, _Params),
    defines={"THREADS": _THREADS, "BUCKET": _BUCKET, **SHARED_DEFINES},
    shared=(SHARED,),
    self_test=lambda device: _self_test(device),
)

reason_against = PROGRAM.reason_against


def topology(tri: Tensor, vertices: int) -> Tensor:
    """:class:`~rasterizer.backends.diff_interface.Topology`; falls back to PyTorch's operators for what the kernels do
    not suit, and when a launch fails."""
    if not 0 < tri.shape[0] <= _MOST:
        return by_operators(tri, vertices)
    return PROGRAM.attempt(tri.device, _run, by_operators, tri, vertices)


def _run(tri: Tensor, vertices: int) -> Tensor:
    number, sides = tri.device.index, tri.numel()
    program = PROGRAM.on(number)
    buckets = tri.shape[0] * 4 // _BUCKET + 1
    room = buckets * _BUCKET  # a quarter stays free even where no two triangles share an edge
    table = torch.full((2 * room + 1,), -1, dtype=torch.int64, device=tri.device)
    result = torch.empty_like(tri)
    params = _Params(
        tri=tri.data_ptr(),
        topology=result.data_ptr(),
        entries=table.data_ptr(),
        more=table.data_ptr() + 16 * room,
        sides=sides,
        vertices=vertices,
        room=room,
        buckets=buckets,
    )
    stream, arguments = current_stream(number), parameters_of(params)
    all_sides = -(-sides // _THREADS)
    for name in ("enter", "pair_up"):
        program.launcher(name, all_sides, _THREADS)(stream, arguments)
    for name in ("elect_first", "elect_second", "settle"):  # hardly ever have anything to do
        program.launcher(name, min(all_sides, 4 * program.processors), _THREADS)(stream, arguments)
    return result
