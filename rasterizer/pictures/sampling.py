"""Look-ups in pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from .stored import as_numbers


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear samples ``[..., C]`` of ``texture [H, W, C]`` at ``uv [..., 2]``; repeats, texel j is at (j + 0.5)/W.

    Textures of half precision, and of uint8, whose 0..255 stand for 0..1, are read as they are: only texels that are
    looked at become float32.
    """
    height, width, channels = texture.shape
    flat = texture.reshape(-1, channels)
    places, fx, fy = corners(uv, height, width)
    fx, fy = fx[..., None], fy[..., None]
    a, b, c, d = (
        as_numbers(flat.index_select(0, place.reshape(-1))).view(*uv.shape[:-1], channels) for place in places
    )
    upper = a * (1 - fx) + b * fx
    lower = c * (1 - fx) + d * fx
    return upper * (1 - fy) + lower * fy


def corners(uv: Tensor, height: int, width: int) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor, Tensor]:
    """The four texels that a bilinear look-up reads, and how far it lies from the first, 0..1 each way.

    Args:
        uv: ``[..., 2]``.
        height, width: of the texture.

    Returns:
        ``[...]`` int64 ``row * width + column`` of the upper left, upper right, lower left and lower right texel; and
        ``[...]`` across, ``[...]`` down.
    """
    x, y = uv[..., 0] * width - 0.5, uv[..., 1] * height - 0.5
    x0, y0 = torch.floor(x), torch.floor(y)
    left, top = x0.to(torch.int64) % width, y0.to(torch.int64) % height
    right, bottom = (left + 1) % width, (top + 1) % height
    upper, lower = top * width, bottom * width
    return (upper + left, upper + right, lower + left, lower + right), x - x0, y - y0


def by_pixel(fine: Tensor, samples: int) -> Tensor:
    """``[H * W, S * S, C]``: of each pixel its samples, from ``fine [H * S, W * S, C]`` with ``samples`` = S."""
    height, width, channels = fine.shape
    parts = fine.view(height // samples, samples, width // samples, samples, channels).transpose(1, 2)
    return parts.reshape(-1, samples**2, channels)
