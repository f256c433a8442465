"""Runs xatlas in a process of its own: ``python unwrap_worker.py INPUT.npz OUTPUT.npz``.

xatlas holds Python's interpreter lock from its first to its last moment, and cannot be stopped; as a process it stops
nobody, and can be ended. This file is run by its path and imports nothing of the pack, whose module name only ComfyUI
knows.

INPUT holds ``vertices [N, 3]`` float32, ``faces [M, 3]`` uint32, ``resolution`` and ``padding`` in pixels. OUTPUT has
``source [K]``, the vertex that each new one is a copy of, ``faces [M, 3]``, ``uvs [K, 2]`` in 0..1 and ``padding``, the
pixels there are between charts.
"""

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would wait for xatlas to return
    sys.path[:] = sys.path[1:]  # the neighbours of this file are no modules of anybody else

import numpy as np
import xatlas

_RADIUS = 50.0  # xatlas leaves out faces with an area below an absolute bound
_FIRST_RESOLUTION = 1024
_PASSES = 8


def unwrap(vertices: np.ndarray, faces: np.ndarray, resolution: int, padding: int) -> dict[str, np.ndarray]:
    """Cut the mesh into charts and pack them into a square of ``resolution`` pixels."""
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
    uvs, padding = _fit(texels, faces, max(atlas.width, atlas.height), resolution, padding)
    return {"source": source, "faces": faces, "uvs": np.nan_to_num(uvs), "padding": padding}


def _fit(texels: np.ndarray, faces: np.ndarray, side: int, resolution: int, padding: int) -> tuple[np.ndarray, float]:
    """Pack finished charts anew until they fit the square with the padding that was asked for.

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
            return (place + padding / 2) / resolution, float(padding)
    # Too many charts for that padding in so few pixels: as packed at first, shrunk alike in both directions.
    side = float(texels.max())
    return texels / side, padding * resolution / side


if __name__ == "__main__":
    with np.load(sys.argv[1]) as given:
        result = unwrap(given["vertices"], given["faces"], int(given["resolution"]), int(given["padding"]))
    np.savez(sys.argv[2], **result)
