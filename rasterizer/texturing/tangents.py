"""Tangent frames: what the numbers of a normal map are measured along."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..meshes.mesh import Mesh


def face_tangents(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """Of each face: ``[M, 3]`` the unit direction in which u grows, and ``[M]`` its handedness.

    The third axis of a frame is handedness times the cross product of normal and tangent, and points up in the texture,
    against v (glTF 2.0, 3.7.2.1). Both are 0 for faces without area in the layout or in space.
    """
    corners = mesh.faces.long().reshape(-1)
    points = mesh.vertices.index_select(0, corners).view(-1, 3, 3)
    uvs = mesh.require_uvs().index_select(0, corners).view(-1, 3, 2)
    one, other = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    (ax, ay), (bx, by) = (uvs[:, k].sub(uvs[:, 0]).unbind(1) for k in (1, 2))
    sign = torch.sign(ax * by - bx * ay)
    tangent = normalize((one * by[:, None] - other * ay[:, None]) * sign[:, None], dim=1, eps=1e-30)
    there = (tangent != 0).any(1) & (sign != 0)
    # v grows downwards, so a face that is not mirrored runs clockwise in numbers.
    return torch.where(there[:, None], tangent, 0.0), torch.where(there, -sign, 0.0)


def turn_normals(vectors: Tensor, normals: Tensor, old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor]) -> Tensor:
    """``[n, 3]`` vectors of one tangent frame in the coordinates of another around the same normal.

    Args:
        vectors: ``[n, 3]``, along tangent, bitangent and normal.
        normals: ``[n, 3]`` of the surface, of any length.
        old, new: tangents ``[n, 3]`` and handedness ``[n]``, as :func:`face_tangents` has them; where one is 0, a
            vector stays as it is.
    """
    normals = normalize(normals, dim=1, eps=1e-30)
    (across, up), (new_across, new_up) = (_frame(normals, *frame) for frame in (old, new))
    x, y, z = vectors.unbind(1)
    flat = across * x[:, None] + up * y[:, None]
    turned = torch.stack(((flat * new_across).sum(1), (flat * new_up).sum(1), z), dim=1)
    defined = ((across * across).sum(1) > 0.5) & ((new_across * new_across).sum(1) > 0.5)
    return torch.where(defined[:, None], turned, vectors)


def _frame(normals: Tensor, tangents: Tensor, handedness: Tensor) -> tuple[Tensor, Tensor]:
    """The two unit axes across the normals, ``[n, 3]`` each; 0 where there are none."""
    across = normalize(tangents - normals * (tangents * normals).sum(1, keepdim=True), dim=1, eps=1e-6)
    return across, torch.linalg.cross(normals, across) * handedness[:, None]
