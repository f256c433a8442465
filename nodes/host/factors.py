"""The numbers that ComfyUI's MESH has beside its textures (its attribute ``material``), put into what they multiply.

A mesh of the library has textures and vertex colours only, so that whoever draws it need not know of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...rasterizer.meshes.mesh import Mesh


def with_factors(mesh: Mesh, material: Any) -> Mesh:
    """The mesh as the factors of ``material`` make it; negative ones say nothing.

    The base colour's becomes vertex colours, which multiply the texture, too. Metallic and roughness without a texture
    become one of a single texel.

    Raises:
        ValueError: a factor that is no number, or too few.
    """
    if not isinstance(material, dict):
        return mesh
    color = _numbers(material, "base_color_factor", 3)
    if color is not None and not bool((color == 1).all()):
        mesh = replace(mesh, vertex_colors=_tinted(mesh, color.clamp(0, 1).to(mesh.vertices.device)))
    rough, metal, strength, scale = (
        _number(material, name)
        for name in ("roughness_factor", "metallic_factor", "occlusion_strength", "normal_scale")
    )
    surface, normals = mesh.metallic_roughness, mesh.normal_map
    if surface is None and mesh.uvs is not None and (rough, metal) not in ((None, None), (1.0, 0.0), (1.0, None)):
        values = (1.0, 1.0 if rough is None else rough, metal or 0.0)
        mesh = replace(mesh, metallic_roughness=mesh.vertices.new_tensor(values).clamp(0, 1).expand(1, 1, 3))
    elif surface is not None and {rough, metal} - {None, 1.0}:
        factors = surface.new_tensor((1.0, 1.0 if rough is None else rough, 1.0 if metal is None else metal))
        mesh = replace(mesh, metallic_roughness=(surface * factors).clamp(0, 1))
    if mesh.metallic_roughness is not None and mesh.occlusion_in_mr and strength not in (None, 1.0):
        red, *others = mesh.metallic_roughness.unbind(-1)  # glTF 2.0, 3.9.3, occlusionTextureInfo.strength
        mesh = replace(mesh, metallic_roughness=torch.stack(((1 + strength * (red - 1)).clamp(0, 1), *others), dim=-1))
    if normals is not None and scale not in (None, 1.0):  # glTF 2.0, 3.9.3, normalTextureInfo.scale
        vectors = (normals * 2 - 1) * normals.new_tensor((scale, scale, 1.0))
        mesh = replace(mesh, normal_map=torch.nn.functional.normalize(vectors, dim=-1) / 2 + 0.5)
    return mesh


def plain_factors(value: Any) -> dict[str, Any]:
    """The factors of a MESH whose textures hold those that it had."""
    factors: dict[str, Any] = {"base_color_factor": [1.0, 1.0, 1.0, 1.0]}
    if getattr(value, "metallic_roughness", None) is not None:
        factors |= {"metallic_factor": 1.0, "roughness_factor": 1.0, "occlusion_strength": 1.0}
    if getattr(value, "normal_map", None) is not None:
        factors["normal_scale"] = 1.0
    return factors


def _tinted(mesh: Mesh, color: Tensor) -> Tensor:
    """Vertex colours times a colour of 3 or 4 numbers."""
    colors = mesh.vertex_colors
    if colors is None:
        colors = torch.ones_like(mesh.vertices)
    if len(color) > 3 and (colors.shape[1] > 3 or color[3] < 1):
        opaque = torch.ones_like(colors[:, :1])
        return torch.cat((colors, opaque), dim=1)[:, :4] * color[:4]
    return torch.cat((colors[:, :3] * color[:3], colors[:, 3:]), dim=1)


def _numbers(material: dict[Any, Any], name: str, least: int) -> Tensor | None:
    value = material.get(name)
    if value is None:
        return None
    try:
        numbers = torch.as_tensor(value, dtype=torch.float32).detach().cpu().flatten()
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.empty(0)
    if len(numbers) < least or not bool(torch.isfinite(numbers).all()):
        raise ValueError(f"material has {name} {value!r}, expected {least} numbers or more")
    return numbers


def _number(material: dict[Any, Any], name: str) -> float | None:
    numbers = _numbers(material, name, 1)
    return None if numbers is None or numbers[0] < 0 else float(numbers[0])
