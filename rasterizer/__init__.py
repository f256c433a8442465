"""A triangle rasterizer in PyTorch: z-buffer, face indices, barycentrics and attribute interpolation on any device.

>>> import torch, rasterizer
>>> pos = torch.tensor([[-1.0, -1.0, 0.0, 1.0], [1.0, -1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
>>> findices, barycentric = rasterizer.rasterize(pos, torch.tensor([[0, 1, 2]]), (64, 64))
>>> int(findices.max()), tuple(barycentric.shape)
(1, (64, 64, 3))

The rule is stated in :mod:`rasterizer.contract.rule`; it is that of Hunyuan3D's ``custom_rasterizer``, bit for bit.
"""

from .contract.types import Fragments, RasterInfo
from .diagnostics.info import BackendInfo, backend_info
from .dropin.guide_names import PyTorchRasterizer, RasterizerWrapper, create_optimized_rasterizer
from .hierarchy import GridHierarchy, build_hierarchy, build_hierarchy_with_feat, fill_surface
from .ops import barycentrics, interpolate, rasterize, rasterize_image
from .version import __version__

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
]
