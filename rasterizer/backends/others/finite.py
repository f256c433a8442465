"""Keeping vertices that are not finite away from other people's rasterizers, some of which loop over them for ever."""

from __future__ import annotations

import torch
from torch import Tensor

from ...contract.rule import to_screen


def only_finite(pos: Tensor, tri: Tensor, width: int, height: int) -> tuple[Tensor, Tensor, int]:
    """One view with its unusable faces made degenerate.

    Args:
        pos: ``[N, 4]`` clip-space vertices.
        tri: ``[M, 3]`` faces.
        width, height: image size.

    Returns:
        Vertices that are all finite on the screen, faces with those that were not replaced by ``(0, 0, 0)``, and how
        many those were.
    """
    good = torch.isfinite(to_screen(pos.t(), width, height)).all(dim=0)
    drawn = good[tri.to(torch.int64)].all(dim=1, keepdim=True)
    safe = torch.where(good[:, None], pos, pos.new_tensor([0.0, 0.0, 0.0, 1.0]))
    return safe, tri * drawn, int((~drawn).sum())
