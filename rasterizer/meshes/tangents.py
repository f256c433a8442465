"""Tangent frames: what the numbers of a normal map are measured along."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .mesh import Mesh


def vertex_tangents(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """Unit tangents ``[2 N, 3]`` of the vertices, along u, and which faces are mirrored, ``[M]`` bool.

    As MikkTSpace, which glTF 2.0 names for meshes without tangents, has them: the mean over the faces at a vertex,
    weighted by their angle there, apart for faces whose texture is mirrored: their tangents stand after the N others.
    A frame's third axis is the cross product of normal and tangent, the other way for mirrored faces: it points up in
    the texture, against v. Tangents are 0 where faces have no area in the layout or in space.
    """
    faces = mesh.faces.long()
    corners, uvs = mesh.vertices[faces], mesh.require_uvs()[faces]
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    (u1, v1), (u2, v2) = ((uvs[:, k] - uvs[:, 0]).unbind(-1) for k in (1, 2))
    area = u1 * v2 - u2 * v1
    # v runs down: seen from outside, what is not mirrored turns the other way round in UVs.
    mirrored = area > 0
    along = one * v2[:, None] - other * v1[:, None]
    along = normalize(along * torch.sign(area)[:, None], dim=-1, eps=1e-30)
    sums = along.new_zeros(2 * len(mesh.vertices), 3)
    for k in range(3):
        left, right = (normalize(corners[:, (k + s) % 3] - corners[:, k], dim=-1, eps=1e-30) for s in (1, 2))
        angle = torch.acos((left * right).sum(-1).clamp(-1.0, 1.0))
        sums.index_add_(0, faces[:, k] + mirrored.long() * len(mesh.vertices), along * angle[:, None])
    return normalize(sums, dim=-1, eps=1e-30), mirrored
