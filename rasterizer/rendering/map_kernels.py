"""Conditioning maps as GPU kernels: six launches beside the drawing, where PyTorch's take some 150.

``map_kernels.cu`` has the kernels. They do what :mod:`.map_operators` does, with the bits of operators on a GPU, but
for normals: those are summed in integers, so that they do not depend on the order of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..cameras.camera import Camera
from ..cameras.projection import DIAMETER, Frame, camera_table, to_clip
from ..contract.checks import check_faces, check_resolution
from ..contract.rule import DEPTH_SCALE
from ..gpu.program import SCREEN, Program
from ..gpu.structs import struct
from ..meshes.mesh import Mesh
from ..ops import rasterize
from ..runtime.devices import sent
from ..runtime.progress import Report

VIEWS = 65535
"""At most: no grid has more rows of blocks."""

_THREADS = 256  # of a block, in every kernel
_CAMERA = 20  # numbers of a row of the cameras' table
_NONE = -(2**31)

_Welding = struct(
    "Welding",
    ("const float*", "positions", "[vertices, 3]"),
    ("const int*", "tri", "[faces, 3]"),
    ("int*", "slots", "[mask + 1] 0, or 1 and the number of a vertex"),
    ("int*", "welded", "[vertices] one of those at the same position, the same for all of them"),
    ("i64*", "sums", "[vertices, 3] of unit normals times SUM_SCALE"),
    ("float*", "normals", "[vertices, 3]"),
    ("u32", "vertices, faces", ""),
    ("u32", "mask", ""),
    ("int", "tri_is_64", ""),
)

_Pictures = struct(
    "Pictures",
    ("const float*", "positions", "[vertices, 3]"),
    ("const float*", "normals", "[vertices, 3], or null for those of faces"),
    ("const int*", "tri", "[faces, 3]"),
    ("const float*", "centre, scale", "[3] and [1], what normalises the mesh"),
    ("const float*", "cameras", "[views, CAMERA]"),
    ("float*", "pos", "[views, vertices, 4] clip space"),
    ("const int*", "findices", "[views, height, width]"),
    ("float*", "normal, position, depth", "[views, height, width, 3]"),
    ("float*", "mask", "[views, height, width]; distances until depth has run"),
    ("int*", "ends", "[views, 2] minus the least distance and the greatest, as integers in this order"),
    ("u32", "vertices, faces", ""),
    ("u32", "width, height", ""),
    ("float", "last_x, last_y", "width - 1 and height - 1"),
    ("int", "tri_is_64", ""),
    ("int", "unused", ""),
)

PROGRAM = Program(
    Path(__file__).with_name("map_kernels.cu"),
    ("weld", "gather", "finish", "clip", "paint", "depth"),
    "maps",
    structs=(_Welding, _Pictures),
    shared=(SCREEN,),
    defines={
        "THREADS": _THREADS,
        "CAMERA": _CAMERA,
        "NONE": _NONE,
        "SUM_SCALE": float(2**32),
        "DIAMETER": DIAMETER,
        "DEPTH_SCALE": DEPTH_SCALE,
    },
)


def vertex_normals(mesh: Mesh) -> Tensor:
    """As :meth:`~rasterizer.meshes.mesh.Mesh.vertex_normals`, welded."""
    vertices, device = len(mesh.vertices), mesh.vertices.device
    check_faces(mesh.faces, vertices, device, "Mesh faces")
    slots = 2 << vertices.bit_length()
    # The sums, and then the slots, two for each of these numbers.
    zeros = torch.zeros(3 * vertices + slots // 2, dtype=torch.int64, device=device)
    welded = torch.empty(vertices, dtype=torch.int32, device=device)
    normals = torch.empty((vertices, 3), dtype=torch.float32, device=device)
    positions, tri = mesh.vertices.contiguous(), mesh.faces.contiguous()
    params = _Welding(vertices=vertices, faces=len(tri), mask=slots - 1)
    params.point(device, positions=positions, tri=tri, welded=welded, normals=normals, sums=zeros)
    params.slots = params.sums + 24 * vertices
    launch = PROGRAM.launching(_THREADS, device, params)
    launch("weld", vertices)
    launch("gather", len(tri))
    launch("finish", vertices)
    return normals


def _table(cameras: tuple[Camera, ...], width: int, height: int, device: torch.device) -> Tensor:
    """The cameras as the kernels want them, on the CPU, where they wait for the next call with the same ones."""
    try:
        return _kept_table(cameras, width, height, device.type)
    except TypeError:  # one has no hash: its position is a list
        return _kept_table.__wrapped__(cameras, width, height, device.type)


@lru_cache(maxsize=64)
def _kept_table(cameras: tuple[Camera, ...], width: int, height: int, kind: str) -> Tensor:
    table = camera_table(cameras, width, height)
    return table.pin_memory() if kind == "cuda" else table


def maps(
    mesh: Mesh,
    cameras: Sequence[Camera],
    resolution: tuple[int, int],
    frame: Frame,
    drawing: Report,
    coloring: Sequence[Report],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As :func:`.map_operators.maps`."""
    (height, width), device, views = check_resolution(resolution), mesh.vertices.device, len(cameras)
    table = sent(_table(tuple(cameras), width, height, device), device)
    params = _Pictures(
        vertices=len(mesh.vertices),
        faces=len(mesh.faces),
        width=width,
        height=height,
        last_x=width - 1,
        last_y=height - 1,
    )
    given = {  # kept until all is launched
        "positions": mesh.vertices.contiguous(),
        "normals": mesh.normals,
        "tri": mesh.faces.contiguous(),
        "centre": frame.centre.contiguous(),
        "scale": frame.scale,
    }
    params.point(device, **given, cameras=table)
    if all(camera.normalized for camera in cameras):
        clip = torch.empty((views, len(mesh.vertices), 4), dtype=torch.float32, device=device)
        params.point(device, pos=clip)
        PROGRAM.launching(_THREADS, device, params)("clip", len(mesh.vertices), views)
    else:
        clip = to_clip(mesh.vertices, cameras, width, height, frame)
        params.point(device, pos=clip)
    found = rasterize(clip, mesh.faces, (height, width), on_progress=drawing, barycentrics=False).findices.contiguous()
    normal, position, depth = (
        torch.empty((views, height, width, 3), dtype=torch.float32, device=device) for _ in range(3)
    )
    mask = torch.empty((views, height, width), dtype=torch.float32, device=device)
    ends = torch.full((views, 2), _NONE, dtype=torch.int32, device=device)
    params.point(device, findices=found, normal=normal, position=position, depth=depth, mask=mask, ends=ends)
    launch = PROGRAM.launching(_THREADS, device, params)
    for report in coloring[:2]:
        report(0.0)
    launch("paint", height * width, views)
    coloring[2](0.0)
    launch("depth", height * width, views)
    return normal, position, depth, mask
