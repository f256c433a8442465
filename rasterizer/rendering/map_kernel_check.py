"""What the GPU kernels of maps must pass before they are used on a device."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cameras.camera import look_at, orbit_camera
from ..cameras.projection import normalization
from ..meshes.mesh import Mesh
from ..meshes.sample_meshes import trefoil_knot
from . import map_kernels, map_operators

_SIZE = 61, 75
_CLOSE = 2e-7  # positions and depths, where a division may be a product of the reciprocal
_NORMALS = 1e-5  # those of small faces differ by what products are fused


def check_kernels(device: torch.device) -> None:
    """Compare the kernels with PyTorch's operators on a small mesh with seams, seen with and without perspective.

    Raises:
        RuntimeError: a number differs.
    """
    mesh = trefoil_knot(60, 12, radius=0.25).to(device)
    _compare("vertex normals", map_kernels.vertex_normals(mesh), mesh.vertex_normals(), _NORMALS)
    orbits = [orbit_camera(0, 0), orbit_camera(200, 30, ortho_scale=None)]
    aside = look_at((3.0, 1.0, 4.0), (0.0, 0.0, 0.0))
    frame = normalization(mesh.vertices)
    smooth = Mesh(mesh.vertices, mesh.faces, normals=mesh.vertex_normals())
    for shown, cameras in ((smooth, orbits), (Mesh(mesh.vertices, mesh.faces), [*orbits, aside])):
        request = shown, cameras, _SIZE, frame, _ignore, (_ignore,) * 3
        ours, theirs = map_kernels.maps(*request), map_operators.maps(*request)
        for name, one, other in zip(("normal", "position", "depth", "mask"), ours, theirs, strict=True):
            _compare(f"{name} map", one, other, _NORMALS if name == "normal" else _CLOSE)


def _ignore(share: float) -> None:
    pass


def _compare(name: str, got: Tensor, want: Tensor, close: float) -> None:
    wrong = int((~((got - want).abs() <= close)).sum())
    if wrong:
        raise RuntimeError(f"self-test: {wrong} of {want.numel()} values of the {name} differ")
