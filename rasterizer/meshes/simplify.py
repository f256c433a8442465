"""Meshes with fewer faces, by fast-simplification."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..contract.checks import as_array, as_tensor, check_faces, check_integer
from ..runtime.process.run import FailedError, RefusedError, in_process
from ..runtime.progress import staged
from .mesh import Mesh, weld_index

FEWEST_FACES = 4
"""The least that :func:`simplify_mesh` may be asked for: a tetrahedron's."""

_WORK = Path(__file__).with_name("decimation.py")
_CHUNK = 2**18
_SHARE = 0.8  # of the time, for the collapses


def simplify_mesh(
    mesh: Mesh, target_faces: int, keep_uvs: bool = True, on_progress: Callable[[float], None] | None = None
) -> Mesh:
    """The mesh with ``target_faces`` faces, or as few as can be, by collapsing edges where that changes least.

    The quadric error of Garland and Heckbert ("Surface simplification using quadric error metrics", 1997) says where
    that is. Vertices at exactly the same position are one to begin with, so that a closed mesh stays closed, and
    vertices on open borders stay where they are. With ``keep_uvs``, vertices along UV seams do, too: no crack opens,
    and the textures lie on the mesh as before, but seams set a limit to how few faces there can be.

    UVs and vertex colours of a new vertex are those of the point next to it on the faces it replaces. Normals, where
    the mesh has them, are computed anew. Faces without area by their vertices are left out. The work runs in a process
    of its own, so that this one stays responsive.

    Args:
        mesh: what to simplify; one with no more faces than asked for is returned as it is.
        target_faces: from 4 on.
        keep_uvs: without, UVs and the textures on them are left out.
        on_progress: called with the share that is done; an exception it raises ends the work.

    Raises:
        ValueError: a mesh without faces or with positions that are not finite, or ``target_faces`` out of range.
        RuntimeError: fast-simplification is not installed, or has failed; the text says what to do.
    """
    check_integer(target_faces, FEWEST_FACES, 2**31 - 1, "target_faces")
    check_faces(mesh.faces, len(mesh.vertices), mesh.faces.device, "mesh")
    as_tensor(mesh.vertices, "mesh vertices")
    if not len(mesh.faces):
        raise ValueError(f"mesh: found {len(mesh.vertices)} vertices and no faces, expected faces to simplify")
    if not mesh.vertices.isfinite().all():
        raise ValueError("mesh: found positions that are not finite numbers, expected finite ones")
    if len(mesh.faces) <= target_faces:
        return mesh
    if importlib.util.find_spec("fast_simplification") is None:
        raise RuntimeError(
            "Simplifying needs the Python package fast-simplification, which is not installed. Install it into the "
            "Python that runs this (pip install fast-simplification; ready-made for Python 3.10 to 3.14 on Windows, "
            "Linux and macOS with an Intel or AMD processor, and for Macs with an Apple one). Or simplify elsewhere: "
            "ComfyUI's Decimate Mesh, Postprocess Mesh of the Hunyuan3D packs, or Blender."
        )
    report = on_progress or (lambda share: None)
    kept = (
        mesh
        if keep_uvs
        else replace(mesh, uvs=None, texture=None, metallic_roughness=None, normal_map=None, occlusion_in_mr=False)
    )
    made = _simplified(kept.to("cpu"), target_faces, report).to(mesh.vertices.device)
    report(1.0)
    return made


def _simplified(mesh: Mesh, target_faces: int, report: Callable[[float], None]) -> Mesh:
    """The same for a mesh on the CPU that has too many faces."""
    place = _same_vertices(mesh)
    numbers = torch.arange(len(place), device="cpu")
    example = place.new_full((int(place.max()) + 1,), len(place)).scatter_reduce(0, place, numbers, "amin")
    faces = place[mesh.faces.long()]
    whole = (faces != faces.roll(1, 1)).all(1)
    if not whole.any():
        raise ValueError(f"mesh: found {len(faces)} faces without area, each with two corners at the same position")
    used, corners = faces[whole].unique(return_inverse=True)
    given = {
        "vertices": as_array(mesh.vertices[example[used]]),
        "faces": as_array(corners).astype(np.int32),
        "fixed": as_array(_on_seams(mesh.vertices[example[used]])),
        "target": np.array(min(target_faces, len(corners))),
    }
    try:
        made = in_process(_WORK, given, staged("collapsing edges", lambda share: report(_SHARE * share)))
    except (RefusedError, FailedError) as error:
        raise RuntimeError(f"fast-simplification has failed on this mesh: {error}") from error
    became, positions, left = (torch.from_numpy(made[name]) for name in ("became", "positions", "faces"))
    if not len(left):
        raise ValueError(f"target_faces: {target_faces} leave nothing of the mesh; expected more")
    replaced = mesh.faces[whole].long()
    looking = staged("UVs and colours", report)
    sources, weights = _nearest(mesh.vertices, replaced, became[corners], positions, looking)
    # What is no more than one of the old vertices stays it to the bit, so that both sides of a seam agree.
    alone = became.clamp_min(0).bincount(became >= 0, len(positions)) == 1
    old = torch.zeros_like(alone, dtype=torch.int64).scatter(0, became.clamp_min(0), example[used])
    sources = torch.where(alone[:, None], old[:, None], sources)
    weights = torch.where(alone[:, None], weights.new_tensor([1.0, 0.0, 0.0]), weights)

    def mixed(values: Tensor | None) -> Tensor | None:
        return None if values is None else (values[sources] * weights[..., None]).sum(1)

    dressed = replace(
        mesh,
        vertices=torch.where(alone[:, None], mesh.vertices[old], positions),
        faces=left,
        uvs=mixed(mesh.uvs),
        vertex_colors=mixed(mesh.vertex_colors),
        normals=None,
    )
    return dressed if mesh.normals is None else replace(dressed, normals=dressed.vertex_normals())


