"""Hunyuan3D's compiled ``custom_rasterizer_kernel``, where somebody has managed to install it.

Its CPU build gives the same bits as ours; its CUDA build contracts multiply-adds and differs on edge pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from ...contract.types import RasterInfo, RasterOptions
from ...runtime.presence import StandInError, broken, original
from ...runtime.progress import shares
from ..interface import takes_single_views
from .finite import only_finite

MODULE = "custom_rasterizer_kernel"
"""Name of the native module."""


def _load() -> ModuleType:
    module = original(MODULE)
    if not hasattr(module, "rasterize_image"):
        raise ImportError(f"{MODULE} has no rasterize_image")
    if not str(getattr(module, "__file__", "")).endswith((".so", ".pyd")):
        raise ImportError(f"{MODULE} is not a compiled module")
    return module


def reason_against(device: torch.device) -> str:
    """Why the native module cannot be used on ``device``; empty if it can."""
    if device.type not in ("cpu", "cuda"):
        return f"has no {device.type} version"
    try:
        _load()
    except ModuleNotFoundError:
        return "not installed"
    except StandInError as reason:
        return str(reason)
    except Exception as error:  # a wheel for another Python, PyTorch or CUDA fails in many ways
        return broken(error)
    return ""


def bare_call(pos: Tensor, tri: Tensor, resolution: tuple[int, int]) -> Callable[[], object]:
    """Views, one by one, as its own users call it, with nothing of ours around it; for the benchmark."""
    module = _load()
    height, width = resolution
    faces, none = tri.to(torch.int32).contiguous(), pos.new_empty(0)
    views = list(pos) if pos.ndim == 3 else [pos]
    return lambda: [module.rasterize_image(view, faces, none, width, height, 1e-6, 0) for view in views]


def build_hierarchy(positions: list[Tensor], normals: list[Tensor], levels: int, resolution: int) -> list[list[Tensor]]:
    """The native hierarchy, on the CPU, which is all it knows."""
    return _load().build_hierarchy(
        [view.contiguous() for view in positions], [view.contiguous() for view in normals], levels, resolution
    )


@takes_single_views
def rasterize(pos: Tensor, tri: Tensor, options: RasterOptions) -> tuple[Tensor, Tensor, RasterInfo]:
    """Rasterize view by view with the native module."""
    module = _load()
    height, width = options.resolution
    results, invalid = [], 0
    for view, report in enumerate(shares(options.on_progress, len(pos))):
        vertices, faces, bad = only_finite(pos[view], tri, width, height)
        faces = faces.to(torch.int32).contiguous()
        prior = pos.new_empty(0) if options.depth_prior is None else options.depth_prior[view].contiguous()
        used = int(options.depth_prior is not None)
        results.append(
            module.rasterize_image(
                vertices.contiguous(), faces, prior, width, height, options.occlusion_truncation, used
            )
        )
        invalid += bad
        report(1.0)
    findices, barycentric = (torch.stack(parts) for parts in zip(*results, strict=True))
    return findices, barycentric, RasterInfo("custom_rasterizer", "", "", str(pos.device), invalid)
