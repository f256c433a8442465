"""UV coordinates for meshes that have none, by xatlas."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...contract.checks import as_array, as_tensor, check_faces, check_integer
from ...meshes.mesh import Mesh
from ...runtime.log import log
from ...runtime.process.run import FailedError, RefusedError, in_process
from ...runtime.progress import staged

MANY_FACES = 100_000
"""Above this :func:`unwrap_uv` warns that it takes long."""

_WORKER = Path(__file__).with_name("worker.py")
_RESULTS = {"source": np.int64, "faces": np.int32, "uvs": np.float32}
_ELSEWHERE = (
    "Or unwrap elsewhere: ComfyUI's Unwrap Mesh (from about 0.30), a UV Wrap node of the Hunyuan3D packs, or Blender."
)


def unwrap_uv(
    mesh: Mesh, resolution: int = 1024, padding: int = 2, on_progress: Callable[[float], None] | None = None
) -> Mesh:
    """The mesh with new UVs in 0..1, without overlap, its vertices duplicated along seams.

    Faces keep their order; normals and vertex colours go with their vertices. Textures are left out, because the new
    UVs do not lie on them; :func:`~rasterizer.texturing.carry.carry_textures` brings them over. xatlas runs in a
    process of its own, so that this one stays responsive.

    Args:
        mesh: what to unwrap; UVs that it has are replaced.
        resolution: side in pixels of the square texture to lay the charts out for.
        padding: pixels to leave between charts in it.
        on_progress: called several times a second with 0, at the end with 1; an exception it raises ends the work.

    Raises:
        ValueError: a resolution or padding out of range, or a mesh that xatlas can do nothing with.
        RuntimeError: xatlas is not installed, or has failed; the text says what to do.
    """
    check_integer(resolution, 16, 16384, "resolution")
    check_integer(padding, 0, 64, "padding")
    check_faces(mesh.faces, len(mesh.vertices), mesh.faces.device, "mesh")
    as_tensor(mesh.vertices, "mesh vertices")
    report = on_progress or (lambda share: None)
    if importlib.util.find_spec("xatlas") is None:
        raise RuntimeError(
            "Unwrapping needs the Python package xatlas, which is not installed. Install it into the Python that runs "
            "this (pip install xatlas; ready-made for Python 3.10 to 3.13 on Windows, macOS and Linux with an Intel or "
            f"AMD processor, and for Macs with an Apple one). {_ELSEWHERE}"
        )
    if len(mesh.faces) > MANY_FACES:
        log.warning("Unwrap UV: %s", advice(len(mesh.faces)))
    source, faces, uvs, found = _by_xatlas(mesh, resolution, padding, report)
    if found < padding:
        log.warning(
            "Unwrap UV: %d pixels between charts do not fit into %d x %d; there are %.1f. Choose a larger resolution "
            "or less padding.",
            *(padding, resolution, resolution, found),
        )
    report(1.0)
    source = source.to(mesh.vertices.device)
    return replace(
        mesh,
        vertices=mesh.vertices[source],
        faces=faces.to(source.device),
        uvs=uvs.to(source.device),
        normals=None if mesh.normals is None else mesh.normals[source],
        vertex_colors=None if mesh.vertex_colors is None else mesh.vertex_colors[source],
        texture=None,
        metallic_roughness=None,
        normal_map=None,
        occlusion_in_mr=False,
    )


def advice(faces: int) -> str:
    """What to tell somebody who unwraps a mesh of more than :data:`MANY_FACES`."""
    return (
        f"The mesh has {faces} faces, and xatlas takes minutes above {MANY_FACES}, sometimes hours. Put Simplify Mesh "
        f"before it, with 40000 faces for instance. {_ELSEWHERE}"
    )


def _by_xatlas(
    mesh: Mesh, resolution: int, padding: int, report: Callable[[float], None]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """What :mod:`.worker` makes of a mesh: ``source``, ``faces`` and ``uvs`` on the CPU, and ``padding``."""
    given = {
        "vertices": as_array(mesh.vertices),
        "faces": as_array(mesh.faces).astype(np.uint32),
        "resolution": np.array(resolution),
        "padding": np.array(padding),
    }
    try:
        made = in_process(_WORKER, given, staged("unwrapping by xatlas", report))
    except RefusedError as error:
        raise ValueError(f"mesh: xatlas cannot unwrap it: {error}") from error
    except FailedError as error:
        raise RuntimeError(f"xatlas has failed on this mesh: {error}. {_ELSEWHERE}") from error
    source, faces, uvs = (torch.from_numpy(made[key].astype(kind)) for key, kind in _RESULTS.items())
    return source, faces, uvs, float(made["padding"])
