"""Textures of a mesh: what is known about its surface, carried to where nothing is known."""

from .vertex_inpaint import inpaint_vertices, vertex_colors

__all__ = ["inpaint_vertices", "vertex_colors"]
