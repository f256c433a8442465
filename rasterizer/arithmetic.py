"""The rasterization rule, stated once: every backend reproduces these formulas bit for bit.

Conventions used everywhere in this package:

* Vertices are clip-space ``(x, y, z, w)``. Row 0 of an image is ``y/w = -1``; column 0 is ``x/w = -1``.
* NDC -1 and +1 fall on the *centres* of the first and last pixel: ``sx = (x/w*0.5 + 0.5)*(width-1) + 0.5``,
  and the centre of pixel ``(row, column)`` is ``(column+0.5, row+0.5)``.
* Mapped depth is ``sz = z/w * 0.49999 + 0.5``; nearer is smaller.
* ``area(a, b, c) = (c.x-a.x)*(b.y-a.y) - (b.x-a.x)*(c.y-a.y)``. A pixel centre ``p`` has
  ``beta = area(a, p, c)/area``, ``gamma = area(a, b, p)/area``, ``alpha = 1 - beta - gamma`` and is covered when
  all three lie in [0, 1]. Edges are inclusive, both windings draw, nothing is clipped.
* A fragment's depth is ``d = (alpha*sz_a + beta*sz_b) + gamma*sz_c``. It is dropped when ``d < t`` (``t`` is 0, or the
  mapped depth prior plus the occlusion truncation).
* The fragment with the smallest pair ``(int(d * 2**18), face index)`` wins its pixel.

All of it is IEEE float32 with one rounding per operation and no fused multiply-add, except ``alpha``, which is
evaluated in float64 and rounded once (:func:`complement`). A fragment with ``d >= 8192`` would overflow the native
module's 32-bit depth step and is never drawn, there or here.

The functions below work on tensors of any shape and, for gradients, in float64 too.
"""

from __future__ import annotations

import torch
from torch import Tensor

DEPTH_STEPS = 262144.0
"""Depth steps per unit of mapped depth (2**18)."""

MAX_DEPTH = 8192.0
"""First mapped depth whose step does not fit in 32 bits."""

DEPTH_SCALE = 0.49999
"""Mapped depth is ``ndc_depth * DEPTH_SCALE + 0.5``."""

_TINY = 2.0**-30  # below this, 1 - beta in float64 starts to lose bits of beta


def to_screen(pos: Tensor, width: int, height: int) -> Tensor:
    """Map clip-space vertices to the screen.

    Args:
        pos: ``[..., 4]`` clip-space ``(x, y, z, w)``, floating point.
        width, height: image size in pixels.

    Returns:
        ``[..., 4]``: ``(sx, sy, sz, w)``; pixels, pixels, mapped depth, clip w.
    """
    return torch.stack(screen_columns(*pos.unbind(-1), width, height), dim=-1)


def screen_columns(
    x: Tensor, y: Tensor, z: Tensor, w: Tensor, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """:func:`to_screen` for coordinates apart."""
    sx = (x / w * 0.5 + 0.5) * (width - 1) + 0.5
    sy = (0.5 + (0.5 * y) / w) * (height - 1) + 0.5
    return sx, sy, z / w * DEPTH_SCALE + 0.5, w


def depth_threshold(prior: Tensor, occlusion_truncation: float) -> Tensor:
    """Smallest mapped depth that may be drawn, from NDC depth ``z/w`` of the layer already drawn."""
    return prior * DEPTH_SCALE + 0.5 + occlusion_truncation


def complement(beta: Tensor, gamma: Tensor, float64: bool) -> Tensor:
    """``alpha = 1 - beta - gamma``, evaluated as in float64 and rounded once to the inputs' dtype.

    With ``float64=False`` the same bits come from compensated float32 arithmetic, for devices without float64. They are
    the same for every ``beta``, ``gamma`` in [0, 1]; outside, only the sign of the smallest of the three matters and is
    preserved.
    """
    if beta.dtype == torch.float64:
        return 1.0 - beta - gamma
    if float64:
        return ((1.0 - beta.double()) - gamma.double()).to(beta.dtype)
    return _complement_compensated(beta, gamma)


def _complement_compensated(beta: Tensor, gamma: Tensor) -> Tensor:
    # float64 rounds 1 - beta to a multiple of 2**-53. Adding and subtracting 2**-30 rounds a smaller float32 the same
    # way, after which 1 - beta is exact in 53 bits. The second subtraction rounds likewise while its result is above
    # one half.
    beta = torch.where(beta.abs() < _TINY, (beta + _TINY) - _TINY, beta)
    gamma = torch.where((gamma.abs() < _TINY) & (beta <= 0.5), (gamma + _TINY) - _TINY, gamma)
    first, error1 = _two_sum(torch.ones_like(beta), -beta)
    second, error2 = _two_sum(first, -gamma)
    rest, lost = _two_sum(error1, error2)
    # Rounding the small part to odd keeps "there was something below", so the final sum rounds once, correctly.
    bits = rest.detach().contiguous().view(torch.int32)
    even = (bits & 1) == 0
    step = torch.where((lost > 0) == (rest > 0), 1, -1).to(torch.int32)
    odd = (bits + step * (even & (lost != 0)).to(torch.int32)).view(torch.float32)
    return second + odd


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and exact rounding error (Knuth, The Art of Computer Programming 2, 4.2.2, theorem B)."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def perspective(
    alpha: Tensor, beta: Tensor, gamma: Tensor, wa: Tensor | None, wb: Tensor | None, wc: Tensor | None
) -> tuple[Tensor, ...]:
    """Perspective-correct barycentrics from screen-space ones and the corners' clip ``w``; None stands for 1."""
    a, b, c = (alpha, beta, gamma) if wa is None else (alpha / wa, beta / wb, gamma / wc)
    scale = 1.0 / ((a + b) + c)
    return a * scale, b * scale, c * scale
