"""Textures of a mesh: baked from views, and carried to where nothing was painted."""

from .apply import apply_textures
from .bake import Baked, bake_views
from .fill import METHODS, fill_texture
from .gutter import spread
from .texels import Texels
from .vertex_inpaint import inpaint_vertices, vertex_colors

__all__ = [
    "METHODS",
    "Baked",
    "Texels",
    "apply_textures",
    "bake_views",
    "fill_texture",
    "inpaint_vertices",
    "spread",
    "vertex_colors",
]
