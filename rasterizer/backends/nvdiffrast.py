"""NVIDIA's nvdiffrast, where it is installed (its licence is non-commercial).

Its pixel mapping puts NDC -1 and +1 on the image border, ours on the outermost pixel centres; the vertices are scaled
so that both sample at the same points. What cannot be converted: it snaps vertices to 1/16 pixel, gives an edge to one
of its two triangles instead of both, orders fragments by exact depth instead of 2**18 steps, clips at the near plane,
and has no depth prior. Face indices on edges therefore differ from the exact backends.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import torch
from torch import Tensor

from ..types import RasterInfo, RasterOptions

_contexts: dict[torch.device, Any] = {}


def reason_against(device: torch.device) -> str:
    """Why nvdiffrast cannot be used on ``device``; empty if it can."""
    if importlib.util.find_spec("nvdiffrast") is None:
        return "not installed"
    if device.type != "cuda":
        return f"needs CUDA, not {device.type}"
    try:
        import nvdiffrast.torch  # noqa: F401
    except Exception as error:  # its extension may be built for another PyTorch
        return f"installed but broken ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
    return ""


def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize all views in one nvdiffrast call."""
    import nvdiffrast.torch as dr

    if options.depth_prior is not None:
        raise ValueError("backend: 'nvdiffrast' has no depth prior; use 'auto' or 'torch' for depth peeling")
    height, width = options.resolution
    x, y, z, w = pos.unbind(-1)
    ratio = torch.nan_to_num(z / w, nan=1.0, posinf=1.0).max().clamp(min=1.0)
    z = (z + w) * (2.0 / (ratio + 1.0)) - w  # the far plane moves behind the mesh: ours has none
    columns, rows = (math.ceil(side / 8) * 8 for side in (width, height))  # it renders whole 8 x 8 tiles
    x = x * ((width - 1) / columns) + w * (width / columns - 1.0)
    y = y * ((height - 1) / rows) + w * (height / rows - 1.0)
    clip = torch.stack((x, y, z, w), dim=-1).contiguous()
    context = _contexts.get(pos.device)
    if context is None:
        context = _contexts[pos.device] = dr.RasterizeCudaContext(device=pos.device)
    out, _ = dr.rasterize(context, clip, tri.to(torch.int32).contiguous(), resolution=[rows, columns], grad_db=False)
    out = out[:, :height, :width]
    findices = out[..., 3].to(torch.int32)
    u, v = out[..., 0], out[..., 1]
    barycentric = torch.stack((u, v, 1.0 - u - v), dim=-1) * (findices > 0)[..., None]
    options.on_progress(1.0)
    return findices, barycentric, RasterInfo("nvdiffrast", "", "", str(pos.device), -1)
