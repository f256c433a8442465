"""NVIDIA's nvdiffrast, where it is installed (its licence is non-commercial).

Its pixel mapping puts NDC -1 and +1 on the image border, ours on the outermost pixel centres; the vertices are scaled
so that both sample at the same points. What cannot be converted: it snaps vertices to 1/16 pixel, gives an edge to one
of its two triangles instead of both, orders fragments by exact depth instead of 2**18 steps, clips at the near plane,
and has no depth prior. Face indices on edges therefore differ from the exact backends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...contract.types import RasterInfo, RasterOptions
from ...runtime.presence import StandInError, absent, broken, original
from ...runtime.progress import shares
from ..interface import takes_single_views
from .finite import only_finite

_MODULE = "nvdiffrast.torch"

_contexts: dict[torch.device, Any] = {}


def reason_against(device: torch.device) -> str:
    """Why nvdiffrast cannot be used on ``device``; empty if it can."""
    missing = absent("nvdiffrast")
    if missing:
        return missing
    if device.type != "cuda":
        return f"needs CUDA, not {device.type}"
    try:
        original(_MODULE)
    except StandInError as reason:
        return str(reason)
    except Exception as error:  # its extension may be built for another PyTorch
        return broken(error)
    return ""


def bare_call(pos: Tensor, tri: Tensor, resolution: tuple[int, int]) -> Callable[[], object]:
    """Views as its own users call it, with nothing of ours around it; for the benchmark."""
    dr = original(_MODULE)
    context, faces = dr.RasterizeCudaContext(device=pos.device), tri.to(torch.int32).contiguous()
    clip = pos if pos.ndim == 3 else pos[None]
    return lambda: dr.rasterize(context, clip, faces, list(resolution), grad_db=False)


@takes_single_views
def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize view by view with nvdiffrast."""
    dr = original(_MODULE)
    if options.depth_prior is not None:
        raise ValueError("backend: 'nvdiffrast' has no depth prior; use 'auto' or 'torch' for depth peeling")
    height, width = options.resolution
    columns, rows = (math.ceil(side / 8) * 8 for side in (width, height))  # it renders whole 8 x 8 tiles
    context = _contexts.get(pos.device)
    if context is None:
        context = _contexts[pos.device] = dr.RasterizeCudaContext(device=pos.device)
    parts, invalid = [], 0
    for view, report in zip(pos, shares(options.on_progress, len(pos)), strict=True):
        safe, faces, bad = only_finite(view, tri, width, height)
        clip = _to_its_pixels(safe, width, height, columns, rows)
        out, _ = dr.rasterize(context, clip[None], faces.to(torch.int32).contiguous(), [rows, columns], grad_db=False)
        parts.append(out[0, :height, :width])
        invalid += bad
        report(1.0)
    out = torch.stack(parts)
    findices = out[..., 3].to(torch.int32)
    u, v = out[..., 0], out[..., 1]
    barycentric = torch.stack((u, v, 1.0 - u - v), dim=-1) * (findices > 0)[..., None]
    return findices, barycentric, RasterInfo("nvdiffrast", "", "", str(pos.device), invalid)


def _to_its_pixels(pos: Tensor, width: int, height: int, columns: int, rows: int) -> Tensor:
    """Clip space in which its ``columns x rows`` pixels sample what ours do, and nothing is beyond the far plane."""
    x, y, z, w = pos.unbind(-1)
    farthest = (z / w).max().clamp(min=1.0)
    z = (z + w) * (2.0 / (farthest + 1.0)) - w
    x = x * ((width - 1) / columns) + w * (width / columns - 1.0)
    y = y * ((height - 1) / rows) + w * (height / rows - 1.0)
    return torch.stack((x, y, z, w), dim=-1).contiguous()
