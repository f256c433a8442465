"""Runs xatlas: what :mod:`rasterizer.runtime.process.child` is told to do.

xatlas holds Python's interpreter lock from its first to its last moment, and cannot be stopped.
"""

import math
from typing import Any

import numpy as np
import xatlas

_RADIUS = 50.0  # xatlas leaves out faces with an area below an absolute bound
_FIRST_RESOLUTION = 1024
_PASSES = 8
_SMALLEST_PACKING = 2048
_TEXELS_PER_CHART = 32  # along a side, on average


def work(vertices: np.ndarray, faces: np.ndarray, resolution: np.ndarray, padding: np.ndarray) -> dict[str, Any]:
    """Cut the mesh into charts and pack them into a square of ``resolution`` pixels.

    Args:
        vertices: ``[N, 3]`` float32.
        faces: ``[M, 3]`` uint32.
        resolution: pixels a side of the texture.
        padding: pixels to leave between charts.

    Returns:
        ``source [K]``, the vertex that each new one is a copy of, ``faces [M, 3]``, ``uvs [K, 2]`` in 0..1 and
        ``padding``, the pixels there are between charts.
    """
    return _unwrapped(vertices, faces, int(resolution), int(padding))


def _unwrapped(vertices: np.ndarray, faces: np.ndarray, resolution: int, padding: int) -> dict[str, Any]:
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    scale = _RADIUS / max(float(np.abs(high - low).max()), 1e-30)
    atlas = xatlas.Atlas()
    atlas.add_mesh(np.ascontiguousarray((vertices - (low + high) / 2) * scale, np.float32), faces)
    options = xatlas.PackOptions()
    options.resolution, options.padding = min(resolution, _FIRST_RESOLUTION), padding
    atlas.generate(pack_options=options)
    source, faces, uvs = atlas[0]
    if not atlas.chart_count:
        raise ValueError("it found no face with an area")
    texels = uvs * np.array([atlas.width, atlas.height], np.float32)
    # The time grows with the pixels packed in, and a few charts find their places among fewer just as well.
    packed = min(resolution, max(_SMALLEST_PACKING, math.ceil(_TEXELS_PER_CHART * math.sqrt(atlas.chart_count))))
    fitted = _fit(texels, faces, max(atlas.width, atlas.height), packed, math.ceil(padding * packed / resolution))
    between = float(padding)
    if fitted is None:  # too many charts for that padding: as packed at first, shrunk alike in both directions
        side = float(texels.max())
        fitted, between = texels / side, padding * resolution / side
    return {"source": source, "faces": faces, "uvs": np.nan_to_num(fitted), "padding": between}


def _fit(texels: np.ndarray, faces: np.ndarray, side: int, resolution: int, padding: int) -> np.ndarray | None:
    """Pack finished charts anew until they fit the square with the padding that was asked for; None if they do not.

    xatlas takes a resolution as a hint and exceeds it by half, which would shrink the padding, and by another factor
    in each direction. Packing alone takes it little time.
    """
    room = resolution - padding  # half the padding at the borders, because textures repeat
    scale = 1.0
    texels = np.ascontiguousarray(texels, np.float32)
    faces = np.ascontiguousarray(faces, np.uint32)
    for number in range(_PASSES):
        if room < 1:
            break
        scale *= room / side * (0.99 if number else 1.0)
        atlas = xatlas.Atlas()
        atlas.add_uv_mesh(texels, faces)
        options = xatlas.PackOptions()
        options.texels_per_unit, options.padding = scale, padding
        atlas.generate(pack_options=options)
        source, packed, uvs = atlas[0]
        if atlas.atlas_count != 1 or len(source) != len(texels) or not np.array_equal(packed, faces):
            break
        side = max(atlas.width, atlas.height)
        if side <= room:
            place = uvs * np.array([atlas.width, atlas.height], np.float32)
            return (place + padding / 2) / resolution
    return None
