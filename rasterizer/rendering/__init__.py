"""A mesh through cameras: fragments, attribute pictures, maps."""
