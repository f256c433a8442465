"""What the kernels of texture sampling take, and the programs that they make: one for each boundary mode, so that what
lies beyond a texture is settled when they are compiled, forward and backward apart; each compiled when first needed.
"""

from __future__ import annotations

import math
from pathlib import Path

from ....contract.types import Boundary
from ....gpu.program import Program, SelfTest
from ....gpu.structs import struct
from ...eager.diff.cube_edges import edges
from .launching import SHARED, SHARED_DEFINES
from .mipmaps import MOST_LEVELS

THREADS = 256
"""Of a block, in every kernel."""

TILE = 16
"""Side of a block's pixels."""

OWN = (1, 2, 3, 4)
"""Numbers of channels that have kernels of their own."""

_NUMBERS: dict[Boundary, int] = {"wrap": 0, "clamp": 1, "zero": 2, "cube": 3}

SUMS = {
    "POOL": 6144,
    "FEW_CELLS": 8,
    "APART": 1,
    "VECTOR_ATOMICS": 1,
}
"""How gradients of texels are added up, see ``texture_backward.cu``.

``POOL``: floats of it. ``FEW_CELLS``: up to so many cells in it the threads of a group sum up what they have for each.
``APART``: threads work on pixels that lie apart. ``VECTOR_ATOMICS``: several channels are added at once, where the GPU
can.
"""

Params = struct(
    "Params",
    ("const float*", "uv", "[images, rows, columns, 2 or 3]"),
    ("const float*", "da, bias", "[images, rows, columns, 4 or 6] and [images, rows, columns], or null"),
    ("float*", "out", "[images, rows, columns, channels]"),
    ("const float*", "d_out", "its gradient"),
    ("float*", "d_uv, d_da, d_bias", "gradients of those, or null"),
    ("const float*", f"levels[{MOST_LEVELS}]", "[textures, (6,) height, width, channels] each"),
    ("float*", f"gradients[{MOST_LEVELS}]", "of these, all 0 before; the first is null where they are not wanted"),
    ("u32", "width, height", "of level 0"),
    ("u32", "count", "levels"),
    ("u32", "channels", ""),
    ("u32", "columns, rows", "of an image; where all read one texture they are one image"),
    ("int", "flat", "blocks have pixels in their order in memory, not tiles"),
    ("int", "blend", "the two levels that a pixel lies between, otherwise the finer one counts"),
    ("int", "nearest", "only the texel that a pixel lies in counts"),
    ("int", "whole", "channels come in groups of four, on multiples of 16 bytes"),
    ("u16", "edges[24]", "of a cube: what lies over them, see edge_codes()"),
)


def edge_codes() -> list[int]:
    """For edges 4 * face + (low s, high s, low t, high t), in bits: the face on the other side (3); of its texel beside
    texel k along the edge, ``i = start * (S - 1) + step * k``, start (1) and step + 1 (2), and the same of j."""
    face, i_start, i_step, j_start, j_step = zip(*[iter(edges())] * 24, strict=True)
    return [
        f | si << 3 | (ni + 1) << 4 | sj << 6 | (nj + 1) << 7
        for f, si, ni, sj, nj in zip(face, i_start, i_step, j_start, j_step, strict=True)
    ]


def _program(boundary: Boundary, source: str, kernels: tuple[str, ...], what: str, test: SelfTest) -> Program:
    parts = "texture_levels.cu", f"texture_{'cube' if boundary == 'cube' else 'flat'}.cu", "texture_look.cu"
    here = Path(__file__)
    return Program(
        here.with_name(source),
        kernels,
        f"{what} with boundary mode '{boundary}'",
        structs=(Params,),
        defines={
            **SHARED_DEFINES,
            **{name.upper(): number for name, number in _NUMBERS.items()},
            "BOUNDARY": _NUMBERS[boundary],
            "THREADS": THREADS,
            "TILE": TILE,
            "MOST_LEVELS": MOST_LEVELS,
            "HALF_PER_LN2": 0.5 / math.log(2.0),
            **SUMS,
        },
        shared=(SHARED, *(here.with_name(part) for part in parts)),
        self_test=test,
    )


def forward_program(boundary: Boundary, test: SelfTest) -> Program:
    """``texture.cu`` for a boundary mode."""
    kernels = (*(f"sample_{number}" for number in OWN), "sample", "nearest")
    return _program(boundary, "texture.cu", kernels, "sampling textures", test)


def backward_program(boundary: Boundary, test: SelfTest) -> Program:
    """``texture_backward.cu`` for a boundary mode."""
    kernels = (*(f"backward_{number}" for number in OWN), "backward")
    return _program(boundary, "texture_backward.cu", kernels, "gradients of textures", test)
