"""Whether an installed module can be used here, in whose place ours would be otherwise."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from ..runtime.presence import broken

__all__ = ["broken", "problem", "renderer_device"]

_SURFACE = {
    "custom_rasterizer": ("rasterize", "interpolate"),
    "custom_rasterizer_kernel": ("rasterize_image",),
    "mesh_inpaint_processor": ("meshVerticeInpaint",),
    "mesh_processor": ("meshVerticeInpaint",),
    "nvdiffrast.torch": ("RasterizeCudaContext", "rasterize", "interpolate", "texture", "antialias"),
}


def problem(name: str, module: ModuleType) -> str:
    """Why an imported module cannot be used, in one line; empty if it can.

    Args:
        name: the full name it was imported by.
        module: what the import gave.
    """
    last = name.rpartition(".")[2]
    if last == "nvdiffrast":
        return _problem_of_nvdiffrast()
    return _missing(module, last) or (_draw_with_kernel(module) if last == "custom_rasterizer_kernel" else "")


def _missing(module: ModuleType, surface: str) -> str:
    missing = [wanted for wanted in _SURFACE[surface] if not hasattr(module, wanted)]
    return f"installed but without {' and '.join(missing)}" if missing else ""


def renderer_device() -> torch.device:
    """Where Hunyuan3D's renderer works here: CUDA or ROCm, else ComfyUI's device, else the CPU.

    The renderer moves float64 arrays to its device before it makes them float32, so that Apple's GPUs cannot be used.
    """
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    management = sys.modules.get("comfy.model_management")
    device = torch.device("cpu") if management is None else torch.device(management.get_torch_device())
    if device.type == "privateuseone":  # DirectML, see working_device
        return torch.device("cpu")
    try:
        torch.zeros(1, dtype=torch.float64).to(device).float()
    except Exception:  # each kind of device refuses in its own way
        return torch.device("cpu")
    return device


def _draw_with_kernel(module: ModuleType) -> str:
    device = renderer_device()
    if device.type not in ("cpu", "cuda"):
        return f"installed but has no {device.type} version"

    def draw(corners: Tensor, face: Tensor) -> Tensor:
        return module.rasterize_image(corners, face, corners.new_empty(0), 8, 8, 1e-6, 0)[0]

    return _draw_one_triangle(device, draw)


def _problem_of_nvdiffrast() -> str:
    """Its outer package is plain Python: what can fail is the extension that the inner one brings, or builds."""
    inner = importlib.import_module("nvdiffrast.torch")
    missing = _missing(inner, "nvdiffrast.torch")
    if missing:
        return missing
    device = renderer_device()

    def draw(corners: Tensor, face: Tensor) -> Tensor:
        rast, _ = inner.rasterize(inner.RasterizeCudaContext(device=device), corners[None], face, [8, 8])
        return rast[0, ..., 3]

    return _draw_one_triangle(device, draw)


def _draw_one_triangle(device: torch.device, draw: Callable[[Tensor, Tensor], Tensor]) -> str:
    """A wheel for other GPUs imports well and fails at its first launch, or draws nothing."""
    corners = torch.tensor(
        [[-0.9, -0.9, 0.0, 1.0], [0.9, -0.9, 0.0, 1.0], [-0.9, 0.9, 0.0, 1.0]], dtype=torch.float32, device=device
    )
    face = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=device)
    try:
        drawn = draw(corners, face).cpu().tolist()  # waits for the GPU, whose errors come late
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else ""
        return f"installed but fails on {device} ({type(error).__name__}: {first})"
    if (drawn[2][2], drawn[7][7]) != (1, 0):
        return f"installed but draws nothing on {device}"
    return ""
