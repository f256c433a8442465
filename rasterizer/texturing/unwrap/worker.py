"""Runs xatlas in a process of its own: ``python worker.py INPUT.npz OUTPUT.npz PARENT``.

xatlas holds Python's interpreter lock from its first to its last moment, and cannot be stopped; as a process of its
own it stops nobody, and can be ended. The worker is run by its path and imports nothing of the pack, whose module name
only ComfyUI knows. PARENT is the id of the process that waits for the worker, which ends with it (:func:`end_with`).

INPUT holds ``vertices [N, 3]`` float32, ``faces [M, 3]`` uint32, ``resolution`` and ``padding`` in pixels. OUTPUT has
``source [K]``, the vertex that each new one is a copy of, ``faces [M, 3]``, ``uvs [K, 2]`` in 0..1 and ``padding``, the
pixels there are between charts.
"""

import ctypes
import math
import os
import signal
import sys
from contextlib import suppress
from typing import Any

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would wait for xatlas to return
    # The neighbours of this file are no modules of anybody else. Not every Python puts them first.
    if os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
        del sys.path[0]

import numpy as np
import xatlas

_RADIUS = 50.0  # xatlas leaves out faces with an area below an absolute bound
_FIRST_RESOLUTION = 1024
_PASSES = 8
_SMALLEST_PACKING = 2048
_TEXELS_PER_CHART = 32  # along a side, on average

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the system end this process when ``parent`` ends, however that ends.

    A thread that watched it would never run while xatlas does. On Windows the parent sees to it (``job.py``).
    """
    if sys.platform != "win32":
        if not _killed_by_linux():
            _fork_watcher()
        if os.getppid() != parent:  # it was too late to ask
            os._exit(1)


def _killed_by_linux() -> bool:
    """Whether Linux kills this process when the thread ends that has started it, which waits for it."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # a C library without it
            return ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    return False


if sys.platform != "win32":

    def _fork_watcher() -> None:
        """Start a process that kills this one at the end of standard input, held open by the parent while it lives."""
        worker = os.getpid()
        try:
            if os.fork():
                return
        except OSError:  # too many processes: the work itself can still be done
            return
        try:
            while os.read(0, 1):
                pass
            if os.getppid() == worker:
                os.kill(worker, signal.SIGKILL)
        finally:
            os._exit(0)


def unwrap(vertices: np.ndarray, faces: np.ndarray, resolution: int, padding: int) -> dict[str, Any]:
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


if __name__ == "__main__":
    end_with(int(sys.argv[3]))
    with np.load(sys.argv[1]) as given:
        result = unwrap(given["vertices"], given["faces"], int(given["resolution"]), int(given["padding"]))
    np.savez(sys.argv[2], **result)
