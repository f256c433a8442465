"""Textures that, rendered, give back the pictures they come from."""
