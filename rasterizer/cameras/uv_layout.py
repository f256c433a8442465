"""A mesh's UV layout as something to draw."""

from __future__ import annotations

import torch
from torch import Tensor


def uv_to_clip(uvs: Tensor, width: int, height: int) -> Tensor:
    """``[N, 4]`` clip-space positions of UVs such that column j samples ``u = (j + 0.5)/width``, as viewers do."""
    size = uvs.new_tensor([width, height])
    ndc = (uvs * size - 0.5) * (2.0 / (size - 1).clamp(min=1)) - 1.0
    return torch.cat((ndc, torch.zeros_like(ndc[:, :1]), torch.ones_like(ndc[:, :1])), dim=1)
