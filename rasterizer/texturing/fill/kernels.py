"""Colours spread outward as GPU kernels; they do what :mod:`.outward` does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ...gpu.program import Program, UnsuitedError
from ...gpu.structs import struct
from .outward import RINGS

_THREADS = 256  # of a block, in every kernel
_UNKNOWN = 255  # number of a texel's ring until it has one

_Plane = struct(
    "Plane",
    ("const unsigned char*", "known", "[height, width] 0 or 1"),
    ("unsigned char*", "ring", "[height, width] of the texture; null for smaller images"),
    ("float*", "image, coarse", "[height, width, channels], and of half the size"),
    ("float*", "share, coarse_share", "[height, width] above 0 where something is known; null for the texture"),
    ("u32", "height, width", ""),
    ("u32", "rows, columns", "of the coarse image"),
    ("u32", "channels, number", "the ring that is at work"),
)

PROGRAM = Program(
    Path(__file__).with_name("kernels.cu"),
    ("begin", "grow", "pull", "push"),
    "filling textures",
    structs=(_Plane,),
    defines={"THREADS": _THREADS, "RINGS": RINGS, "UNKNOWN": _UNKNOWN},
)


def spread_into(texture: Tensor, known: Tensor, report: Callable[[float], None]) -> Tensor:
    """As :func:`.outward.spread_into`.

    Raises:
        UnsuitedError: 32 bits cannot count the texture's numbers.
    """
    (height, width, channels), device = texture.shape, texture.device
    if not 0 < texture.numel() < 2**31:
        raise UnsuitedError
    sizes = [(height, width)]
    while sizes[-1] != (1, 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    ring = torch.empty((height, width), dtype=torch.uint8, device=device)
    images = [texture, *(texture.new_empty((*size, channels)) for size in sizes[1:])]
    shares = [None, *(texture.new_empty(size) for size in sizes[1:])]
    known = known.contiguous()
    params = _Plane(height=height, width=width, channels=channels)
    params.point(device, known=known, ring=ring, image=texture)
    launch = PROGRAM.launching(_THREADS, device, params)
    launch("begin", height * width)
    for params.number in range(1, RINGS + 1):
        launch("grow", height * width)
    report(0.5)
    levels = list(zip(pairwise(sizes), pairwise(images), pairwise(shares), strict=True))

    def describe(level: int) -> tuple[int, int]:
        (size, half), (image, coarse), (share, coarse_share) = levels[level]
        params.height, params.width = size
        params.rows, params.columns = half
        params.point(device, ring=None if level else ring, image=image, coarse=coarse)
        params.point(device, share=share, coarse_share=coarse_share)
        return size[0] * size[1], half[0] * half[1]

    for level in range(len(levels)):
        launch("pull", describe(level)[1])
    for level in reversed(range(len(levels))):
        launch("push", describe(level)[0])
    report(1.0)
    return texture
