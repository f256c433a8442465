"""Building a hierarchy: on which device, and by which of the two ways.

:mod:`.operators` and :mod:`.kernels` each offer ``build``, with the same arguments and the same result to the last bit,
and know nothing of each other. Only this module knows that there are two. It imports them when one is built: ComfyUI's
start, which imports this module, needs neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ..runtime.devices import double_device
from ..runtime.wishes import kernels_allowed
from .surface_samples import Views

if TYPE_CHECKING:
    from .level import Built


def build(
    views: Views,
    levels: int,
    resolution: int,
    *,
    split_sides: bool = False,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Built:
    """Build ``levels`` levels over the surfaces that ``views`` show, the finest at ``resolution``.

    Args:
        views: of the surface; the result is on their device.
        levels: how many, see :func:`check_levels`.
        resolution: cells along a side of the cube at the finest level.
        split_sides: give samples that share a finest cell but face away from its first one a cell of their own.
        on_progress: called with the share done; may raise to stop.

    Raises:
        ValueError: a valid pixel holds a position that is NaN or far outside the cube.
    """
    from . import kernels, operators

    home = views.positions[0].device
    device = double_device(home)
    request = (views.to(device), levels, resolution, split_sides, on_progress)
    with torch.no_grad():
        if kernels_work(device) and kernels.suit(*request[:3]):
            built = kernels.PROGRAM.attempt(device, lambda: kernels.build(*request), lambda: None)
            if built is not None:
                return built.to(home)
        return operators.build(*request).to(home)


def kernels_work(device: torch.device) -> bool:
    """Whether the GPU kernels work on ``device`` and are not forbidden. The first call compiles and tests them."""
    if device.type != "cuda" or not kernels_allowed():
        return False
    from . import kernels
    from .kernel_check import check_kernels

    return not kernels.PROGRAM.reason_against(device, check_kernels)


def check_levels(levels: int, resolution: int, name: str) -> None:
    """
    Raises:
        ValueError: ``levels`` levels cannot be halved from ``resolution``.
    """
    if resolution >> (levels - 1) < 1:
        raise ValueError(
            f"{name}: is {levels}, expected at most {resolution.bit_length()} for a resolution of {resolution}, "
            "which is halved from level to level"
        )
