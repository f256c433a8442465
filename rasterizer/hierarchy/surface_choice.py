"""Which way to look cells up and to relax graphs: by GPU kernels where they work, else by PyTorch's operators.

Only this module imports :mod:`.surface_kernels`, when a GPU is first used.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..runtime.wishes import kernels_allowed
from . import lookup, relaxation


def find(grid: lookup.Grid, points: Tensor, normals: Tensor | None) -> Tensor:
    """:func:`.lookup.find`."""
    device = points.device
    if not (kernels_work(device) and len(grid.keys)):
        return lookup.find(grid, points, normals)
    from . import surface_kernels as kernels

    return kernels.PROGRAM.attempt(device, kernels.find, lookup.find, grid, points, normals)


def relax(values: Tensor, neighbors: Tensor, weights: Tensor, free: Tensor, effort: tuple[int, float]) -> Tensor:
    """:func:`.relaxation.relax`."""
    asked = values, neighbors, weights, free, effort
    if values.requires_grad or not kernels_work(values.device):
        return relaxation.relax(*asked)
    from . import surface_kernels as kernels

    return kernels.PROGRAM.attempt(values.device, kernels.relax, relaxation.relax, *asked)


def kernels_work(device: torch.device) -> bool:
    """Whether the GPU kernels work on ``device`` and are not forbidden. The first call compiles and tests them."""
    if device.type != "cuda" or not kernels_allowed():
        return False
    from . import surface_kernels as kernels
    from .surface_kernel_check import check_kernels

    return not kernels.PROGRAM.reason_against(device, check_kernels)
