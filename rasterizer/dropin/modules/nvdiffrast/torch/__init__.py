"""``nvdiffrast.torch``: all that its users call."""

from .ops import (
    DepthPeeler,
    RasterizeCudaContext,
    RasterizeGLContext,
    antialias,
    antialias_construct_topology_hash,
    get_log_level,
    interpolate,
    rasterize,
    set_log_level,
    texture,
    texture_construct_mip,
)

__all__ = [
    "DepthPeeler",
    "RasterizeCudaContext",
    "RasterizeGLContext",
    "antialias",
    "antialias_construct_topology_hash",
    "get_log_level",
    "interpolate",
    "rasterize",
    "set_log_level",
    "texture",
    "texture_construct_mip",
]
