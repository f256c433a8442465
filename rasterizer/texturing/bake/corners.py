"""The four pixels around a point that a view shows, and the surface between them."""

from __future__ import annotations

import torch
from torch import Tensor

APART = 0.7
"""Pixels between a texel and the place its colour is taken from, at which a view no longer counts."""


def bilinear(x: Tensor, y: Tensor) -> Tensor:
    """``[4, n]`` weights of the pixels at (0, 0), (1, 0), (0, 1) and (1, 1)."""
    across, down = torch.stack((1 - x, x)), torch.stack((1 - y, y))
    return (across * down[:, None]).view(4, -1)


def apart_from(
    corner: tuple[Tensor, Tensor],
    slopes: tuple[Tensor, Tensor],
    excess: Tensor,
    weights: Tensor,
    share: Tensor,
    reach: Tensor | float,
) -> Tensor:
    """``[n]`` squared distance between a point and the place its colour is taken from; 1 is too far.

    Args:
        corner, slopes, excess, reach: as for :func:`closest`; ``excess`` is overwritten.
        weights: ``[4, n]`` of the pixels.
        share: ``[n]``, their sum.
    """
    off_x = (weights[1] + weights[3]).div_(share).sub_(corner[0])
    off_y = (weights[2] + weights[3]).div_(share).sub_(corner[1])
    off_z = excess.mul_(weights).sum(0).div_(share)
    off_z.addcmul_(slopes[0], off_x).addcmul_(slopes[1], off_y).div_(reach)
    return off_x.square_().addcmul_(off_y, off_y).addcmul_(off_z, off_z).mul_(1 / APART**2)


def closest(
    corner: tuple[Tensor, Tensor], slopes: tuple[Tensor, Tensor], excess: Tensor, reach: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Where among four pixels, 0..1, the surface that they show is closest to a point that projects to ``corner``.

    One step of Newton's method: the foot of the perpendicular on the tangent plane of the bilinear surface.

    Args:
        corner: columns and rows from the upper left pixel.
        slopes: of the plane of the point's face.
        excess: ``[4, n]``, how much deeper than that plane the pixels are.
        reach: what a pixel spans, in units of depth.
    """
    x, y = corner
    a, b, c, d = excess
    slope_x = torch.lerp(b - a, d - c, y).add_(slopes[0]).div_(reach)
    slope_y = torch.lerp(c - a, d - b, x).add_(slopes[1]).div_(reach)
    deeper = torch.lerp(torch.lerp(a, b, x), torch.lerp(c, d, x), y).div_(reach)
    step = deeper.div_(slope_x.square().addcmul_(slope_y, slope_y).add_(1))
    return (x - step * slope_x).clamp_(0, 1), (y - step * slope_y).clamp_(0, 1)
