"""Which way to bake: by GPU kernels where they work, else by PyTorch's operators.

Only this module imports :mod:`.kernels`, when a GPU is first baked on. They know the operators' modules, whose
definitions they follow, and these know of them through here alone.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import torch

from ...runtime.wishes import kernels_allowed

T = TypeVar("T")


def with_kernels(device: torch.device, call: Callable[[ModuleType], T | None]) -> T | None:
    """``call(kernels)`` where the kernels work on ``device`` and are not forbidden, else None, also where a launch
    fails. The first call compiles and tests them."""
    if not kernels_work(device):
        return None
    from . import kernels

    return kernels.PROGRAM.attempt(device, lambda: call(kernels), lambda: None)


def kernels_work(device: torch.device) -> bool:
    """Whether the GPU kernels work on ``device`` and are not forbidden."""
    if device.type != "cuda" or not kernels_allowed():
        return False
    from . import kernels
    from .kernel_check import check_kernels

    return not kernels.PROGRAM.reason_against(device, check_kernels)


def takes_kernels(device: torch.device, pixels: int, views: int, channels: int) -> bool:
    """Whether the GPU kernels are to bake so many pixels of all views; of a device without a number it is not known."""
    if (device.type == "cuda" and device.index is None) or not kernels_work(device):
        return False
    from . import kernels

    return kernels.suit(pixels, views, channels)
