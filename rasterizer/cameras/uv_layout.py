"""A mesh's UV layout as something to draw."""

from __future__ import annotations

import torch
from torch import Tensor


def uv_to_clip(uvs: Tensor, width: int, height: int) -> Tensor:
    """``[N, 4]`` clip-space positions of UVs such that column j samples ``u = (j + 0.5)/width``, as viewers do."""
    # Column by column: on a GPU, a tensor of both sides would wait for it.
    u, v = ((uvs[:, axis] * side - 0.5) * (2.0 / max(side - 1, 1)) - 1.0 for axis, side in enumerate((width, height)))
    return torch.stack((u, v, torch.zeros_like(u), torch.ones_like(u)), dim=1)


def uv_matrix(step: float, start: float, width: int, height: int) -> Tensor:
    """``[4, 4]`` float32 on the CPU: :func:`uv_to_clip` of ``q * step + start``, for integers ``(q, q, 0)``."""
    matrix = torch.eye(4, dtype=torch.float64)
    for axis, side in enumerate((width, height)):
        size = 2.0 / max(side - 1, 1)
        matrix[axis, axis], matrix[axis, 3] = step * side * size, (start * side - 0.5) * size - 1.0
    matrix[2, 2] = 0.0
    return matrix.to(torch.float32)
