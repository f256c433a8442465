"""How much a texture's colour differs between the two sides of its UV seams."""

from __future__ import annotations

import torch
from torch import Tensor

from ..meshes.mesh import Mesh, weld_index
from ..pictures.sampling import sample_texture

_SAMPLES_PER_EDGE = 8


def seam_sides(mesh: Mesh) -> tuple[Tensor, Tensor]:
    """``[S, 2]`` UVs each of the same points on both sides of the seams: edges whose ends have other UVs there."""
    uvs, faces = mesh.require_uvs(), mesh.faces.long()
    welded = weld_index(mesh.vertices)
    edges = torch.cat((faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]))
    ends = welded[edges]
    edges = torch.where((ends[:, :1] > ends[:, 1:]), edges.flip(1), edges)
    low, high = welded[edges].unbind(1)
    _, place = torch.unique(low * len(uvs) + high, return_inverse=True)  # the same for edges in the same place
    order = torch.argsort(place, stable=True)
    one, other = order[:-1], order[1:]
    parted = (place[one] == place[other]) & (edges[one] != edges[other]).any(dim=1)
    share = (torch.arange(_SAMPLES_PER_EDGE, dtype=uvs.dtype, device=uvs.device) + 0.5) / _SAMPLES_PER_EDGE
    share = share[None, :, None]

    def along(side: Tensor) -> Tensor:
        start, end = uvs[edges[side[parted]]].unbind(1)
        return (start[:, None] * (1 - share) + end[:, None] * share).reshape(-1, 2)

    return along(one), along(other)


def seam_difference(texture: Tensor, seams: tuple[Tensor, Tensor]) -> float:
    """Mean difference of colour, of 255, between the two ``[S, 2]`` sides; 0 without any."""
    one, other = (sample_texture(texture, uv.to(texture.device)) for uv in seams)
    return float((one - other).abs().mean() * 255) if len(one) else 0.0
