"""Normal maps on another UV layout: the same normals on the surface, measured along other tangents."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..meshes.mesh import Mesh
from ..meshes.tangents import vertex_tangents
from .texels import Texels


def turning(old: Mesh, new: Mesh) -> Callable[[Tensor, Texels], Tensor]:
    """What makes colours of ``new``'s normal map, ``[n, 3]``, of vectors in the tangent frames of ``old``.

    Called with vectors ``[n, 3]`` and the texels of ``new`` that they belong to. The meshes have the same faces in the
    same order; they differ in their UVs. Where either has no tangent, a vector stays as it is.
    """
    normals = new.vertex_normals() if new.normals is None else new.normals
    frames = [(mesh.faces, *vertex_tangents(mesh)) for mesh in (old, new)]

    def turn(vectors: Tensor, texels: Texels) -> Tensor:
        normal = normalize(texels.interpolate(normals), dim=1, eps=1e-30)
        (across, up), (new_across, new_up) = (_axes(normal, texels, *frame) for frame in frames)
        x, y, z = vectors.unbind(1)
        flat = across * x[:, None] + up * y[:, None]
        turned = torch.stack(((flat * new_across).sum(1), (flat * new_up).sum(1), z), dim=1)
        defined = ((across * across).sum(1) > 0.5) & ((new_across * new_across).sum(1) > 0.5)
        return normalize(torch.where(defined[:, None], turned, vectors), dim=1, eps=1e-6) / 2 + 0.5

    return turn


def _axes(normal: Tensor, texels: Texels, faces: Tensor, tangents: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
    """The two unit axes ``[n, 3]`` of a layout's frames across the normals; 0 where there are none."""
    other = mirrored.index_select(0, texels.face)
    rows = faces.index_select(0, texels.face).long() + (other.long() * (len(tangents) // 2))[:, None]
    tangent = (tangents.index_select(0, rows.view(-1)).view(-1, 3, 3) * texels.weights[..., None]).sum(1)
    across = normalize(tangent - normal * (tangent * normal).sum(1, keepdim=True), dim=1, eps=1e-6)
    return across, torch.linalg.cross(normal, across) * torch.where(other, -1.0, 1.0)[:, None]
