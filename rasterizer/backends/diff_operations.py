"""The ways to do each step of the differentiable primitives, as rows of :mod:`.registry`.

Beside the registry, which every start imports, so that who does not differentiate does not load them.
"""

from __future__ import annotations

from types import ModuleType

from . import registry
from .eager.diff import antialias as eager_antialias
from .eager.diff import interpolate as eager_interpolate
from .eager.diff import rasterize as eager_rasterize
from .eager.diff import texture as eager_texture
from .eager.diff import topology as eager_topology
from .interface import Implementation
from .kernels.diff import antialias as kernel_antialias
from .kernels.diff import coverage, mipmaps
from .kernels.diff import interpolate as kernel_interpolate
from .kernels.diff import rasterize as kernel_rasterize
from .kernels.diff import texture as kernel_texture
from .kernels.diff import topology as kernel_topology


def _row(eager: ModuleType, kernels: ModuleType, name: str) -> dict[str, Implementation]:
    return {
        "kernels": Implementation(getattr(kernels, name), kernels.reason_against),
        "torch": Implementation(getattr(eager, name), registry.nothing_against),
    }


ROWS = {
    "diff.rasterize": _row(eager_rasterize, kernel_rasterize, "rasterize"),
    "diff.rasterize_backward": _row(eager_rasterize, kernel_rasterize, "rasterize_backward"),
    "diff.interpolate": _row(eager_interpolate, kernel_interpolate, "interpolate"),
    "diff.interpolate_backward": _row(eager_interpolate, kernel_interpolate, "interpolate_backward"),
    "diff.mipmaps": _row(eager_texture, kernel_texture, "mipmaps"),
    "diff.mipmaps_backward": _row(eager_texture, kernel_texture, "mipmaps_backward"),
    "diff.texture": _row(eager_texture, kernel_texture, "texture"),
    "diff.texture_backward": _row(eager_texture, kernel_texture, "texture_backward"),
    "diff.mipmapped": _row(eager_texture, kernel_texture, "mipmapped"),
    "diff.mipmapped_backward": _row(eager_texture, kernel_texture, "mipmapped_backward"),
    "diff.topology": _row(eager_topology, kernel_topology, "topology"),
    "diff.antialias": _row(eager_antialias, kernel_antialias, "antialias"),
    "diff.antialias_backward": _row(eager_antialias, kernel_antialias, "antialias_backward"),
}

registry.IMPLEMENTATIONS.update(ROWS)

# Who rasterizes goes on to interpolate, look up textures and antialias, mostly.
coverage.PROGRAM.soon = tuple(
    module.PROGRAM for module in (kernel_rasterize, kernel_interpolate, mipmaps, kernel_antialias, kernel_topology)
)
