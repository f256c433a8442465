"""Hunyuan3D's compiled ``custom_rasterizer_kernel``, where somebody has managed to install it.

Its CPU build gives the same bits as ours; its CUDA build contracts multiply-adds and differs on edge pixels.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch
from torch import Tensor

from ..types import RasterInfo, RasterOptions

_MODULE = "custom_rasterizer_kernel"


def _load() -> ModuleType:
    module = importlib.import_module(_MODULE)
    if not hasattr(module, "rasterize_image"):
        raise ImportError(f"{_MODULE} has no rasterize_image")
    if not str(getattr(module, "__file__", "")).endswith((".so", ".pyd")):
        raise ImportError(f"{_MODULE} is not a compiled module")
    return module


def reason_against(device: torch.device) -> str:
    """Why the native module cannot be used on ``device``; empty if it can."""
    if device.type not in ("cpu", "cuda"):
        return f"has no {device.type} version"
    try:
        _load()
    except ModuleNotFoundError:
        return "not installed"
    except Exception as error:  # a wheel for another Python, PyTorch or CUDA fails in many ways
        return f"installed but broken ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
    return ""


def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize view by view with the native module."""
    module = _load()
    height, width = options.resolution
    faces = tri.to(torch.int32).contiguous()
    results = []
    for view, vertices in enumerate(pos.contiguous().unbind(0)):
        prior = vertices.new_empty(0)
        if options.depth_prior is not None:
            prior = options.depth_prior[view].contiguous()
        used = int(options.depth_prior is not None)
        results.append(
            module.rasterize_image(vertices, faces, prior, width, height, options.occlusion_truncation, used)
        )
        options.on_progress((view + 1) / pos.shape[0])
    findices, barycentric = (torch.stack(parts) for parts in zip(*results, strict=True))
    return findices, barycentric, RasterInfo("custom_rasterizer", "", "", str(pos.device), -1)
