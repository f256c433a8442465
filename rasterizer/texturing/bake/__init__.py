"""Views of a mesh, to its texture."""
