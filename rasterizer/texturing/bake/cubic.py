"""The cubic kernel by which pictures are bent and sampled.

Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981. Its slope at 1 is the usual -1/2 where a
picture is to stay as sharp as it is; a steeper one sharpens.
"""

from __future__ import annotations

import torch
from torch import Tensor

SLOPE = -1.0
"""Of the kernel by which pictures are sampled: their pixels are means over areas, and texels are looked up bilinearly,
both of which blur; seen from other sides, textures are the better for it at edges and at fine waves."""

_BENDING = -0.75  # of that by which they are bent, once or more


def keys(x: Tensor) -> Tensor:
    """The kernel, whose zeros are 1 apart."""
    x = x.abs()
    inner = ((SLOPE + 2) * x - (SLOPE + 3)).mul_(x).mul_(x).add_(1)
    outer = (x - 5).mul_(x).add_(8).mul_(x).sub_(4).mul_(SLOPE)
    return torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))


def four(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights by which pictures are bent: of the pixels at -1, 0, 1 and 2 for a place ``t`` between 0 and 1."""
    back = 1 - t
    return (
        _BENDING * t * back.square(),
        ((_BENDING + 2) * t - (_BENDING + 3)) * t.square() + 1,
        ((_BENDING + 2) * back - (_BENDING + 3)) * back.square() + 1,
        _BENDING * back * t.square(),
    )


def balanced_four(x: Tensor) -> Tensor:
    """``[..., 4]``: weights of these pixels for a place ``x [...]``, changed so that ramps, too, stay what they are."""
    rest = 1 - x
    product = x * rest
    left, right = product * rest * SLOPE, product * x * SLOPE
    here = ((SLOPE + 2) * x - (SLOPE + 3)).mul_(x).mul_(x).add_(1)
    here.add_(product.mul_(1 - 2 * x), alpha=-(2 * SLOPE + 1))
    return torch.stack((left, here, 1 - left - right - here, right), dim=-1)
