"""Cameras: where they stand, what they project, and the usual sets of views."""
