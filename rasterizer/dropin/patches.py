"""What must change in other packs for a machine without CUDA; with CUDA or ROCm, nothing does.

Each change is as small as it can be, is made after the import of the module it concerns, and is logged by the finder.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .checks import renderer_device


def patch(module: ModuleType) -> str:
    """Adapt a module with a ``MeshRender``, or the nodes of a pack like visualbruno's.

    Args:
        module: fully imported.

    Returns:
        What was changed, for people; empty if nothing had to be.
    """
    if torch.cuda.is_available():
        return ""
    renderer = getattr(module, "MeshRender", None)
    changes = []
    if isinstance(renderer, type) and renderer.__module__ == module.__name__:
        changes = [_follow_device(renderer), _copy_in_set_mesh(renderer), _copy_in_get_mesh(renderer)]
    elif callable(getattr(module, "convert_ndarray_to_pil", None)):
        changes = [_convert_on_cpu(module)]
    return ", ".join(change for change in changes if change)


def _follow_device(renderer: Any) -> str:
    """Packs never pass ``device``, so its default decides."""
    init = renderer.__init__
    code, defaults = init.__code__, list(init.__defaults__ or ())
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    if "device" not in names or defaults[names.index("device")] != "cuda":
        return ""
    device = str(renderer_device())
    defaults[names.index("device")] = device
    init.__defaults__ = tuple(defaults)
    return f"the default device of MeshRender is {device} instead of cuda"


def _copy_in_set_mesh(renderer: Any) -> str:
    """``set_mesh`` turns axes in place in what ``from_numpy(array).to(device).float()`` gives.

    On a CPU that is the caller's own array if it has float32, as the UVs have that xatlas makes: the mesh would leave
    with its texture upside down.
    """
    original = getattr(renderer, "set_mesh", None)
    if original is None or hasattr(original, "torch_rasterizer"):
        return ""

    @functools.wraps(original)
    def set_mesh(self: Any, *args: Any, **options: Any) -> Any:
        if torch.device(self.device).type == "cpu":
            args = tuple(_copy(value) for value in args)
            options = {name: _copy(value) for name, value in options.items()}
        return original(self, *args, **options)

    renderer.set_mesh = _marked(set_mesh)
    return "MeshRender.set_mesh works on copies"


def _marked(function: Any) -> Any:
    """A function of ours, by which a second time of patching knows it."""
    function.torch_rasterizer = True
    return function


def _copy(value: Any) -> Any:
    """Coordinates to be changed in place; indices, and what is no array, are only read."""
    return np.array(value) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _copy_in_get_mesh(renderer: Any) -> str:
    """``get_mesh`` turns axes in place in what ``.cpu().numpy()`` gives: on a CPU, the renderer's own tensors."""
    original = getattr(renderer, "get_mesh", None)
    if original is None or hasattr(original, "torch_rasterizer"):
        return ""

    @functools.wraps(original)
    def get_mesh(self: Any, *args: Any, **options: Any) -> Any:
        found = {name: getattr(self, name, None) for name in ("vtx_pos", "vtx_uv")}
        own = {
            name: tensor for name, tensor in found.items() if isinstance(tensor, Tensor) and tensor.device.type == "cpu"
        }
        try:
            for name, tensor in own.items():
                setattr(self, name, tensor.clone())
            return original(self, *args, **options)
        finally:
            for name, tensor in own.items():
                setattr(self, name, tensor)

    renderer.get_mesh = _marked(get_mesh)
    return "MeshRender.get_mesh works on copies"


def _convert_on_cpu(module: Any) -> str:
    """``convert_ndarray_to_pil`` sends a picture to ``"cuda"`` only to fetch it back at once."""
    original: Callable[..., Any] | None = getattr(module, "_convert_texture_format", None)
    if original is None or hasattr(original, "torch_rasterizer"):
        return ""

    @functools.wraps(original)
    def convert(tex: Any, texture_size: Any, device: Any, *args: Any, **options: Any) -> Any:
        return original(tex, texture_size, "cpu" if device == "cuda" else device, *args, **options)

    module._convert_texture_format = _marked(convert)
    return "convert_ndarray_to_pil works on the CPU instead of cuda"
