"""Meshes so large or so small that float32 does not hold the squares and cubes of their coordinates."""

from __future__ import annotations

import math
from dataclasses import replace

from ..meshes.mesh import Mesh

SMALLEST, LARGEST = 2.0**-40, 2.0**60
"""Coordinates at which normals and distances still have all their digits."""


def largest_coordinate(mesh: Mesh) -> float:
    """Of the vertices that are somewhere, without sign; 0 where there are none."""
    vertices = mesh.vertices.nan_to_num(0.0, 0.0, 0.0)
    return float(vertices.abs().amax()) if len(vertices) else 0.0


def within_float32(mesh: Mesh, size: float | None = None) -> Mesh:
    """The mesh scaled to where float32 serves, if it has to be and can be; ``size`` is its :func:`largest_coordinate`,
    where that is known."""
    size = largest_coordinate(mesh) if size is None else size
    if not size or SMALLEST < size < LARGEST:
        return mesh
    power = min(126, max(-126, -math.frexp(size)[1]))  # a power of two costs no digit
    return replace(mesh, vertices=mesh.vertices * 2.0**power)
