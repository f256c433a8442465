"""Colours spread in the plane of the texture: over gaps, and out into the gutters between charts.

By GPU kernels where they work, else by PyTorch's operators. Only this module imports :mod:`.kernels`, when a texture is
first filled on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...runtime.threads import on_own_threads
from ...runtime.wishes import kernels_allowed
from . import outward


@on_own_threads
def spread(texture: Tensor, known: Tensor, on_progress: Callable[[float], None] | None = None) -> Tensor:
    """Fill every texel that is not known from those that are.

    The first rings around known texels take the mean of their known neighbours, so that colours continue across the
    border under bilinear filtering; farther out, averages over ever larger squares (those of a mipmap) follow, so that
    no level of a mipmap sees an empty texel.

    Args:
        texture: ``[H, W, C]`` float32.
        known: ``[H, W]`` bool.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Returns:
        ``[H, W, C]``; all zeros if nothing is known.
    """
    return spread_into(texture.masked_fill(~known[..., None], 0), known, on_progress or (lambda share: None))


def spread_into(texture: Tensor, known: Tensor, report: Callable[[float], None]) -> Tensor:
    """As :func:`spread` of a texture that is zero where it is not known, in whose place the result comes."""
    device = texture.device
    if texture.requires_grad or not kernels_work(device):
        return outward.spread_into(texture, known, report)
    from . import kernels

    return kernels.PROGRAM.attempt(device, kernels.spread_into, outward.spread_into, texture, known, report)


def kernels_work(device: torch.device) -> bool:
    """Whether the GPU kernels work on ``device`` and are not forbidden. The first call compiles and tests them."""
    if device.type != "cuda" or not kernels_allowed():
        return False
    from . import kernels
    from .kernel_check import check_kernels

    return not kernels.PROGRAM.reason_against(device, check_kernels)
