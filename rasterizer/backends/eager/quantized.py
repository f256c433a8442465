"""Rasterization of vertices that are stored as integers, by PyTorch operators: a view's floats at a time, or all."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...contract.quantized import to_clip
from ...contract.types import RasterInfo, RasterOptions
from ...runtime.policy import device_policy
from ...runtime.progress import shares
from .rasterize import rasterize


def rasterize_quantized(
    positions: Tensor, matrices: Tensor, tri: Tensor, options: RasterOptions
) -> tuple[Tensor, Tensor, RasterInfo]:
    """As :func:`.rasterize.rasterize`, of ``positions [N, 3]`` int16 under ``matrices [B, 4, 4]`` float32."""
    if device_policy(positions.device).views_together or len(matrices) == 1:
        return rasterize(to_clip(positions, matrices), tri, options)
    results = []
    for view, report in enumerate(shares(options.on_progress, len(matrices))):
        part = slice(view, view + 1)
        prior = None if options.depth_prior is None else options.depth_prior[part]
        request = replace(options, depth_prior=prior, on_progress=report)
        results.append(rasterize(to_clip(positions, matrices[part]), tri, request))
    findices, barycentric, infos = zip(*results, strict=True)
    tiled = next((info for info in infos if info.mode == "tiled"), infos[0])
    invalid = sum(int(info.invalid) for info in infos)
    return torch.cat(findices), torch.cat(barycentric), replace(tiled, invalid=invalid)
