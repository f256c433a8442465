"""Level of detail: which levels of a pyramid a pixel reads, from how far it reaches over the texture.

Moving by a pixel moves over the texture, in texels of its level 0, by the columns of::

    M = [sx sy]    A = sx^2 + tx^2    B = sy^2 + ty^2    C = sx sy + tx ty
        [tx ty]    l = sqrt((A - B)^2 / 4 + C^2)

The longer half-axis of the ellipse that M makes of a circle is the square root of ``(A + B) / 2 + l``, and the level is
its logarithm to base 2 (Laine et al. 2020, Modular Primitives for High-Performance Differentiable Rendering, 3.4).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

Footprint = tuple[Tensor, Tensor, Tensor, Tensor]
"""``(ds/dX, ds/dY, dt/dX, dt/dY)`` of pixels, each ``[P]``; s and t run from 0 to 1 over the texture."""


class Blend(NamedTuple):
    """The levels that pixels read.

    Attributes:
        level: ``[L, P]`` int64, L being 1 or 2.
        share: ``[L, P]`` what each counts for; None where there is one.
    """

    level: Tensor
    share: Tensor | None


def level_of(footprint: Footprint, width: int, height: int) -> Tensor:
    """``[P]`` level, not limited: -inf without an extent, NaN or infinite where numbers do not suffice."""
    sx, sy, tx, ty = _in_texels(footprint, width, height)
    middle, half, cross, length = _ellipse(sx, sy, tx, ty)
    return middle.add_(length).log2_().mul_(0.5)


def level_backward(footprint: Footprint, width: int, height: int, upstream: Tensor) -> Footprint:
    """Gradient of ``footprint`` from that of its level; 0 where a circle has no longer axis."""
    sx, sy, tx, ty = _in_texels(footprint, width, height)
    middle, half, cross, length = _ellipse(sx, sy, tx, ty)
    scale = upstream * (0.5 / math.log(2.0)) / (length * (length + middle))
    more, less = length + half, length - half
    found = (
        (sx * more + sy * cross) * (scale * width),
        (sy * less + sx * cross) * (scale * width),
        (tx * more + ty * cross) * (scale * height),
        (ty * less + tx * cross) * (scale * height),
    )
    return finite_or_nothing(found)


def finite_or_nothing(values: Footprint) -> Footprint:
    """Zeros wherever one of the four is not finite."""
    first, second, third, fourth = values
    nothing = (first - first) + (second - second) + (third - third) + (fourth - fourth)  # 0, or NaN
    usable = nothing == 0.0
    first, second, third, fourth = (torch.where(usable, value, 0.0) for value in values)
    return first, second, third, fourth


def blend(level: Tensor, most: int, between: bool) -> Blend:
    """The levels to read at ``level [P]``.

    Args:
        level: limited to 0 and ``most`` here; NaN counts as 0.
        most: the last level.
        between: blend the two that enclose it; otherwise take the finer one.
    """
    level = level.nan_to_num(0.0).clamp_(0.0, most)
    low = level.floor()
    if not between:
        return Blend(low.to(torch.int64)[None], None)
    coarse = level - low
    # A whole number encloses itself: its pixels read no other level, and have no slope.
    return Blend(torch.stack((low, level.ceil())).to(torch.int64), torch.stack((1.0 - coarse, coarse)))


def _in_texels(footprint: Footprint, width: int, height: int) -> Footprint:
    sx, sy, tx, ty = footprint
    return sx * width, sy * width, tx * height, ty * height


def _ellipse(sx: Tensor, sy: Tensor, tx: Tensor, ty: Tensor) -> Footprint:
    """``(A + B) / 2``, ``(A - B) / 2``, ``C`` and ``l`` of the module's text."""
    across, down = sx * sx + tx * tx, sy * sy + ty * ty
    cross = sx * sy + tx * ty
    half = (across - down).mul_(0.5)
    return (across + down).mul_(0.5), half, cross, (half * half).add_(cross * cross).sqrt_()
