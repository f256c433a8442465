"""Textures onto meshes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..contract.checks import as_tensor, check_choice
from ..meshes.mesh import Mesh

LAYOUTS = ("hunyuan3d", "gltf ORM")


def apply_textures(
    mesh: Mesh, base_color: Tensor, metallic_roughness: Tensor | None = None, mr_layout: str = "hunyuan3d"
) -> Mesh:
    """A mesh with these textures instead of its own, and without vertex colours, which would tint them.

    Args:
        mesh: has UVs; it is left as it is.
        base_color: ``[H, W, 3]`` or more channels, 0..1, sRGB-coded, row 0 at ``v = 0``.
        metallic_roughness: ``[H, W, 3]``, 0..1, of any size; None leaves what the mesh has.
        mr_layout: one of :data:`LAYOUTS`. ``hunyuan3d`` has metallic in red and roughness in green, as its paint model
            gives them; ``gltf ORM`` has roughness in green and metallic in blue.

    Raises:
        ValueError: no UVs, another layout, or something that is no image.
    """
    check_choice(mr_layout, LAYOUTS, "mr_layout")
    mesh.require_uvs()
    surface = mesh.metallic_roughness
    if metallic_roughness is not None:
        surface = _image(metallic_roughness, mesh, "metallic_roughness")
        if mr_layout == "hunyuan3d":
            metallic, roughness, _ = surface.unbind(-1)
            surface = torch.stack((torch.ones_like(metallic), roughness, metallic), dim=-1)
    return replace(mesh, texture=_image(base_color, mesh, "base_color"), metallic_roughness=surface, vertex_colors=None)


def _image(value: Tensor, mesh: Mesh, name: str) -> Tensor:
    value = as_tensor(value, name)
    if value.ndim != 3 or value.shape[-1] < 3 or not value.numel():
        raise ValueError(f"{name}: is {list(value.shape)}, expected an image [H, W, 3]")
    return value[..., :3].detach().to(mesh.vertices.device, torch.float32).clamp(0.0, 1.0)
