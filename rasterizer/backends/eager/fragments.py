"""Candidate pixels: what both layouts know of them, and where those that are covered go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.rule import DEPTH_STEPS, constant
from .zbuffer import PackedZBuffer, TwoPassZBuffer

BYTES_PER_PIXEL = 80
"""Peak working memory of one candidate pixel, ``tests/runtime/test_memory.py`` measures it."""

BYTES_PER_BLOCK = 130
"""The same of one box, beside its pixels."""

LEAST_DEPTH = -(1.0 - 2.0**-24) / DEPTH_STEPS
"""Least depth whose step is 0; what a prior lets through may be that small."""

NEAREST = -1e-30
"""Stands for a step of 0 that came out as 0.0 instead of -0.0, as that of a small negative depth does."""


@dataclass(frozen=True)
class Target:
    """Where fragments go.

    Attributes:
        zbuffer: receives them.
        size: image ``(height, width)``.
        threshold: ``[views*height*width]`` smallest depth that may be drawn, at least :data:`LEAST_DEPTH`, or None
            for 0.
        float64: whether the device has float64.
    """

    zbuffer: PackedZBuffer | TwoPassZBuffer
    size: tuple[int, int]
    threshold: Tensor | None
    float64: bool


def pixel_centres(first: Tensor, last: Tensor, count: int) -> Tensor:
    """Centres of ``count`` pixels along an axis, none beyond the last.

    Args:
        first: ``[P]`` first pixel, or ``[A, 1, P]`` along several axes.
        last: centre of the last one, likewise.
        count: how many.

    Returns:
        ``[count, P]`` or ``[A, count, P]`` float32; a pixel's index is its centre's integer part.
    """
    centres = constant(tuple(place + 0.5 for place in range(count)), first.device)[:, None]
    return torch.minimum(centres + first, last)
