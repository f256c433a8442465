"""Filling over the vertices of a mesh, as Hunyuan3D does."""
