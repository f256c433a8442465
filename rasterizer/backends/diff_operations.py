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


def _row(eager: ModuleType, name: str) -> dict[str, Implementation]:
    return {"torch": Implementation(getattr(eager, name), registry.nothing_against)}


ROWS = {
    "diff.rasterize": _row(eager_rasterize, "rasterize"),
    "diff.rasterize_backward": _row(eager_rasterize, "rasterize_backward"),
    "diff.interpolate": _row(eager_interpolate, "interpolate"),
    "diff.interpolate_backward": _row(eager_interpolate, "interpolate_backward"),
    "diff.mipmaps": _row(eager_texture, "mipmaps"),
    "diff.mipmaps_backward": _row(eager_texture, "mipmaps_backward"),
    "diff.texture": _row(eager_texture, "texture"),
    "diff.texture_backward": _row(eager_texture, "texture_backward"),
    "diff.topology": _row(eager_topology, "topology"),
    "diff.antialias": _row(eager_antialias, "antialias"),
    "diff.antialias_backward": _row(eager_antialias, "antialias_backward"),
}

registry.IMPLEMENTATIONS.update(ROWS)
