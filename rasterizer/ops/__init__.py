"""The public primitives: they check arguments, choose a backend, and are differentiable."""

from ..backends.registry import backend_names
from .interpolate import interpolate
from .peel import peel
from .rasterize import TILE_SIZE, Weigh, barycentrics, rasterize, rasterize_image, weigher
from .rasterize_quantized import rasterize_quantized

__all__ = [
    "TILE_SIZE",
    "Weigh",
    "backend_names",
    "barycentrics",
    "interpolate",
    "peel",
    "rasterize",
    "rasterize_image",
    "rasterize_quantized",
    "weigher",
]
