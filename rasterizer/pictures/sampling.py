"""Look-ups in pictures."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear samples ``[..., C]`` of ``texture [H, W, C]`` at ``uv [..., 2]``; repeats, texel j is at (j + 0.5)/W."""
    height, width, channels = texture.shape
    flat = texture.reshape(-1, channels)
    x, y = uv[..., 0] * width - 0.5, uv[..., 1] * height - 0.5
    x0, y0 = torch.floor(x), torch.floor(y)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    left, top = x0.to(torch.int64) % width, y0.to(torch.int64) % height
    right, bottom = (left + 1) % width, (top + 1) % height

    def texel(row: Tensor, column: Tensor) -> Tensor:
        return flat.index_select(0, (row * width + column).reshape(-1)).view(*uv.shape[:-1], channels)

    upper = texel(top, left) * (1 - fx) + texel(top, right) * fx
    lower = texel(bottom, left) * (1 - fx) + texel(bottom, right) * fx
    return upper * (1 - fy) + lower * fy
