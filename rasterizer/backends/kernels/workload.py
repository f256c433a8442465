"""How the kernels that draw triangles divide the work, by either rule of coverage."""

from __future__ import annotations

MANY = 40_000
"""Triangles that fill a device when each has a thread. Boxes of fewer are handed over when they are quite small."""


def is_shared(triangles: int, pixels: int) -> bool:
    """Whether four threads draw a triangle: worth it where most have more than a few pixels."""
    return triangles >= MANY and pixels >= 3 * triangles


def small_box(triangles: int, shared: bool) -> int:
    """Pixels of a box that is not handed over."""
    if triangles < MANY:
        return 4
    if triangles < 150_000:
        return 16
    return 160 if shared else 64


def looks_first(triangles: int, pixels: int) -> bool:
    """Whether a word is read before its atomic: where a pixel gets so many fragments that most of them lose."""
    return triangles > 4 * pixels


def is_dense(triangles: int, pixels: int) -> bool:
    """Whether so many share a pixel that nearly all lie between the centres of pixels, and are worth a test first."""
    return triangles > 32 * pixels
