"""What lies on a mesh, as pictures: its textures, with plain ones where it has none, and its UV layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..contract.checks import check_integer
from ..meshes.mesh import Mesh
from ..pictures.colors import linear_to_srgb, srgb_to_linear
from ..runtime.progress import shares
from ..runtime.threads import on_own_threads
from .fill.plane import spread
from .texels import Texels

PLAIN = {
    "base_color": (1.0, 1.0, 1.0),
    "metallic_roughness": (1.0, 1.0, 0.0),
    "normal_map": (0.5, 0.5, 1.0),
    "occlusion": (1.0, 1.0, 1.0),
}
"""Colours of what a mesh does not have: white, open, fully rough and not metallic, flat."""


@dataclass(frozen=True)
class MeshImages:
    """The textures of a mesh, ``[H, W, 3]`` float32 each, of any size each, encoded as in :class:`Mesh`.

    Attributes:
        base_color: the texture, times the vertex colours where there are some.
        metallic_roughness: as the mesh has it, occlusion in red if it is there.
        normal_map: as the mesh has it.
        occlusion: red of metallic-roughness, in all three channels.
        covered: ``[H, W]`` bool, texels of ``base_color`` that the layout covers.
        missing: names of those that the mesh does not have, for which :data:`PLAIN` stands in.
        tinted: whether vertex colours are in ``base_color``.
    """

    base_color: Tensor
    metallic_roughness: Tensor
    normal_map: Tensor
    occlusion: Tensor
    covered: Tensor
    missing: tuple[str, ...]
    tinted: bool


@on_own_threads
def mesh_images(mesh: Mesh, size: int = 1024, on_progress: Callable[[float], None] | None = None) -> MeshImages:
    """The textures of a mesh.

    Args:
        mesh: with UVs; on these its textures lie.
        size: texels a side of pictures that the mesh does not have, or only one texel of, and of vertex colours without
            a texture.
        on_progress: called with the share done, 0..1; an exception it raises stops the work.

    Raises:
        ValueError: no UVs, or a size out of range.
    """
    size = check_integer(size, 16, 16384, "size")
    mesh.require_uvs()
    colors = mesh.vertex_colors
    tinted = colors is not None and bool((colors[:, :3] != 1).any())
    if mesh.texture is not None and mesh.texture.shape[:2] == (1, 1):
        mesh = replace(mesh, texture=mesh.texture.expand(size, size, 3).contiguous())
    sides = (size, size) if mesh.texture is None else (mesh.texture.shape[0], mesh.texture.shape[1])
    drawing, tinting = shares(on_progress or (lambda share: None), 2)
    texels = Texels.of(mesh, sides, drawing)
    found = {
        "base_color": _tinted(mesh, texels, tinting) if tinted else mesh.texture,
        "metallic_roughness": mesh.metallic_roughness,
        "normal_map": mesh.normal_map,
        "occlusion": None,
    }
    if mesh.occlusion_in_mr and mesh.metallic_roughness is not None:
        found["occlusion"] = mesh.metallic_roughness[..., :1].expand(-1, -1, 3)
    missing = tuple(name for name, image in found.items() if image is None)
    images = {}
    for name, image in found.items():
        known = mesh.vertices.new_tensor(PLAIN[name]).view(1, 1, 3) if image is None else image
        images[name] = known.expand(size, size, 3).contiguous() if known.shape[:2] == (1, 1) else known
    covered = texels.image(torch.ones_like(texels.index, dtype=torch.bool))
    return MeshImages(**images, covered=covered, missing=missing, tinted=tinted)


def _tinted(mesh: Mesh, texels: Texels, report: Callable[[float], None]) -> Tensor:
    """``[H, W, 3]``: the texture times the vertex colours, in linear light; the latter alone without a texture."""
    assert mesh.vertex_colors is not None
    light = texels.interpolate(mesh.vertex_colors[:, :3].contiguous())
    if mesh.texture is not None:
        light = light * srgb_to_linear(mesh.texture.reshape(-1, 3).index_select(0, texels.index))
    covered = texels.image(torch.ones_like(texels.index, dtype=torch.bool))
    return spread(texels.image(linear_to_srgb(light)), covered, report)
