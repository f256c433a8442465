"""A triangle rasterizer in PyTorch: z-buffer, face indices, barycentrics and attribute interpolation on any device.

>>> import torch, rasterizer
>>> pos = torch.tensor([[-1.0, -1.0, 0.0, 1.0], [1.0, -1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
>>> findices, barycentric = rasterizer.rasterize(pos, torch.tensor([[0, 1, 2]]), (64, 64))
>>> int(findices.max()), tuple(barycentric.shape)
(1, (64, 64, 3))

The rule is stated in :mod:`rasterizer.contract.rule`; it is that of Hunyuan3D's ``custom_rasterizer``, bit for bit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .contract.types import Fragments, RasterInfo
    from .diagnostics.info import BackendInfo, backend_info
    from .dropin.guide_names import PyTorchRasterizer, RasterizerWrapper, create_optimized_rasterizer
    from .hierarchy import GridHierarchy, build_hierarchy, build_hierarchy_with_feat, fill_surface
    from .ops import barycentrics, interpolate, rasterize, rasterize_image, rasterize_quantized

__all__ = [
    "BackendInfo",
    "Fragments",
    "GridHierarchy",
    "PyTorchRasterizer",
    "RasterInfo",
    "RasterizerWrapper",
    "__version__",
    "backend_info",
    "barycentrics",
    "build_hierarchy",
    "build_hierarchy_with_feat",
    "create_optimized_rasterizer",
    "fill_surface",
    "interpolate",
    "rasterize",
    "rasterize_image",
    "rasterize_quantized",
]

_ROOMS = ("ops", "hierarchy", "contract.types", "diagnostics.info", "dropin.guide_names")
"""Where the public names are."""

_PACKAGES = ("hierarchy", "texturing")
"""Rooms with public names of their own."""


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: PyTorch takes seconds to load, and ``--help`` needs none."""
    if name in _PACKAGES:
        return importlib.import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for room in _ROOMS:
        module = importlib.import_module(f".{room}", __name__)
        if name in vars(module):
            value = globals()[name] = getattr(module, name)
            return value
    raise AssertionError(f"{name} is in none of {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
