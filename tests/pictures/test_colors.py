"""Colours by number."""

from __future__ import annotations

import torch

from rasterizer.pictures.colors import distinct_colors


def test_distinct_colors() -> None:
    colors = distinct_colors(360)
    assert colors.shape == (360, 3) and colors.dtype == torch.float32
    assert len({tuple(row) for row in (colors * 255).round().int().tolist()}) == 360, "also as 8-bit codes"
    assert float(colors.amin()) >= 0 and float(colors.amax()) <= 1 and float(colors.amax(1).min()) > 0.05
    assert torch.equal(distinct_colors(9), colors[:9]), "a view keeps its colour when others are added"
    assert distinct_colors(0).shape == (0, 3)
    apart = torch.cdist(colors[:21], colors[:21]) + torch.eye(21)
    assert float(apart[:7, :7].min()) > 0.25 and float(apart.min()) > 0.1