def _same_vertices(mesh: Mesh) -> Tensor:
    """``[N]`` int64 from 0 on, equal for vertices at the same position, and at the same UVs where there are any."""
    place = weld_index(mesh.vertices)
    if mesh.uvs is None:
        return place
    flat = weld_index(torch.nn.functional.pad(mesh.uvs, (0, 1)))
    return torch.unique(place * len(place) + flat, return_inverse=True)[1]


def _on_seams(vertices: Tensor) -> Tensor:
    """``[F]`` int64: which vertices share their position with another one, whose UVs are therefore different."""
    place = weld_index(vertices)
    return (place.bincount()[place] > 1).nonzero()[:, 0]


def _nearest(
    vertices: Tensor, faces: Tensor, became: Tensor, positions: Tensor, report: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """For every new vertex, the point next to it on the old faces that had a corner which became it.

    Those lie around it on the same surface, and on the same side of a seam, which what lies nearest in space may not.

    Args:
        vertices: ``[N, 3]`` of the old mesh.
        faces: ``[M, 3]`` int64 of it.
        became: ``[M, 3]`` the new vertex that each corner is part of, or -1.
        positions: ``[K, 3]`` of the new vertices.
        report: takes the share done.

    Returns:
        ``[K, 3]`` the corners of the face that the point lies on, and ``[K, 3]`` what each of them counts.
    """
    vertices, positions = vertices / 4, positions / 4  # so that no extent is beyond float32
    low, high = vertices.aminmax(dim=0)
    scale = 1 / (high - low).max().clamp_min(1e-30)  # else squares of areas underflow for a small mesh
    vertices, positions = (vertices - low) * scale, (positions - low) * scale
    owners = became.flatten().clamp_min(0)
    rows = torch.arange(len(owners), device="cpu")

    def corners(rows: Tensor) -> Tensor:
        return vertices[faces[rows // 3]] - positions[owners[rows], None]

    distances = positions.new_empty(len(owners))
    for part in rows.split(_CHUNK):
        distances[part] = _to_triangle(corners(part))[0]
        report(_SHARE + (1 - _SHARE) * int(part[0]) / len(rows))
    distances[became.flatten() < 0] = torch.inf
    least = positions.new_full((len(positions),), torch.inf).scatter_reduce(0, owners, distances, "amin")
    first = torch.where(distances <= least[owners], rows, len(rows))
    found = owners.new_full((len(positions),), len(rows)).scatter_reduce(0, owners, first, "amin")
    weights = torch.cat([_to_triangle(corners(part))[1] for part in found.split(_CHUNK)])
    return faces[found // 3], weights


def _to_triangle(corners: Tensor) -> tuple[Tensor, Tensor]:
    """From the origin to triangles ``[R, 3, 3]``: squared distances ``[R]`` and barycentrics ``[R, 3]`` of the feet.

    The foot on the plane where it lies within, else on the nearest of the three edges.
    """
    along = corners.roll(-1, 1) - corners
    share = (-(corners * along).sum(-1) / along.square().sum(-1).clamp_min(1e-38)).clamp(0, 1)
    squares, edge = (corners + share[..., None] * along).square().sum(-1).min(1)
    share = share.gather(1, edge[:, None])
    weights = corners.new_zeros(len(corners), 3).scatter(1, edge[:, None], 1 - share)
    weights = weights.scatter(1, (edge[:, None] + 1) % 3, share)

    normal = torch.linalg.cross(along[:, 0], along[:, 1])
    size = normal.square().sum(-1)
    opposite = torch.linalg.cross(corners.roll(-1, 1), corners.roll(-2, 1))  # twice the areas seen from the origin
    inner = (opposite * normal[:, None]).sum(-1) / size[:, None].clamp_min(1e-38)
    height = (corners[:, 0] * normal).sum(-1).square() / size.clamp_min(1e-38)
    within = (inner >= 0).all(1) & (size > 1e-38)
    return torch.where(within, height, squares), torch.where(within[:, None], inner, weights)
