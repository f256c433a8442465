"""``custom_rasterizer``, as Hunyuan3D's packs use it.

The native package's file readers (``LoadGlb``, ``LoadObj``) are left out: nothing calls them.
"""

from ..modules import custom_rasterizer_kernel
from ..modules.custom_rasterizer import render
from ..modules.custom_rasterizer.render import interpolate, rasterize, torch

# The native package star-imports its submodule, so that what that imports is visible too.
__all__ = ["custom_rasterizer_kernel", "interpolate", "rasterize", "render", "torch"]
