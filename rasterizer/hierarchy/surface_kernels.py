"""Looking cells up and relaxing graphs as GPU kernels: one launch for what takes PyTorch up to a thousand operators.

They do what :mod:`.lookup` and :mod:`.relaxation` do, but sum in another order, so that both agree but for rounding.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..gpu.program import Program
from ..gpu.structs import struct
from .lookup import POOR, Grid
from .relaxation import factors

_THREADS = 256  # of a block, in every kernel

_Find = struct(
    "Find",
    ("const float*", "points, normals", "[points, 3]; normals may be null"),
    ("const float*", "positions, facing", "[cells of all, 3]"),
    ("const float*", "centre", "[3]"),
    ("const i64*", "keys, cells", "[size] as in Grid"),
    ("i64*", "found", "[points]"),
    ("i64", "count, size, resolution", "points, keys"),
    ("float", "half_side, cell_size", ""),
)

_Relax = struct(
    "Relax",
    ("const float*", "values", "[nodes, channels]"),
    ("float*", "step, moved", "[nodes, channels] the last step, and where the values come"),
    ("const i64*", "neighbors", "[nodes, width]"),
    ("const float*", "weights, free", "[nodes, width], [nodes]"),
    ("i64", "nodes, width, channels", ""),
    ("float", "keep, add", "see factors"),
)

PROGRAM = Program(
    Path(__file__).with_name("surface_kernels.cu"),
    ("find", "relax"),
    "colours along surfaces",
    structs=(_Find, _Relax),
    defines={"THREADS": _THREADS, "POOR": POOR},
)


def find(grid: Grid, points: Tensor, normals: Tensor | None) -> Tensor:
    """As :func:`.lookup.find`, of at least one cell."""
    device = points.device
    found = torch.empty(len(points), dtype=torch.int64, device=device)
    params = _Find(
        count=len(points),
        size=len(grid.keys),
        resolution=grid.resolution,
        half_side=grid.half_side,
        cell_size=grid.cell_size,
    )
    given = {  # kept until all is launched
        "points": points.contiguous(),
        "normals": None if normals is None else normals.contiguous(),
        "positions": grid.positions.contiguous(),
        "facing": grid.normals.contiguous(),
        "centre": grid.centre.contiguous(),
        "keys": grid.keys,
        "cells": grid.cells,
    }
    params.point(device, **given, found=found)
    PROGRAM.launching(_THREADS, device, params)("find", len(points))
    return found


def relax(values: Tensor, neighbors: Tensor, weights: Tensor, free: Tensor, effort: tuple[int, float]) -> Tensor:
    """As :func:`.relaxation.relax`."""
    device = values.device
    values, other = values.clone(memory_format=torch.contiguous_format), torch.empty_like(values)
    params = _Relax(nodes=len(values), width=neighbors.shape[1], channels=values.shape[1])
    given = {"neighbors": neighbors.contiguous(), "weights": weights.contiguous(), "free": free.contiguous()}
    step = torch.zeros_like(values)
    params.point(device, **given, step=step)
    launch = PROGRAM.launching(_THREADS, device, params)
    for params.keep, params.add in factors(*effort):
        params.point(device, values=values, moved=other)
        launch("relax", values.numel())
        values, other = other, values
    return values
