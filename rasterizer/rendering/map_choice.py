"""Which way to make maps: by GPU kernels where they work, else by PyTorch's operators.

Only this module imports :mod:`.map_kernels`, when maps are first made on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor

from ..runtime.wishes import kernels_allowed

T = TypeVar("T")


def with_kernels(vertices: Tensor, call: Callable[[ModuleType], T | None]) -> T | None:
    """``call(kernels)`` where the kernels work on the vertices' device and are not forbidden, and no gradient is wanted
    of them; else None, also where a launch fails. The first call compiles and tests them."""
    if (vertices.requires_grad and torch.is_grad_enabled()) or not kernels_work(vertices.device):
        return None
    from . import map_kernels

    return map_kernels.PROGRAM.attempt(vertices.device, lambda: call(map_kernels), lambda: None)


def kernels_work(device: torch.device) -> bool:
    """Whether the GPU kernels work on ``device`` and are not forbidden."""
    if device.type != "cuda" or not kernels_allowed():
        return False
    from .map_kernel_check import check_kernels
    from .map_kernels import PROGRAM

    return not PROGRAM.reason_against(device, check_kernels)
