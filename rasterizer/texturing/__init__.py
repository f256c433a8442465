"""Textures of a mesh: baked from views, and carried to where nothing was painted."""

from .apply import apply_textures
from .bake.blend import Baked
from .bake.over import bake_over
from .bake.views import BLENDS, bake_views
from .carry import carried_sizes, carry_textures
from .fill.methods import METHODS, fill_texture
from .fill.plane import spread
from .fill.vertices.inpaint import inpaint_vertices, vertex_colors
from .images import MeshImages, mesh_images
from .layout import uv_layout_image
from .refine.refine import Refined, refine_texture
from .texels import Texels

__all__ = [
    "BLENDS",
    "METHODS",
    "Baked",
    "MeshImages",
    "Refined",
    "Texels",
    "apply_textures",
    "bake_over",
    "bake_views",
    "carried_sizes",
    "carry_textures",
    "fill_texture",
    "inpaint_vertices",
    "mesh_images",
    "refine_texture",
    "spread",
    "uv_layout_image",
    "vertex_colors",
]
