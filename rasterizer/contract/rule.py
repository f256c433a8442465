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

"Bit for bit" means values: -0.0 equals 0.0, see :mod:`rasterizer.contract.reference`.

The functions below work on tensors of any shape and, for gradients, in float64 too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

DEPTH_STEPS = 262144.0
"""Depth steps per unit of mapped depth (2**18)."""

MAX_DEPTH = 8192.0
"""First mapped depth whose step does not fit in 32 bits."""

DEPTH_SCALE = 0.49999
"""Mapped depth is ``ndc_depth * DEPTH_SCALE + 0.5``."""

_TINY = 2.0**-30  # below this, 1 - beta in float64 starts to lose bits of beta


_modes: Callable[[], int] = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)
"""How many modes, such as a compiler's or that of fake tensors, operators are passed through on this thread."""


def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """A small tensor ``[len(values)]``, copied to the device once: every copy would be a synchronisation.

    What is made under a mode may be of another kind than tensors outside of it, and memory of a graph being captured
    holds nothing before the graph is replayed: such a tensor is not kept.
    """
    key = values, device, dtype
    if _modes():
        return _made(*key)
    found = _kept.get(key)
    if found is None:
        found = _made(*key)
        if not (device.type == "cuda" and torch.cuda.is_current_stream_capturing()):
            if len(_kept) >= _MOST_KEPT:
                _kept.clear()
            _kept[key] = found
    return found


_MOST_KEPT = 256

_kept: dict[tuple[tuple[float, ...], torch.device, torch.dtype], Tensor] = {}


def _made(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # or no gradient could pass by it later
        return torch.tensor(values, dtype=dtype, device=device)


def to_screen(pos: Tensor, width: int, height: int) -> Tensor:
    """Map clip-space vertices to the screen.

    Args:
        pos: ``[4, ...]`` clip-space ``(x, y, z, w)``, floating point.
        width, height: image size in pixels.

    Returns:
        ``[4, ...]``: ``(sx, sy, sz, w/w)``; pixels, pixels, mapped depth, and 1, or NaN where ``w`` is 0 or not finite.
    """

    def each(*values: float) -> Tensor:
        return constant(values, pos.device, pos.dtype).view(4, *[1] * (pos.ndim - 1))

    screen = pos * each(1.0, 0.5, 1.0, 1.0)  # y is halved before the division, as where it is tiny the order matters
    screen = screen / screen[3:] * each(0.5, 1.0, DEPTH_SCALE, 1.0) + each(0.5, 0.5, 0.5, 0.0)
    return screen * each(width - 1.0, height - 1.0, 1.0, 1.0) + each(0.5, 0.5, 0.0, 0.0)


def screen_columns(x: Tensor, y: Tensor, z: Tensor, w: Tensor, width: int, height: int) -> tuple[Tensor, ...]:
    """:func:`to_screen` for coordinates apart, without ``w/w``: more operators, but none in vain, as suits a CPU."""
    sx = (x / w * 0.5 + 0.5) * (width - 1) + 0.5
    sy = (0.5 + (0.5 * y) / w) * (height - 1) + 0.5
    return sx, sy, z / w * DEPTH_SCALE + 0.5


def depth_threshold(prior: Tensor, occlusion_truncation: float) -> Tensor:
    """Smallest mapped depth that may be drawn, from NDC depth ``z/w`` of the layer already drawn."""
    return prior * DEPTH_SCALE + 0.5 + occlusion_truncation


def complement(beta: Tensor, gamma: Tensor, float64: bool, out: Tensor | None = None) -> Tensor:
    """``alpha = 1 - beta - gamma``, evaluated as in float64 and rounded once to the inputs' dtype.

    With ``float64=False`` the same bits come from compensated float32 arithmetic, for devices without float64. They are
    the same for every ``beta``, ``gamma`` in [0, 1]; outside, only the sign of the smallest of the three matters and is
    preserved. ``out``: where to write the result, if not into new memory.
    """
    if beta.dtype == torch.float64:
        return 1.0 - beta - gamma
    if float64:
        # One operand in float64 has the operator convert the others as it reads and writes them.
        rest = torch.sub(constant((1.0,), beta.device, torch.float64), beta)
        return rest.sub_(gamma).to(beta.dtype) if out is None else torch.sub(rest, gamma, out=out)
    return _complement_compensated(beta, gamma, out)


def _complement_compensated(beta: Tensor, gamma: Tensor, out: Tensor | None) -> Tensor:
    # float64 rounds 1 - beta to a multiple of 2**-53. Adding and subtracting 2**-30 rounds a smaller float32 the same
    # way, after which 1 - beta is exact in 53 bits. The second subtraction rounds likewise while its result is above
    # one half. What is negative is rounded too, but then alpha does not matter.
    beta = torch.where(beta < _TINY, (beta + _TINY) - _TINY, beta)
    small = torch.maximum(gamma, beta - 0.5) < _TINY  # no float32 lies between 0.5 and 0.5 + _TINY
    gamma = torch.where(small, (gamma + _TINY) - _TINY, gamma)
    first = 1.0 - beta
    error1 = (1.0 - first) - beta  # as in _two_sum, beta being at most 1
    second, error2 = _two_sum(first, -gamma)
    rest, lost = _two_sum(error1, error2)
    # Rounding the small part to odd keeps "there was something below", so the final sum rounds once, correctly: one
    # step toward zero where what was lost has the other sign, which leaves an even part odd, then the last bit set.
    bits, lost = rest.detach().contiguous().view(torch.int32), lost.detach().contiguous()
    inexact = (lost != 0).to(torch.int32)
    toward_zero = ((lost.view(torch.int32) ^ bits) >> 31) * inexact
    odd = ((bits + toward_zero) | inexact).view(torch.float32)
    return torch.add(second, odd, out=out)


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and exact rounding error (Knuth, The Art of Computer Programming 2, 4.2.2, theorem B)."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def perspective(
    screen: tuple[Tensor, Tensor, Tensor],
    w: Sequence[Tensor] | Tensor | None,
    one: Tensor | float = 1.0,
    out: Sequence[Tensor | None] = (None, None, None),
) -> tuple[Tensor, ...]:
    """Perspective-correct barycentrics from screen-space ones.

    ``w``: the three corners' clip w, None standing for 1. ``one``: what barycentrics add up to, 0 for no triangle.
    ``out``: where to write them, if not into new memory.
    """
    a, b, c = screen if w is None else (value / of for value, of in zip(screen, w, strict=True))
    scale = one / ((a + b) + c)
    return tuple(torch.mul(value, scale, out=place) for value, place in zip((a, b, c), out, strict=True))
